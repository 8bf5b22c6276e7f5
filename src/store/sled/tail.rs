//! The end of sled's log, kept while sled opens it.
//!
//! At each opening sled makes a snapshot of its pages, renames it into place, and clears the segments that the
//! snapshot can do without; it never syncs the new name. If the power fails when segments are cleared on disk and
//! the name is not, the log must do without that snapshot, and sled replays a log only on from the segment up to
//! which the last header calls it stable. That one is usually the last but one, or one before that if what is
//! [`loose`](super::loose) is cut off. It may be among the cleared, and without it sled goes back, without a word,
//! to an older state or to none. Where an earlier opening has cleared it, the log cannot do without the snapshot of
//! that opening, which sled removes as soon as it has named the new one. So that snapshot and the end of the log
//! are copied aside first, and put back at the next opening if this one did not get to a synced name.
//!
//! A copy overwrites the log, so it is believed only if it is whole and of the log that stands beside it: nothing
//! was committed since it was made. Any other is dropped, and what is wrong with the log is found without it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::lease::{ours, sync_directory};
use super::loose::first_unsure;
use super::segments::{self, Segment, segments, start_of};
use super::snapshot;
use super::tally;

/// Where the copy is, and where it is made: behind [`MAGIC`], the length of what follows and its checksum.
const COPY: &str = "tail";
const COPY_NEW: &str = "tail.new";
const MAGIC: [u8; 8] = *b"kstail.1";

/// What is copied.
struct Copied<'a> {
    /// The note of the tally: it tells whether anything was committed since.
    note: &'a [u8],
    /// How long the log's file was.
    log_length: u64,
    /// The number of the snapshot, and the snapshot; empty if there was none.
    snapshot: (u64, &'a [u8]),
    /// Segments by their offsets in the file.
    segments: Vec<(u64, &'a [u8])>,
}

/// Copies the snapshot and the end of the log in `directory` aside. A log of nothing but the segment that it is
/// replayed from has nothing to clear, and none to lose without a snapshot.
pub(super) fn keep(directory: &Path) -> io::Result<()> {
    // Left by a start that broke off while it made one.
    remove(directory, COPY_NEW)?;
    let file = File::open(directory.join("db"))?;
    // One with a bad header is none to sled.
    let segments: Vec<Segment> = segments(&file)?.into_iter().flatten().collect();
    let stable = segments.iter().map(|segment| segment.stable).max().unwrap_or_default();
    let unsure = first_unsure(segments.iter().map(|segment| segment.number), start_of(stable));
    // That from which sled replays once everything is cut off from there on.
    let sure = segments.iter().filter(|segment| segment.number < unsure);
    let first = start_of(sure.map(|segment| segment.stable).max().unwrap_or_default());
    let newest = snapshot::newest(directory)?;
    if newest.is_none() && segments.iter().all(|segment| segment.number == first) {
        return Ok(());
    }
    let mut body = Vec::new();
    put_piece(&mut body, &synced_note(directory)?);
    put_number(&mut body, file.metadata()?.len());
    let mut content = match newest {
        Some(number) => fs::read(snapshot::path(directory, number))?,
        None => Vec::new(),
    };
    put_number(&mut body, newest.unwrap_or_default());
    put_piece(&mut body, &content);
    for segment in segments.iter().filter(|segment| segment.number >= first) {
        segments::read(&file, segment.at, &mut content)?;
        put_number(&mut body, segment.at);
        put_piece(&mut body, &content);
    }
    let kept = write_copy(directory, &body);
    if kept.is_err() {
        // On a disk that is full, a part of a copy would take what room there is.
        drop(fs::remove_file(directory.join(COPY_NEW)));
    }
    kept
}

/// Says that sled has opened the log: the copy is not needed once the snapshot's name is on disk, and is gone
/// for good before anything else is written.
pub(super) fn let_go(directory: &Path) -> io::Result<()> {
    sync_directory(directory)?;
    remove(directory, COPY)
}

/// Puts the snapshot and the end of the log back as they were before an opening that broke off.
pub(super) fn put_back(directory: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    match ours().read(true).open(directory.join(COPY)) {
        Ok(mut copy) => copy.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match Copied::of(&bytes) {
        None => tracing::warn!("the copy of the log's end is damaged, it is not put back"),
        Some(copied) if copied.note != note(directory)? => {
            tracing::warn!("the copy of the log's end is of another log, it is not put back");
        }
        Some(copied) => copied.put_back(directory)?,
    }
    remove(directory, COPY)
}

impl<'a> Copied<'a> {
    /// What stands in a copy, if it is whole.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let length = number(&mut rest)?;
        let checksum = u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?);
        if length != rest.len() as u64 || checksum != crc32fast::hash(rest) {
            return None;
        }
        let (note, log_length) = (piece(&mut rest)?, number(&mut rest)?);
        let snapshot = (number(&mut rest)?, piece(&mut rest)?);
        let mut segments = Vec::new();
        while !rest.is_empty() {
            segments.push((number(&mut rest)?, piece(&mut rest)?));
        }
        Some(Self { note, log_length, snapshot, segments })
    }

    fn put_back(&self, directory: &Path) -> io::Result<()> {
        let (number, content) = self.snapshot;
        if !content.is_empty() {
            write_synced(&snapshot::path(directory, number), &[content])?;
            sync_directory(directory)?;
        }
        // That of the opening that broke off goes with it.
        while let Some(newest) = snapshot::newest(directory)?.filter(|newest| *newest > number) {
            fs::remove_file(snapshot::path(directory, newest))?;
        }
        let file = ours().write(true).open(directory.join("db"))?;
        for (at, content) in &self.segments {
            file.write_all_at(content, *at)?;
        }
        file.set_len(self.log_length)?;
        file.sync_all()
    }
}

fn write_copy(directory: &Path, body: &[u8]) -> io::Result<()> {
    let new = directory.join(COPY_NEW);
    let length = (body.len() as u64).to_le_bytes();
    write_synced(&new, &[&MAGIC, &length, &crc32fast::hash(body).to_le_bytes(), body])?;
    fs::rename(new, directory.join(COPY))?;
    sync_directory(directory)
}

fn write_synced(path: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let mut file = ours().write(true).create(true).truncate(true).open(path)?;
    pieces.iter().try_for_each(|piece| file.write_all(piece))?;
    file.sync_all()
}

/// The note of the tally as it stands; empty if there is none.
fn note(directory: &Path) -> io::Result<Vec<u8>> {
    match fs::read(directory.join(tally::NAME)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// The same, and no power cut makes it an older one: nothing else syncs it.
fn synced_note(directory: &Path) -> io::Result<Vec<u8>> {
    let note = note(directory)?;
    if !note.is_empty() {
        File::open(directory.join(tally::NAME))?.sync_all()?;
    }
    Ok(note)
}

fn put_number(body: &mut Vec<u8>, number: u64) {
    body.extend(number.to_le_bytes());
}

fn put_piece(body: &mut Vec<u8>, piece: &[u8]) {
    put_number(body, piece.len() as u64);
    body.extend(piece);
}

fn number(rest: &mut &[u8]) -> Option<u64> {
    rest.split_off(..size_of::<u64>())?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

fn piece<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(number(rest)?).ok()?;
    rest.split_off(..length)
}

fn remove(directory: &Path, name: &str) -> io::Result<()> {
    match fs::remove_file(directory.join(name)) {
        Ok(()) => sync_directory(directory),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::super::lease::settled_length;
    use super::super::segments::tests::header;
    use super::super::segments::{HEADER_BYTES, SEGMENT_BYTES};
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
        let number = |number| (number, (number - 1) * SEGMENT_BYTES);
        let stable = 8 * SEGMENT_BYTES - 10;
        let (directory, log) = log(&[number(7), number(3), number(5), number(6), (8, stable)]);
        let directory = directory.path();
        keep(directory).unwrap();
        (0..5).for_each(|index| clear(directory, index));
        put_back(directory).unwrap();
        let back = fs::read(directory.join("db")).unwrap();
        assert!(back[..SEGMENT] == log[..SEGMENT], "the last but one");
        assert!(back[SEGMENT..2 * SEGMENT].iter().all(|byte| *byte == 0), "an older one");
        assert!(back[2 * SEGMENT..] == log[2 * SEGMENT..], "the other ones, and no longer");
        assert_eq!(names(directory), ["db"]);
        clear(directory, 0);
        put_back(directory).unwrap();
        assert!(is_cleared(directory), "only once");
    }

    /// A log whose first segment is cleared, and the copy made before.
    fn cleared() -> (tempfile::TempDir, Vec<u8>) {
        let (directory, _) = log(&[(0, 0), (1, 1000)]);
        fs::write(directory.path().join(tally::NAME), "41 commits").unwrap();
        keep(directory.path()).unwrap();
        clear(directory.path(), 0);
        let copy = fs::read(directory.path().join(COPY)).unwrap();
        (directory, copy)
    }

    #[test]
    fn a_damaged_copy_is_dropped_and_the_log_stays_as_it_is() {
        let (directory, copy) = cleared();
        let directory = directory.path();
        let before = fs::read(directory.join("db")).unwrap();
        let drops = |bytes: &[u8], what: usize| {
            fs::write(directory.join(COPY), bytes).unwrap();
            put_back(directory).unwrap();
            assert!(fs::read(directory.join("db")).unwrap() == before, "{what}");
            assert!(!directory.join(COPY).exists(), "{what}");
        };
        // Every number and checksum before the segments, and some of what is in them.
        let in_segments = (100..copy.len()).step_by(copy.len() / 20);
        for at in (0..100).chain(in_segments).chain([copy.len() - 1]) {
            let mut flipped = copy.clone();
            flipped[at] ^= 1 << (at % 8);
            drops(&flipped, at);
        }
        for length in [0, 7, 8, 19, 20, 27, 100, copy.len() - 1] {
            drops(&copy[..length], length);
        }
        drops(&[&copy[..], &[0]].concat(), copy.len() + 1);
        fs::write(directory.join(COPY), copy).unwrap();
        put_back(directory).unwrap();
        assert!(!is_cleared(directory), "the sound one");
    }

    #[test]
    fn a_copy_is_dropped_once_anything_was_committed_since() {
        for (note, is_dropped) in [("41 commits", false), ("42 commits", true), ("", true)] {
            let (directory, _) = cleared();
            fs::write(directory.path().join(tally::NAME), note).unwrap();
            put_back(directory.path()).unwrap();
            assert_eq!(is_cleared(directory.path()), is_dropped, "{note}");
            assert!(!directory.path().join(COPY).exists(), "{note}");
        }
    }

    #[test]
    fn no_copy_is_made_by_way_of_a_link_and_none_is_left_in_part() {
        let (directory, _) = log(&[(0, 0), (1, 1000)]);
        let directory = directory.path();
        let elsewhere = tempfile::NamedTempFile::new().unwrap();
        fs::write(elsewhere.path(), "theirs").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.join(COPY_NEW)).unwrap();
        fs::create_dir(directory.join(COPY)).unwrap();
        keep(directory).unwrap_err();
        assert!(!directory.join(COPY_NEW).exists());
        fs::remove_dir(directory.join(COPY)).unwrap();
        keep(directory).unwrap();
        assert!(directory.join(COPY).is_file());
        assert_eq!(fs::read(elsewhere.path()).unwrap(), b"theirs");
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
