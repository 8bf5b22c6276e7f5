//! sled's log, read before sled does: sled takes the first message that it cannot read for the end of the log
//! or of its segment, and silently goes on without what follows. A cut of the power leaves such an end too,
//! but never before a commit that was answered; where it comes earlier, data was lost.
//!
//! The file is a row of segments, each with a checksummed header that holds its number in the log, and each
//! filled with checksummed messages up to a cap. Only what sled replays is read: from the snapshot that it made
//! at its last opening on. What stands before that, it reads with a check of its own at each access.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::lease::Manifest;
use super::message::{MESSAGE_HEADER_MAX, Message, kind};
use super::segments::{self, BadHeader, HEADER_BYTES, SEGMENT_BYTES, Segment, segments};
use super::tally;

/// A node that holds the tally, the one entry of its tree, is shorter than this.
const TALLY_BYTES_MAX: usize = 256;

/// What is wrong with a log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    /// There is no segment at all, which sled would take for an empty log.
    #[error("it is not a database")]
    Empty,
    /// A segment that has a header has a bad one.
    #[error("the segment at byte {at} has a damaged header")]
    Header {
        /// Where it starts.
        at: u64,
    },
    /// Two segments claim to be the same part of the log.
    #[error("the segment at byte {at} is there twice")]
    Twice {
        /// Where the later one starts.
        at: u64,
    },
    /// The log ends before a commit that was answered.
    #[error("{found} of {promised} commits can be read, up to byte {at}")]
    Lost {
        /// The last commit that is whole.
        found: u64,
        /// The last commit that was answered.
        promised: u64,
        /// Where the log cannot be read any further.
        at: u64,
    },
}

/// Whether all that `directory` holds of the log up to commit number `promised` can be replayed.
pub(super) fn inspect(
    directory: &Path,
    manifest: &Manifest,
    promised: u64,
) -> io::Result<Result<(), Damage>> {
    let file = File::open(directory.join("db"))?;
    let segments = match by_number(segments(&file)?) {
        Ok(segments) => segments,
        Err(damage) => return Ok(Err(damage)),
    };
    if promised == 0 {
        return Ok(Ok(()));
    }
    let from = snapshot(directory)? / SEGMENT_BYTES * SEGMENT_BYTES;
    let mut reader = Reader::new(file, manifest);
    for (&number, &at) in segments.range(from..) {
        if !reader.read(number, at)? {
            break;
        }
    }
    let end = reader.at;
    // No commit since the snapshot: the last one stands in what is not replayed.
    for (&number, &at) in segments.range(..from).rev() {
        if reader.found >= promised {
            break;
        }
        reader.batch_end = 0;
        reader.read(number, at)?;
    }
    let found = reader.found;
    Ok(if found < promised { Err(Damage::Lost { found, promised, at: end }) } else { Ok(()) })
}

/// Where each segment of the log stands, by its number in the log.
fn by_number(segments: Vec<Result<Segment, BadHeader>>) -> Result<BTreeMap<u64, u64>, Damage> {
    let mut found = BTreeMap::new();
    for segment in segments {
        let Segment { at, number, .. } =
            segment.map_err(|BadHeader { at }| Damage::Header { at })?;
        if found.insert(number, at).is_some() {
            return Err(Damage::Twice { at });
        }
    }
    if found.is_empty() { Err(Damage::Empty) } else { Ok(found) }
}

/// How far the log was when the snapshot in `directory` was made; 0 if sled has none that it can read.
pub(super) fn snapshot(directory: &Path) -> io::Result<u64> {
    let mut newest = None;
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("snap."));
        let number = number.and_then(|number| u64::from_str_radix(number, 16).ok());
        newest = newest.max(number.map(|number| (number, name)));
    }
    let Some((number, name)) = newest else { return Ok(0) };
    let bytes = fs::read(directory.join(name))?;
    let sound = bytes.split_last_chunk().filter(|(rest, checksum)| {
        let content = rest.split_last_chunk::<8>().map(|(content, _)| content);
        content.is_some_and(|content| crc32fast::hash(content) == u32::from_le_bytes(**checksum))
    });
    Ok(sound.map_or(0, |_| number))
}

/// Reads segments one after another, and notes the commits that are whole.
struct Reader {
    file: File,
    prefix: Vec<u8>,
    segment: Vec<u8>,
    /// The last commit that is whole.
    found: u64,
    /// The commit that is being read.
    open: Option<u64>,
    /// Where in the log its batch ends: with this byte.
    batch_end: u64,
    /// Where in the file it was read up to.
    at: u64,
}

impl Reader {
    fn new(file: File, manifest: &Manifest) -> Self {
        let prefix = tally::prefix(manifest);
        Self { file, prefix, segment: Vec::new(), found: 0, open: None, batch_end: 0, at: 0 }
    }

    /// Reads the segment of this number, which stands at `at`; whether to its end.
    fn read(&mut self, number: u64, at: u64) -> io::Result<bool> {
        let mut segment = std::mem::take(&mut self.segment);
        segments::read(&self.file, at, &mut segment)?;
        let mut rest = segment.get(HEADER_BYTES..).unwrap_or_default();
        let mut offset = HEADER_BYTES as u64;
        let mut is_whole = true;
        while offset + MESSAGE_HEADER_MAX <= SEGMENT_BYTES {
            let Some(message) = Message::first_in(rest, number / SEGMENT_BYTES) else {
                is_whole = false;
                break;
            };
            rest = rest.get(message.length..).unwrap_or_default();
            offset += message.length as u64;
            if message.kind == kind::CAP {
                break;
            }
            self.note(&message, number + offset);
        }
        self.at = at + offset;
        self.segment = segment;
        Ok(is_whole)
    }

    /// Takes note of a message that ends before `end` in the log.
    fn note(&mut self, message: &Message<'_>, end: u64) {
        if message.kind == kind::BATCH {
            self.batch_end = message.body.first_chunk().map_or(0, |at| u64::from_le_bytes(*at));
        } else if may_hold_tally(message) {
            self.open = tally::number_in(message.body, &self.prefix).or(self.open);
        }
        if self.batch_end < end {
            self.found = self.found.max(self.open.take().unwrap_or(0));
        }
    }
}

/// Whether to look for the tally in it: searching all messages would take longer than reading them.
fn may_hold_tally(message: &Message<'_>) -> bool {
    match message.kind {
        // A 0 is how the setting of a key begins, and its length follows.
        kind::LINK => {
            message.body.get(2..).is_some_and(|key| key.starts_with(tally::NAME.as_bytes()))
        }
        kind::NODE => message.body.len() < TALLY_BYTES_MAX,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::tally::Tally;

    const COMMITS: u64 = 40;

    /// A log of two segments and forty commits, closed in good order.
    fn log() -> (tempfile::TempDir, Manifest) {
        let (directory, manifest) = (tempfile::tempdir().unwrap(), Manifest::unsealed("a".into()));
        let db = ::sled::open(directory.path()).unwrap();
        let tally = Tally::resume(&db, directory.path(), &manifest).unwrap();
        let filler = db.open_tree("filler").unwrap();
        for commit in 0..COMMITS {
            filler.insert(commit.to_be_bytes(), vec![1; 20_000]).unwrap();
            let (tree, batch) = tally.next();
            tree.apply_batch(batch).unwrap();
        }
        db.flush().unwrap();
        (directory, manifest)
    }

    fn flip(directory: &Path, at: usize) {
        let file = directory.join("db");
        let mut bytes = fs::read(&file).unwrap();
        bytes[at] ^= 1;
        fs::write(file, bytes).unwrap();
    }

    #[test]
    fn a_sound_log_holds_what_was_promised_and_no_more() {
        let (directory, manifest) = log();
        let inspect = |promised| inspect(directory.path(), &manifest, promised).unwrap();
        assert_eq!(inspect(COMMITS), Ok(()));
        let lost = inspect(COMMITS + 1).unwrap_err();
        assert!(matches!(lost, Damage::Lost { found: COMMITS, .. }), "{lost}");
        // Replayed from a snapshot behind the last commit, it still does.
        drop(::sled::open(directory.path()).unwrap());
        assert_eq!(inspect(COMMITS), Ok(()));
    }

    #[test]
    fn a_damaged_message_loses_the_commits_after_it_and_none_before() {
        let (directory, manifest) = log();
        flip(directory.path(), 100_000);
        let lost = inspect(directory.path(), &manifest, COMMITS).unwrap().unwrap_err();
        let Damage::Lost { found, at, .. } = lost else { panic!("{lost}") };
        assert!((1..COMMITS).contains(&found), "{found}");
        assert!(at <= 100_000, "{at}");
        assert_eq!(inspect(directory.path(), &manifest, found).unwrap(), Ok(()));
    }

    #[test]
    fn a_damaged_header_is_no_end_of_the_log() {
        for at in [0, 4, 12, 19] {
            let (directory, manifest) = log();
            flip(directory.path(), at);
            let damage = inspect(directory.path(), &manifest, COMMITS).unwrap();
            assert_eq!(damage, Err(Damage::Header { at: 0 }), "byte {at}");
        }
    }

    #[test]
    fn a_file_without_a_segment_is_no_log() {
        let (directory, manifest) = log();
        for promised in [0, COMMITS] {
            fs::write(directory.path().join("db"), vec![0; 2_000_000]).unwrap();
            let damage = inspect(directory.path(), &manifest, promised).unwrap();
            assert_eq!(damage, Err(Damage::Empty));
        }
    }

    #[test]
    fn a_segment_that_is_there_twice_is_refused() {
        let (directory, manifest) = log();
        let file = directory.path().join("db");
        let mut bytes = fs::read(&file).unwrap();
        let length = usize::try_from(SEGMENT_BYTES).unwrap();
        bytes.copy_within(..HEADER_BYTES, length);
        fs::write(file, bytes).unwrap();
        let damage = inspect(directory.path(), &manifest, COMMITS).unwrap();
        assert_eq!(damage, Err(Damage::Twice { at: SEGMENT_BYTES }));
    }
}
