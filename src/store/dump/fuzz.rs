//! What must hold of dumps, whoever edited them.

use super::{Change, DumpError, Line, Reader, Writer, survey};
use crate::clock::Timestamp;

/// Bytes as a whole dump, and as the lines of one that is proved whole: what a line says is written and read
/// back the same, and of what stands at the end each record is loaded once.
pub(crate) fn dump(bytes: &[u8]) {
    survey(bytes, &mut |_| {}).ok();
    let lines = bytes.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
    let changes: Vec<_> = lines.filter_map(Line::into_change).collect();
    let text = written(&changes);
    assert!(text.is_ok(), "what was read cannot be written");
    let Ok(text) = text else { return };
    let read = read(&text);
    assert_eq!(read.ok().as_ref(), Some(&changes));
    loads_each_once(&text);
}

fn written(changes: &[Change]) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    let mut writer = Writer::begin(Timestamp::from_secs(1_800_000_000), &mut text)?;
    for change in changes {
        writer.write(change, &mut text)?;
    }
    writer.finish(&mut text)?;
    Ok(text)
}

fn read(text: &str) -> Result<Vec<Change>, DumpError> {
    let mut reader = Reader::begin(text.as_bytes())?;
    let mut changes = Vec::new();
    while let Some(change) = reader.read()? {
        changes.push(change);
    }
    Ok(changes)
}

fn loads_each_once(text: &str) {
    // Records may contradict each other.
    let Ok(contents) = survey(text.as_bytes(), &mut |_| {}) else { return };
    let (mut users, mut posts) = (0, 0);
    let loaded = contents.load::<DumpError>(text.as_bytes(), |change| {
        match change {
            Change::User(_) => users += 1,
            Change::Post(_) => posts += 1,
            Change::Audit(_) | Change::Removed(_) => {}
        }
        Ok(())
    });
    assert!(loaded.is_ok(), "what was judged is another dump");
    assert_eq!((users, posts), (contents.users(), contents.posts()));
}
