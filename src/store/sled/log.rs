//! sled's log, read before sled does: sled takes the first message that it cannot read for the end of the log
//! or of its segment, and silently goes on without what follows. A cut of the power leaves such an end too,
//! but never before a commit that was answered; where it comes earlier, data was lost.
//!
//! The file is a row of segments, each with a checksummed header that holds its number in the log, and each
//! filled with checksummed messages up to a cap. Only what sled replays is read: from the snapshot that it made
//! at its last opening on. What stands before that, it reads with a check of its own at each access.
//!
//! What a cut of the power left [`loose`](super::loose) is set aside first, to be cleared. A tear is the end of the
//! log in the segment up to which the newest headers call the log stable, and in those after it: what counts
//! there is whether it comes before the last commit that was answered. In a segment before, it is only the end of that segment to sled, and no count shows whether a page is missed that was
//! said there and nowhere later. A cut of the power leaves such tears, in two ways: sectors of what is written
//! over a free segment may arrive without the first, which holds the header; and a start that broke off may
//! have cleared some sectors of a free segment, before [`super::tail`] put back a log in which it is not free
//! yet. Both happen to spent segments only, and to those a tear is no loss, whatever made it. So a tear there
//! is passed over if the segment is [`spent`], and refused in any other. What has overwritten it is no better
//! sign: of a long message, one sector is told from damage by nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;

use super::lease::Manifest;
use super::loose::{first_unsure, loose_from};
use super::message::{Message, Messages, kind};
use super::segments::{self, BadHeader, SEGMENT_BYTES, Segment, segments, start_of};
use super::snapshot;
use super::spent;
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
    /// sled would go on without what stands in a segment, and in no later one.
    #[error("it cannot be read at byte {at}, and sled would go on behind it")]
    Broken {
        /// Where it cannot be read.
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

/// Whether all that `directory` holds of the log up to commit number `promised` can be replayed, once the loose
/// segments are cleared that stand at these places of the file.
pub(super) fn inspect(
    directory: &Path,
    manifest: &Manifest,
    promised: u64,
) -> io::Result<Result<Vec<u64>, Damage>> {
    let file = File::open(directory.join("db"))?;
    let mut segments = match by_number(segments(&file)?) {
        Ok(segments) => segments,
        Err(damage) => return Ok(Err(damage)),
    };
    let from = start_of(snapshot::log_end(directory)?);
    let stable = stable(&segments, from);
    let unsure = first_unsure(segments.keys().copied(), stable);
    // Without a snapshot that was there, what it had cleared is missing.
    let is_told = from > 0 || snapshot::newest(directory)?.is_none();
    let loose = match loose_from(&file, &segments, from, stable, unsure)? {
        Some(number) if is_told => segments.split_off(&number),
        _ => BTreeMap::new(),
    };
    let mut reader = Reader::new(file, manifest);
    let end = match replay(&mut reader, &segments, from, promised)? {
        Ok(end) => end,
        Err(damage) => return Ok(Err(damage)),
    };
    if end < unsure || !loose.is_empty() && !reader.reads_all(segments.range(..unsure))? {
        return Ok(Err(Damage::Broken { at: reader.at }));
    }
    Ok(Ok(loose.into_values().map(|segment| segment.at).collect()))
}

/// Up to where in the log sled would replay these segments, on from `from`, if all up to commit number `promised`
/// is there.
fn replay(
    reader: &mut Reader,
    segments: &BTreeMap<u64, Segment>,
    from: u64,
    promised: u64,
) -> io::Result<Result<u64, Damage>> {
    let stable = stable(segments, from);
    let replayed: Vec<&Segment> =
        segments.range(replayed(segments, from)).map(|(_, segment)| segment).collect();
    let mut spent = None;
    for segment in &replayed {
        if reader.read(segment)? {
            continue;
        }
        if segment.number >= stable {
            break;
        }
        let spent: &BTreeSet<u64> = match &spent {
            Some(spent) => spent,
            None => spent.insert(spent::spent(&reader.file, &replayed, stable)?),
        };
        if !spent.contains(&segment.number) {
            return Ok(Err(Damage::Broken { at: reader.at }));
        }
    }
    let (at, end) = (reader.at, reader.end().max(from));
    // No commit since the snapshot: the last one stands in what is not replayed.
    for (_, segment) in segments.range(..from).rev() {
        if reader.found >= promised {
            break;
        }
        reader.batch = (0, 0);
        reader.read(segment)?;
    }
    let found = reader.found;
    Ok(if found < promised { Err(Damage::Lost { found, promised, at }) } else { Ok(end) })
}

/// Which segments sled replays, by their numbers. Before the one up to which the log is known to be stable, any
/// may be missing; from that one on, sled stops at the first that is, and if it is that very one, it replays
/// nothing at all.
fn replayed(segments: &BTreeMap<u64, Segment>, from: u64) -> Range<u64> {
    let stable = stable(segments, from);
    let numbers = (0..).map(|index| stable + index * SEGMENT_BYTES);
    let last = numbers.take_while(|number| segments.contains_key(number)).last();
    from..last.map_or(from, |last| last + SEGMENT_BYTES)
}

/// The number of the segment up to which the log is known to be stable.
fn stable(segments: &BTreeMap<u64, Segment>, from: u64) -> u64 {
    start_of(segments.range(from..).map(|(_, segment)| segment.stable).fold(from, u64::max))
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
    /// Where in the log its batch starts, and ends: with this byte.
    batch: (u64, u64),
    /// Where in the log it was read up to, and where in the file that is.
    read_to: u64,
    at: u64,
}

impl Reader {
    fn new(file: File, manifest: &Manifest) -> Self {
        let prefix = tally::prefix(manifest);
        Self {
            file,
            prefix,
            content: Vec::new(),
            found: 0,
            open: None,
            batch: (0, 0),
            read_to: 0,
            at: 0,
        }
    }

    /// Reads a segment; whether to its end.
    fn read(&mut self, &Segment { at, number, .. }: &Segment) -> io::Result<bool> {
        let mut content = std::mem::take(&mut self.content);
        segments::read(&self.file, at, &mut content)?;
        let mut messages = Messages::of(&content, number / SEGMENT_BYTES);
        while let Some(message) = messages.next() {
            self.note(&message, number + messages.offset);
        }
        self.at = at + messages.offset;
        let is_whole = !messages.is_torn;
        self.read_to = number + if is_whole { SEGMENT_BYTES } else { messages.offset };
        self.content = content;
        Ok(is_whole)
    }

    /// Whether all of these can be read to their ends.
    fn reads_all<'a>(
        &mut self,
        segments: impl Iterator<Item = (&'a u64, &'a Segment)>,
    ) -> io::Result<bool> {
        for (_, segment) in segments {
            if !self.read(segment)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where in the log sled stops, which replays no part of a batch.
    const fn end(&self) -> u64 {
        let (start, end) = self.batch;
        if end >= self.read_to { start } else { self.read_to }
    }

    /// Takes note of a message that ends before `end` in the log.
    fn note(&mut self, message: &Message<'_>, end: u64) {
        if let Some(batch_end) = message.batch_end() {
            self.batch = (end - message.length as u64, batch_end);
        } else if may_hold_tally(message) {
            self.open = tally::number_in(message.body, &self.prefix).or(self.open);
        }
        if self.batch.1 < end {
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

    use super::super::lease::settled_length;
    use super::super::loose;
    use super::super::segments::HEADER_BYTES;
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
        assert_eq!(inspect(COMMITS), Ok(Vec::new()));
        let lost = inspect(COMMITS + 1).unwrap_err();
        assert!(matches!(lost, Damage::Lost { found: COMMITS, .. }), "{lost}");
        // Replayed from a snapshot behind the last commit, it still does.
        settled_length(&directory.path().join("db"));
        drop(::sled::open(directory.path()).unwrap());
        assert_eq!(inspect(COMMITS), Ok(Vec::new()));
    }

    #[test]
    fn a_damaged_message_loses_the_commits_after_it_and_none_before() {
        let (directory, manifest) = log();
        flip(directory.path(), 100_000);
        let lost = inspect(directory.path(), &manifest, COMMITS).unwrap().unwrap_err();
        let Damage::Lost { found, at, .. } = lost else { panic!("{lost}") };
        assert!((1..COMMITS).contains(&found), "{found}");
        assert!(at <= 100_000, "{at}");
        assert_eq!(inspect(directory.path(), &manifest, found).unwrap(), Ok(Vec::new()));
    }

    /// How many commits [`worn`] has, and how many trees one of them makes, so much that they stay where they are.
    const WORN: u64 = 150;
    const ONCE: u8 = 18;
    const ONCE_AT: u64 = 60;

    /// A log most of whose segments hold nothing that is not said anew later, and its length.
    fn worn() -> (tempfile::TempDir, Manifest) {
        let (directory, manifest) = (tempfile::tempdir().unwrap(), Manifest::unsealed("a".into()));
        let db = ::sled::Config::new().path(directory.path()).flush_every_ms(None).open().unwrap();
        let tally = Tally::resume(&db, directory.path(), &manifest).unwrap();
        for commit in 0..WORN {
            for number in (0..ONCE).filter(|_| commit == ONCE_AT) {
                db.open_tree([number]).unwrap().insert("once", vec![1; 20_000]).unwrap();
            }
            db.insert("often", vec![u8::try_from(commit).unwrap(); 20_000]).unwrap();
            let (tree, batch) = tally.next();
            tree.apply_batch(batch).unwrap();
            db.flush().unwrap();
        }
        drop((tally, db));
        settled_length(&directory.path().join("db"));
        (directory, manifest)
    }

    /// Which commits of [`worn`] sled finds if its log is this; nothing if there is not all of each.
    fn complete(log: &[u8], directory: &Path, manifest: &Manifest) -> Option<u64> {
        let copy = tempfile::tempdir().unwrap();
        fs::copy(directory.join("conf"), copy.path().join("conf")).unwrap();
        fs::write(copy.path().join("db"), log).unwrap();
        let db = ::sled::Config::new().path(copy.path()).flush_every_ms(None).open().ok()?;
        let held = tally::held(&db, manifest).ok()?;
        let last = vec![u8::try_from(held.checked_sub(1)?).unwrap(); 20_000];
        let has = |number| db.open_tree(number).is_ok_and(|it| it.len() == 1);
        let is_complete = db.get("often").ok()?.is_some_and(|value| *value == last)
            && (held <= ONCE_AT || (0..ONCE).all(|number| has([number])));
        is_complete.then_some(held)
    }

    /// What [`worn`] has written, its segments in their order, and the first that is stable.
    fn segments_of(directory: &Path) -> (Vec<u8>, Vec<Segment>, u64) {
        let path = directory.join("db");
        let segments = by_number(segments(&File::open(&path).unwrap()).unwrap()).unwrap();
        let stable = stable(&segments, 0);
        (fs::read(path).unwrap(), segments.into_values().collect(), stable)
    }

    fn holds_all(log: &[u8], directory: &Path, manifest: &Manifest) -> Result<Vec<u64>, Damage> {
        fs::write(directory.join("db"), log).unwrap();
        inspect(directory, manifest, WORN).unwrap()
    }

    #[test]
    fn what_a_cut_of_the_power_left_loose_is_cut_off() {
        let (directory, manifest) = worn();
        let directory = directory.path();
        let (sound, segments, stable) = segments_of(directory);
        let [.., before, last_but_one, newest] = &segments[..] else { panic!("{segments:?}") };
        assert_eq!(last_but_one.number, stable, "what stands before is believed");
        let place = |segment: &Segment| usize::try_from(segment.at).unwrap();
        let torn = [(before, 300_000), (before, 50_000), (before, 0), (last_but_one, 0)];
        for (segment, at) in torn {
            let mut log = sound.clone();
            log[place(segment) + at..][..HEADER_BYTES].fill(0);
            let Err(Damage::Lost { found, .. }) = holds_all(&log, directory, &manifest) else {
                panic!("{segment:?} at {at}: it was answered and is not there")
            };
            let loose = inspect(directory, &manifest, found).unwrap().unwrap();
            let behind = if at > 0 { &[last_but_one, newest][..] } else { &[newest] };
            assert!(behind.iter().all(|it| loose.contains(&it.at)), "{segment:?} at {at}");
            assert_ne!(complete(&log, directory, &manifest), Some(found), "sled goes on behind it");
            loose::clear(&directory.join("db"), &loose).unwrap();
            log = fs::read(directory.join("db")).unwrap();
            assert_eq!(complete(&log, directory, &manifest), Some(found), "{segment:?} at {at}");
        }
    }

    #[test]
    fn a_tear_before_the_last_three_segments_is_not_the_end_of_a_log() {
        let (directory, manifest) = worn();
        let (mut log, segments, _) = segments_of(directory.path());
        let [earlier, .., _, _, _] = &segments[..] else { panic!("{segments:?}") };
        let at = usize::try_from(earlier.at).unwrap() + HEADER_BYTES;
        log[at..][..HEADER_BYTES].fill(0);
        fs::write(directory.path().join("db"), log).unwrap();
        let inspected = inspect(directory.path(), &manifest, 1).unwrap();
        assert!(matches!(inspected, Err(Damage::Broken { .. })), "{inspected:?}");
    }

    #[test]
    fn a_spent_segment_of_which_some_sectors_are_new_or_cleared_is_no_loss() {
        const SECTOR: usize = 512;
        let (directory, manifest) = worn();
        let directory = directory.path();
        let (sound, segments, stable) = segments_of(directory);
        let start = |segment: &Segment| usize::try_from(segment.at).unwrap();
        let new = &sound[start(segments.last().unwrap())..][..16 * SECTOR];
        let contents = [new, &[0; 16 * SECTOR]];
        let mut spent = 0;
        let below = segments.iter().filter(|segment| segment.number < stable);
        for (segment, content) in below.flat_map(|it| contents.map(|content| (it, content))) {
            // The first sector, which holds the header, is the old one.
            for written in [&[1][..], &[15], &[3, 4, 5], &[1, 3, 5, 7, 9, 11], &[8, 9, 10, 11, 12]]
            {
                let mut log = sound.clone();
                for at in written.iter().map(|sector| sector * SECTOR) {
                    log[start(segment) + at..][..SECTOR].copy_from_slice(&content[at..][..SECTOR]);
                }
                let inspected = holds_all(&log, directory, &manifest);
                if let Err(damage) = inspected {
                    assert!(matches!(damage, Damage::Broken { .. } | Damage::Lost { .. }));
                } else {
                    assert_eq!(complete(&log, directory, &manifest), Some(WORN), "{segment:?}");
                    spent += 1;
                }
            }
        }
        assert_eq!(spent, 2 * 5, "all of one segment");
    }

    #[test]
    fn a_flipped_bit_is_found_or_it_is_no_loss() {
        let (directory, manifest) = worn();
        let directory = directory.path();
        let (sound, segments, stable) = segments_of(directory);
        let mut broken = 0;
        for at in (HEADER_BYTES + 5..sound.len()).step_by(99_991) {
            let mut log = sound.clone();
            log[at] ^= 1 << (at % 8);
            match holds_all(&log, directory, &manifest) {
                Ok(_) => assert_eq!(complete(&log, directory, &manifest), Some(WORN), "byte {at}"),
                Err(Damage::Broken { at: found }) => {
                    assert!(found <= at as u64, "byte {at}");
                    broken += 1;
                }
                Err(_) => {}
            }
        }
        assert!(broken > 0, "below {stable}: {segments:?}");
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
