//! sled's log, read before sled does: sled takes the first message that it cannot read for the end of the log
//! or of its segment, and silently goes on without what follows. A cut of the power leaves such an end too,
//! but never before a commit that was answered; where it comes earlier, data was lost.
//!
//! The file is a row of segments, each with a checksummed header that holds its number in the log, and each
//! filled with checksummed messages up to a cap. Only what sled replays is read: from the snapshot that it made
//! at its last opening on. What stands before that, it reads with a check of its own at each access.
//!
//! What a cut of the power left [`loose`](super::loose) is set aside first, to be cleared. A tear is the end of the log
//! in the segment up to which the newest headers call the log stable, and in those after it: what counts there is
//! whether it comes before the last commit that was answered. In a segment before, it is only the end of that segment
//! to sled, and no count shows whether a page is missed that was said there and nowhere later. A cut of the power
//! leaves such tears, in two ways: sectors of what is written over a free segment may arrive without the first, which
//! holds the header; and a start that broke off may have cleared some sectors of a free segment, before [`super::tail`]
//! put back a log in which it is not free yet. Both happen to spent segments only, and to those a tear is no loss,
//! whatever made it. So a tear there is passed over if the segment is [`spent`], and refused in any other. What has
//! overwritten it is no better sign: of a long message, one sector is told from damage by nothing.

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
mod tests;
