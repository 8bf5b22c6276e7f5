//! The end of sled's log, kept while sled opens it.
//!
//! At each opening sled makes a snapshot of its pages, renames it into place, and clears the segments that
//! the snapshot can do without; it never syncs the new name. If the power fails when segments are cleared on
//! disk and the name is not, the log must do without that snapshot, and sled replays a log only on from the
//! segment up to which the last header calls it stable. That one is usually the last but one, may be among
//! the cleared, and without it sled goes back, without a word, to an older state or to none. Where an earlier
//! opening has cleared it, the log cannot do without the snapshot of that opening, which sled removes as soon
//! as it has named the new one. So that snapshot and the end of the log are copied aside first, and put back at
//! the next opening if this one did not get to a synced name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::lease::sync_directory;
use super::segments::{self, SEGMENT_BYTES, Segment, segments};
use super::snapshot;

/// Where the copy is, and where it is made. First comes the length of the log's file; then the snapshot, behind its
/// number and its length, which are 0 if there is none; then each segment behind its offset in the file.
const COPY: &str = "tail";
const COPY_NEW: &str = "tail.new";

/// Copies the snapshot and the end of the log in `directory` aside. A log of nothing but the segment that it is
/// replayed from has nothing to clear.
pub(super) fn keep(directory: &Path) -> io::Result<()> {
    let file = File::open(directory.join("db"))?;
    // One with a bad header is none to sled.
    let segments: Vec<Segment> = segments(&file)?.into_iter().flatten().collect();
    let stable = segments.iter().map(|segment| segment.stable).max().unwrap_or_default();
    let first = stable / SEGMENT_BYTES * SEGMENT_BYTES;
    if segments.iter().all(|segment| segment.number == first) {
        return Ok(());
    }
    let new = directory.join(COPY_NEW);
    let mut copy = create(&new)?;
    let newest = snapshot::newest(directory)?;
    let mut content = match newest {
        Some(number) => fs::read(snapshot::path(directory, number))?,
        None => Vec::new(),
    };
    for number in [file.metadata()?.len(), newest.unwrap_or_default(), content.len() as u64] {
        copy.write_all(&number.to_le_bytes())?;
    }
    copy.write_all(&content)?;
    for segment in segments.iter().filter(|segment| segment.number >= first) {
        segments::read(&file, segment.at, &mut content)?;
        copy.write_all(&segment.at.to_le_bytes())?;
        copy.write_all(&content)?;
    }
    copy.sync_all()?;
    fs::rename(new, directory.join(COPY))?;
    sync_directory(directory)
}

/// Says that sled has opened the log: the copy is not needed once the snapshot's name is on disk, and is gone
/// for good before anything else is written.
pub(super) fn let_go(directory: &Path) -> io::Result<()> {
    sync_directory(directory)?;
    remove(directory)
}

/// Puts the snapshot and the end of the log back as they were before an opening that broke off.
pub(super) fn put_back(directory: &Path) -> io::Result<()> {
    let mut copy = match File::open(directory.join(COPY)) {
        Ok(copy) => copy,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let log_length = number(&mut copy)?;
    let (newest, length) = (number(&mut copy)?, number(&mut copy)?);
    let mut content = Vec::new();
    (&copy).take(length).read_to_end(&mut content)?;
    if !content.is_empty() {
        let mut file = create(&snapshot::path(directory, newest))?;
        file.write_all(&content)?;
        file.sync_all()?;
        sync_directory(directory)?;
    }
    let file = OpenOptions::new().write(true).open(directory.join("db"))?;
    let length = copy.metadata()?.len();
    while copy.stream_position()? < length {
        let at = number(&mut copy)?;
        content.clear();
        (&copy).take(SEGMENT_BYTES).read_to_end(&mut content)?;
        file.write_all_at(&content, at)?;
    }
    file.set_len(log_length)?;
    file.sync_all()?;
    remove(directory)
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The next number of the copy.
fn number(copy: &mut File) -> io::Result<u64> {
    let mut bytes = [0; size_of::<u64>()];
    copy.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_file(directory.join(COPY)) {
        Ok(()) => sync_directory(directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::lease::settled_length;
    use super::super::segments::HEADER_BYTES;
    use super::super::segments::tests::header;
    use super::*;

    const SEGMENT: usize = 512 * 1024;

    /// A log whose segments are numbered and stable as told, the last one cut short.
    fn log(segments: &[(u64, u64)]) -> (tempfile::TempDir, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = vec![7; segments.len() * SEGMENT - 1000];
        for (index, (number, stable)) in segments.iter().enumerate() {
            let at = index * SEGMENT;
            log[at..at + HEADER_BYTES].copy_from_slice(&header(number * SEGMENT_BYTES, *stable));
        }
        fs::write(directory.path().join("db"), &log).unwrap();
        (directory, log)
    }

    fn clear(directory: &Path, index: u64) {
        let file = OpenOptions::new().write(true).open(directory.join("db")).unwrap();
        file.write_all_at(&vec![0; SEGMENT], index * SEGMENT_BYTES).unwrap();
    }

    fn is_cleared(directory: &Path) -> bool {
        let log = fs::read(directory.join("db")).unwrap();
        log[..SEGMENT].iter().all(|byte| *byte == 0)
    }

    fn names(directory: &Path) -> Vec<std::ffi::OsString> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn what_sled_replays_from_is_put_back_and_what_it_does_not_stays_cleared() {
        let stable = 8 * SEGMENT_BYTES - 10;
        let (directory, log) = log(&[(7, 6 * SEGMENT_BYTES), (6, 5 * SEGMENT_BYTES), (8, stable)]);
        let directory = directory.path();
        keep(directory).unwrap();
        (0..3).for_each(|index| clear(directory, index));
        put_back(directory).unwrap();
        let back = fs::read(directory.join("db")).unwrap();
        assert!(back[..SEGMENT] == log[..SEGMENT], "the last but one");
        assert!(back[SEGMENT..2 * SEGMENT].iter().all(|byte| *byte == 0), "an older one");
        assert!(back[2 * SEGMENT..] == log[2 * SEGMENT..], "the last one, and no longer");
        assert_eq!(names(directory), ["db"]);
        clear(directory, 0);
        put_back(directory).unwrap();
        assert!(is_cleared(directory), "only once");
    }

    #[test]
    fn nothing_is_put_back_once_sled_has_opened_the_log() {
        let (directory, _) = log(&[(0, 0), (1, 1000)]);
        let directory = directory.path();
        keep(directory).unwrap();
        clear(directory, 0);
        let_go(directory).unwrap();
        put_back(directory).unwrap();
        assert!(is_cleared(directory));
    }

    /// The last of many values of a key, of which one comes after each of `openings`, as sled finds it after one
    /// more opening that cleared segments and broke off before the snapshot's name was on disk.
    fn value_after(openings: usize, broken_off: fn(&Path)) -> Option<u8> {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let open = || {
            settled_length(&directory.join("db"));
            ::sled::Config::new().path(directory).flush_every_ms(None).open().unwrap()
        };
        let db = open();
        for number in 0..=u8::MAX {
            // 1.3 MB in all: the middle one of three segments holds nothing that lives.
            db.insert("key", vec![number; 5 * 1024]).unwrap();
        }
        drop(db);
        for _ in 0..openings {
            open().insert("key", vec![u8::MAX; 5 * 1024]).unwrap();
        }
        keep(directory).unwrap();
        drop(open());
        for name in names(directory).iter().filter(|it| it.as_encoded_bytes().starts_with(b"snap"))
        {
            fs::remove_file(directory.join(name)).unwrap();
        }
        settled_length(&directory.join("db"));
        broken_off(directory);
        open().get("key").unwrap().map(|value| value[0])
    }

    #[test]
    fn sled_replays_to_the_end_only_if_what_it_cleared_is_put_back() {
        for openings in 0..4 {
            let last = Some(u8::MAX);
            assert_eq!(value_after(openings, |it| put_back(it).unwrap()), last, "{openings}");
            let without = value_after(openings, |_| {});
            assert_ne!(without, last, "{openings}: sled does without: this module can go");
        }
    }

    #[test]
    fn a_log_of_one_segment_is_not_copied() {
        let (directory, _) = log(&[(0, 0)]);
        keep(directory.path()).unwrap();
        assert_eq!(names(directory.path()), ["db"]);
        let_go(directory.path()).unwrap();
    }
}
