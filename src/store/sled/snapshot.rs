//! sled's snapshots: one at a time, made when it opens, and named by how far the log was.
//!
//! Knows where they are and which are sound, not what is in them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The newest snapshot in `directory`, as far as its name says.
pub(super) fn newest(directory: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("snap."));
        let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
        newest = newest.max(number.filter(|number| path(directory, *number) == entry.path()));
    }
    Ok(newest)
}

/// Where the snapshot of this number is.
pub(super) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("snap.{number:016X}"))
}

/// How far the log was when the snapshot in `directory` was made; 0 if sled has none that it can read.
pub(super) fn log_end(directory: &Path) -> io::Result<u64> {
    let Some(number) = newest(directory)? else { return Ok(0) };
    let bytes = fs::read(path(directory, number))?;
    let sound = bytes.split_last_chunk().filter(|(rest, checksum)| {
        let content = rest.split_last_chunk::<8>().map(|(content, _)| content);
        content.is_some_and(|content| crc32fast::hash(content) == u32::from_le_bytes(**checksum))
    });
    Ok(sound.map_or(0, |_| number))
}
