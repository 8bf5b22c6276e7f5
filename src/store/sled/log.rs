//! sled's log, read before sled does: sled takes the first message that it cannot read for the end of the log
//! or of its segment, and silently goes on without what follows. A cut of the power leaves such an end too,
//! but never before a commit that was answered; where it comes earlier, data was lost.
//!
//! The file is a row of segments, each with a checksummed header that holds its number in the log, and each
//! filled with checksummed messages up to a cap. Only what sled replays is read: from the snapshot that it made
//! at its last opening on. What stands before that, it reads with a check of its own at each access.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::lease::Manifest;
use super::message::{MESSAGE_HEADER_MAX, Message, kind};
use super::segments::{self, BadHeader, HEADER_BYTES, SEGMENT_BYTES, Segment, segments};
use super::snapshot;
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
    let from = start_of(snapshot::log_end(directory)?);
    let mut reader = Reader::new(file, manifest);
    for segment in segments.range(replayed(&segments, from)).map(|(_, segment)| segment) {
        if !reader.read(segment)? {
            break;
        }
    }
    let end = reader.at;
    // No commit since the snapshot: the last one stands in what is not replayed.
    for (_, segment) in segments.range(..from).rev() {
        if reader.found >= promised {
            break;
        }
        reader.batch_end = 0;
        reader.read(segment)?;
    }
    let found = reader.found;
    Ok(if found < promised { Err(Damage::Lost { found, promised, at: end }) } else { Ok(()) })
}

/// Which segments sled replays, by their numbers. Before the one up to which the log is known to be stable, any
/// may be missing; from that one on, sled stops at the first that is, and if it is that very one, it replays
/// nothing at all.
fn replayed(segments: &BTreeMap<u64, Segment>, from: u64) -> Range<u64> {
    let stable = segments.range(from..).map(|(_, segment)| segment.stable).fold(from, u64::max);
    let numbers = (0..).map(|index| start_of(stable) + index * SEGMENT_BYTES);
    let last = numbers.take_while(|number| segments.contains_key(number)).last();
    from..last.map_or(from, |last| last + SEGMENT_BYTES)
}

/// The number of the segment in which this byte of the log is.
const fn start_of(byte: u64) -> u64 {
    byte / SEGMENT_BYTES * SEGMENT_BYTES
}

/// The segments by their numbers in the log.
fn by_number(segments: Vec<Result<Segment, BadHeader>>) -> Result<BTreeMap<u64, Segment>, Damage> {
    let mut found = BTreeMap::new();
    for segment in segments {
        let segment = segment.map_err(|BadHeader { at }| Damage::Header { at })?;
        let at = segment.at;
        if found.insert(segment.number, segment).is_some() {
            return Err(Damage::Twice { at });
        }
    }
    if found.is_empty() { Err(Damage::Empty) } else { Ok(found) }
}

/// Reads segments one after another, and notes the commits that are whole.
struct Reader {
    file: File,
    prefix: Vec<u8>,
    content: Vec<u8>,
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
        Self { file, prefix, content: Vec::new(), found: 0, open: None, batch_end: 0, at: 0 }
    }

    /// Reads a segment; whether to its end.
    fn read(&mut self, &Segment { at, number, .. }: &Segment) -> io::Result<bool> {
        let mut content = std::mem::take(&mut self.content);
        segments::read(&self.file, at, &mut content)?;
        let mut rest = content.get(HEADER_BYTES..).unwrap_or_default();
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
        self.content = content;
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
    use std::fs;
    use std::os::unix::fs::FileExt;

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
    fn a_log_without_the_segment_that_sled_replays_from_is_lost() {
        let (directory, manifest) = log();
        let file = File::options().write(true).open(directory.path().join("db")).unwrap();
        file.write_all_at(&vec![0; usize::try_from(SEGMENT_BYTES).unwrap()], 0).unwrap();
        let lost = inspect(directory.path(), &manifest, COMMITS).unwrap().unwrap_err();
        assert!(matches!(lost, Damage::Lost { found: 0, .. }), "{lost}");
    }

    #[test]
    fn segments_are_replayed_as_far_as_they_hang_together() {
        let log = |segments: &[(u64, u64)]| -> BTreeMap<u64, Segment> {
            let segment = |(number, stable)| {
                let (number, stable) = (number * SEGMENT_BYTES, stable * SEGMENT_BYTES + 1000);
                (number, Segment { at: 0, number, stable })
            };
            segments.iter().copied().map(segment).collect()
        };
        for (segments, from, expected) in [
            (&[(0, 0), (1, 0), (2, 1)][..], 0, 0..3),
            (&[(0, 0), (3, 2), (4, 3)], 0, 0..5),
            (&[(0, 0), (2, 1), (4, 2)], 0, 0..3),
            (&[(0, 0), (2, 1)], 0, 0..0),
            (&[(0, 0), (2, 1)], 2, 2..3),
            (&[(0, 0), (2, 1)], 3, 3..3),
        ] {
            let range = replayed(&log(segments), from * SEGMENT_BYTES);
            let range = range.start / SEGMENT_BYTES..range.end / SEGMENT_BYTES;
            assert_eq!(range, expected, "{segments:?} from {from}");
        }
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
