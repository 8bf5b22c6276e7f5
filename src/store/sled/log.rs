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
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::lease::Manifest;
use super::recover::SEGMENT_BYTES;
use super::tally;

/// What each segment starts with: a checksum, its number and how far the log was stable.
pub(super) const HEADER_BYTES: usize = 20;
/// What the numbers in it are combined with.
pub(super) const MASK: u64 = 0x7FFF_FFFF_FFFF_FFFF;
/// The longest header of a message; no message starts with less than this left of a segment.
const MESSAGE_HEADER_MAX: u64 = 32;
/// The kinds of messages that matter here, and the last one that there is.
mod kind {
    /// Nothing follows in the segment.
    pub(super) const CAP: u8 = 2;
    /// The beginning of a batch, which says where it ends.
    pub(super) const BATCH: u8 = 3;
    /// A whole node of a tree.
    pub(super) const NODE: u8 = 8;
    /// One change of a node.
    pub(super) const LINK: u8 = 10;
    pub(super) const LAST: u8 = 11;
}
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
    let segments = match segments(&file)? {
        Ok(segments) => segments,
        Err(damage) => return Ok(Err(damage)),
    };
    if segments.is_empty() {
        return Ok(Err(Damage::Empty));
    }
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
fn segments(file: &File) -> io::Result<Result<BTreeMap<u64, u64>, Damage>> {
    let length = file.metadata()?.len();
    let mut found = BTreeMap::new();
    let starts = (0..).map(|index| index * SEGMENT_BYTES);
    for at in starts.take_while(|at| at + HEADER_BYTES as u64 <= length) {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, at)?;
        // Never written, or cleared when it was given up.
        if header == [0; HEADER_BYTES] {
            continue;
        }
        let (checksum, rest) = header.split_at(4);
        let number = rest.first_chunk().map(|number| u64::from_le_bytes(*number) ^ MASK);
        let is_sound = checksum == (!crc32fast::hash(rest)).to_le_bytes();
        match number.filter(|number| is_sound && number.is_multiple_of(SEGMENT_BYTES)) {
            None => return Ok(Err(Damage::Header { at })),
            Some(number) if found.insert(number, at).is_some() => {
                return Ok(Err(Damage::Twice { at }));
            }
            Some(_) => {}
        }
    }
    Ok(Ok(found))
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
        fill(&self.file, &mut segment, at)?;
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
        } else if message.may_hold_tally() {
            self.open = tally::number_in(message.body, &self.prefix).or(self.open);
        }
        if self.batch_end < end {
            self.found = self.found.max(self.open.take().unwrap_or(0));
        }
    }
}

/// A message that is sound.
struct Message<'a> {
    kind: u8,
    body: &'a [u8],
    /// Its length with its header.
    length: usize,
}

impl<'a> Message<'a> {
    /// The message that `bytes` begins with, in the segment of this number; nothing if it is damaged, or was
    /// written when the segment had another number.
    fn first_in(bytes: &'a [u8], segment: u64) -> Option<Self> {
        let (checksum, content) = bytes.split_first_chunk()?;
        let (&kind, rest) = content.split_first()?;
        let (length, rest) = number(rest)?;
        let (of_segment, rest) = number(rest)?;
        let (_page, rest) = number(rest)?;
        let body = rest.get(..usize::try_from(length).ok()?)?;
        let header = content.get(..content.len() - rest.len())?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(body);
        hasher.update(header);
        let is_sound = !hasher.finalize() == u32::from_le_bytes(*checksum);
        let length = checksum.len() + header.len() + body.len();
        let is_message = (1..=kind::LAST).contains(&kind) && of_segment == segment;
        (is_sound && is_message).then_some(Self { kind, body, length })
    }

    /// Whether to look for the tally in it: searching all messages would take longer than reading them.
    fn may_hold_tally(&self) -> bool {
        match self.kind {
            // A 0 is how the setting of a key begins, and its length follows.
            kind::LINK => {
                self.body.get(2..).is_some_and(|key| key.starts_with(tally::NAME.as_bytes()))
            }
            kind::NODE => self.body.len() < TALLY_BYTES_MAX,
            _ => false,
        }
    }
}

/// The number that `bytes` begins with, as sled writes those that are mostly small, and what follows it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let first = u64::from(first);
    match first {
        0..=240 => Some((first, rest)),
        241..=248 => {
            let (&low, rest) = rest.split_first()?;
            Some((240 + 256 * (first - 241) + u64::from(low), rest))
        }
        249 => {
            let ([high, low], rest) = rest.split_first_chunk()?;
            Some((2288 + 256 * u64::from(*high) + u64::from(*low), rest))
        }
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::try_from(first - 247).ok()?)?;
            let number = digits.iter().rev().fold(0, |sum, digit| sum << 8 | u64::from(*digit));
            Some((number, rest))
        }
    }
}

/// Reads the segment at `at`, which the end of the file may cut short.
fn fill(file: &File, segment: &mut Vec<u8>, at: u64) -> io::Result<()> {
    segment.resize(usize::try_from(SEGMENT_BYTES).map_err(io::Error::other)?, 0);
    let mut length = 0;
    while let Some(rest) = segment.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    segment.truncate(length);
    Ok(())
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

    #[test]
    fn numbers_are_read_as_sled_writes_them() {
        for (bytes, expected) in [
            (&[0][..], 0),
            (&[240], 240),
            (&[241, 0], 240),
            (&[248, 255], 2287),
            (&[249, 0, 0], 2288),
            (&[249, 255, 255], 67_823),
            (&[250, 1, 2, 3], 0x03_02_01),
            (&[255, 1, 0, 0, 0, 0, 0, 0, 2], 0x0200_0000_0000_0001),
        ] {
            assert_eq!(number(bytes), Some((expected, &[][..])), "{bytes:?}");
            assert_eq!(number(&bytes[..bytes.len() - 1]), None, "{bytes:?}");
        }
    }
}
