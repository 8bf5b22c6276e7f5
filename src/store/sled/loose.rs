//! The end of a log that a cut of the power has left loose: the header of a segment is there, and of what comes
//! before it something is not.
//!
//! The header of a segment says how far the log was written, synced or not, and sled believes it: of the segments
//! before the one that is named, it passes over what it cannot read and misses none that is not there. sled syncs
//! no more often than it collects garbage, and may have written more than a segment since. So the header may get
//! to the disk when the end of the segment before the last has not, and sled would put what follows together with
//! pages that miss something.
//!
//! Nothing of it was answered, or it would have been synced: the log is cut off where it cannot be read, and all
//! segments behind are cleared, once [`super::tail`] has them. What is left stands for itself, because nothing
//! that it needs was written over. sled writes over a segment when a header that it has written calls the log
//! stable up to behind the one that says anew what was said there; headers before the newest one call it stable
//! up to no more than the last segment but one. So all that was said anew in the last three is still there as it
//! was said before. Of a tear before these nothing is known.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::lease::ours;
use super::message::Messages;
use super::segments::{self, HEADER_BYTES, SEGMENT_BYTES, Segment};

/// How many segments before the newest one nothing was written over for.
const BEFORE_NEWEST: u64 = 2;

/// The number of the first segment that may hold what nothing else says: this one, and those after it, are read
/// before they are believed.
pub(super) fn first_unsure(segments: impl Iterator<Item = u64>) -> u64 {
    let newest = segments.max().unwrap_or_default();
    newest.saturating_sub(BEFORE_NEWEST * SEGMENT_BYTES)
}

/// The number of the segment from which on `segments` are loose, if any are. sled replays them on from `from`, and
/// is sure of those before `stable`.
pub(super) fn loose_from(
    file: &File,
    segments: &BTreeMap<u64, Segment>,
    from: u64,
    stable: u64,
) -> io::Result<Option<u64>> {
    let first = first_unsure(segments.keys().copied()).max(from);
    let mut content = Vec::new();
    for index in first / SEGMENT_BYTES..stable / SEGMENT_BYTES {
        let number = index * SEGMENT_BYTES;
        let Some(segment) = segments.get(&number) else { return Ok(Some(number)) };
        segments::read(file, segment.at, &mut content)?;
        let mut messages = Messages::of(&content, index);
        messages.by_ref().for_each(drop);
        if messages.is_torn {
            return Ok(Some(number + SEGMENT_BYTES));
        }
    }
    // Without that one, sled would replay nothing.
    let is_headless = first < stable && !segments.contains_key(&stable);
    Ok(is_headless.then_some(stable))
}

/// Clears the headers of the segments at these places of `file`, for good.
pub(super) fn clear(file: &Path, places: &[u64]) -> io::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        segments = places.len(),
        "cut off what a power cut has left behind the log's end"
    );
    let file = ours().write(true).open(file)?;
    for at in places {
        file.write_all_at(&[0; HEADER_BYTES], *at)?;
    }
    file.sync_all()
}
