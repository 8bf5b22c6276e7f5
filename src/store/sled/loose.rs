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
//! segments behind are cleared, once [`super::tail`] has them. What is left stands for itself if it reaches far
//! enough, because nothing that it needs was written over. sled writes over a segment when a header that it has
//! written calls the log stable up to behind the segment that says anew what was said there; headers before the
//! newest one call it stable up to no more than the last segment but one. So all that was said anew in the last
//! three, or behind what any header calls stable, is still there as it was said before. A log that ends before
//! these may miss something, and so may one of which any other part cannot be read: sled may have been writing
//! over it.

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

/// The number of the first of `segments` for which nothing was written over, if they call the log stable up to
/// `stable`. What stands before it has to be read.
pub(super) fn first_unsure(segments: impl Iterator<Item = u64>, stable: u64) -> u64 {
    let newest = segments.max().unwrap_or_default();
    newest.saturating_sub(BEFORE_NEWEST * SEGMENT_BYTES).min(stable)
}

/// The number of the segment from which on `segments` are loose, if any are. sled replays them on from `from`,
/// and passes over what it cannot read before `stable`; from `unsure` on none can have been written over.
pub(super) fn loose_from(
    file: &File,
    segments: &BTreeMap<u64, Segment>,
    from: u64,
    stable: u64,
    unsure: u64,
) -> io::Result<Option<u64>> {
    let mut content = Vec::new();
    for index in unsure.max(from) / SEGMENT_BYTES..stable / SEGMENT_BYTES {
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
    let is_headless = from < stable && !segments.contains_key(&stable);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::lease::Manifest;
    use super::super::log::{Damage, inspect};
    use super::super::message::kind::{BATCH, CAP, NODE};
    use super::super::message::tests::message;
    use super::super::segments::tests::header;
    use super::*;

    /// What stands in a segment behind its header; nothing if there is no such segment.
    type Content<'a> = Option<&'a [u8]>;

    const WHOLE: Content<'_> = Some(b"");
    const TORN: Content<'_> = Some(&[u8::MAX]);

    /// The numbers of the segments that are cleared of such a log, whose newest header calls it stable up to the
    /// middle of segment `stable`.
    fn cleared_of(log: &[Content<'_>], stable: u64) -> Result<Vec<u64>, Damage> {
        let directory = tempfile::tempdir().unwrap();
        let mut file = Vec::new();
        for (index, content) in (0_u8..).zip(log) {
            let number = u64::from(index) * SEGMENT_BYTES;
            let is_newest = usize::from(index) == log.len() - 1;
            let stable = if is_newest { stable * SEGMENT_BYTES + 1000 } else { number };
            let segment = content.map(|content| {
                let cap = message(CAP, index, 0, b"");
                [&header(number, stable.saturating_sub(10)), content, &cap].concat()
            });
            file.extend(segment.unwrap_or_default());
            file.resize((usize::from(index) + 1) * usize::try_from(SEGMENT_BYTES).unwrap(), 0);
        }
        fs::write(directory.path().join("db"), file).unwrap();
        let inspected = inspect(directory.path(), &Manifest::unsealed("a".into()), 0).unwrap();
        inspected.map(|places| places.into_iter().map(|at| at / SEGMENT_BYTES).collect())
    }

    #[track_caller]
    fn is_broken(log: &[Content<'_>], stable: u64) {
        let found = cleared_of(log, stable);
        assert!(matches!(found, Err(Damage::Broken { .. })), "{found:?}");
    }

    #[test]
    fn what_stands_behind_a_gap_that_a_header_hides_is_loose() {
        assert_eq!(cleared_of(&[WHOLE; 5], 3), Ok(vec![]));
        assert_eq!(cleared_of(&[WHOLE, WHOLE, WHOLE, WHOLE, TORN], 3), Ok(vec![]), "its end");
        assert_eq!(cleared_of(&[WHOLE, WHOLE, WHOLE, TORN, WHOLE], 3), Ok(vec![]), "sled sees it");
        assert_eq!(cleared_of(&[WHOLE, WHOLE, TORN, WHOLE, WHOLE], 3), Ok(vec![3, 4]));
        assert_eq!(cleared_of(&[WHOLE, WHOLE, None, WHOLE, WHOLE], 3), Ok(vec![3, 4]));
        assert_eq!(cleared_of(&[WHOLE, WHOLE, WHOLE, None, WHOLE], 3), Ok(vec![4]));
        assert_eq!(
            cleared_of(&[WHOLE, WHOLE, None, WHOLE, WHOLE], 2),
            Ok(vec![3, 4]),
            "a late one"
        );
    }

    #[test]
    fn a_log_is_not_cut_off_where_it_may_have_been_written_over() {
        assert_eq!(cleared_of(&[TORN, WHOLE, WHOLE, WHOLE, WHOLE], 3), Ok(vec![]), "it is spent");
        is_broken(&[TORN, WHOLE, TORN, WHOLE, WHOLE], 3);
        is_broken(&[WHOLE, TORN, TORN, WHOLE, WHOLE], 3);
        is_broken(&[WHOLE, TORN, None, WHOLE, WHOLE], 3);
        is_broken(&[WHOLE, None, TORN, WHOLE, WHOLE], 3);
    }

    #[test]
    fn a_log_ends_where_the_batch_begins_that_is_not_there_to_its_end() {
        let batch = |number, end: u64| {
            let batch = message(BATCH, number, 0, &end.to_le_bytes());
            [batch, message(NODE, number, 7, b"body")].concat()
        };
        let to_the_end = SEGMENT_BYTES * 5 / 2;
        let in_the_last_three = batch(2, to_the_end);
        let before = batch(1, to_the_end);
        let torn = [&in_the_last_three[..], &[u8::MAX]].concat();
        assert_eq!(cleared_of(&[WHOLE, WHOLE, Some(&torn), WHOLE, WHOLE], 3), Ok(vec![3, 4]));
        assert_eq!(cleared_of(&[WHOLE, Some(&before), WHOLE, WHOLE, WHOLE], 3), Ok(vec![]));
        is_broken(&[WHOLE, Some(&before), TORN, WHOLE, WHOLE], 3);
    }
}
