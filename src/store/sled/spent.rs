//! Segments of sled's log that are spent: whatever they say of any page is void, since a later segment says anew
//! all that there is to say of it. sled writes over such segments, and over no others.
//!
//! Knows which segments may be torn without a loss; not why one is.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io;

use super::message::{Head, MESSAGE_HEADER_MAX, Message, Messages};
use super::segments::{self, HEADER_BYTES, SEGMENT_BYTES, Segment};

/// What is written at once or not at all.
const SECTOR: usize = 512;

/// The numbers of those of `replayed` below `stable` that are torn and spent. `replayed` is in the order of the log.
pub(super) fn spent(file: &File, replayed: &[&Segment], stable: u64) -> io::Result<BTreeSet<u64>> {
    let (mut spent, mut said, mut content) = (BTreeSet::new(), HashSet::new(), Vec::new());
    let mut log_end = None;
    for segment in replayed.iter().rev() {
        segments::read(file, segment.at, &mut content)?;
        let number = segment.number / SEGMENT_BYTES;
        let mut messages = Messages::of(&content, number);
        let told: Vec<_> =
            messages.by_ref().map(|it| (it.replaced_page(), it.batch_end())).collect();
        let end = segment.number + messages.offset;
        let is_end = messages.is_torn && segment.number >= stable;
        let log_end = if is_end { log_end.insert(end) } else { log_end.get_or_insert(end) };
        // At a batch that is not there to its end, sled stops.
        let unfinished =
            told.iter().position(|(_, batch_end)| batch_end.is_some_and(|it| it >= *log_end));
        if is_end || unfinished.is_some() {
            // Nothing behind it is replayed.
            said.clear();
        } else if messages.is_torn && is_long(&content) && pages(&content, number).is_subset(&said)
        {
            spent.insert(segment.number);
        }
        let replayed = told.iter().take(unfinished.unwrap_or(told.len()));
        said.extend(replayed.filter_map(|(page, _)| *page));
    }
    Ok(spent)
}

/// Whether the segment is there to its end: where the file ends before, sled ends the log.
fn is_long(content: &[u8]) -> bool {
    content.len() as u64 == SEGMENT_BYTES
}

/// The pages that a torn segment says something of, as far as that can be told: by whole messages before and
/// behind the tear, and by the head of one that is damaged where one is due. A head in two sectors may be half
/// another's. What clients wrote may look like a message behind the tear: such a segment is not spent.
fn pages(content: &[u8], segment: u64) -> HashSet<u64> {
    let mut pages = HashSet::new();
    let (mut at, mut is_due) = (HEADER_BYTES, true);
    while let Some(rest) = content.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(message) = Message::first_in(rest, segment) {
            pages.extend(message.page());
            (at, is_due) = (at + message.length, true);
            continue;
        }
        if is_due {
            let head = Head::first_in(rest).filter(|head| {
                head.segment == segment && at / SECTOR == (at + head.bytes - 1) / SECTOR
            });
            pages.extend(head.and_then(|head| head.page()));
            pages.extend(page_of_flipped(rest, segment));
        }
        (at, is_due) = (at + 1, false);
    }
    pages
}

/// The page of the message that `bytes` begin with, if one bit of its head is flipped.
fn page_of_flipped(bytes: &[u8], segment: u64) -> Option<u64> {
    let mut bytes = bytes.to_vec();
    (0..MESSAGE_HEADER_MAX).flat_map(|at| (0..u8::BITS).map(move |bit| (at, bit))).find_map(
        |(at, bit)| {
            let at = usize::try_from(at).ok()?;
            *bytes.get_mut(at)? ^= 1 << bit;
            let page = Message::first_in(&bytes, segment).and_then(|message| message.page());
            *bytes.get_mut(at)? ^= 1 << bit;
            page
        },
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::message::kind::{BATCH, CAP, FREE, LINK, NODE};
    use super::super::message::tests::message;
    use super::super::segments::tests::header;
    use super::*;

    /// What a segment holds: kinds and pages of messages, nothing for one that is damaged; of a batch, the segment
    /// at whose start it ends.
    type Content<'a> = &'a [Option<(u8, u8)>];

    /// Which segments of such a log are spent, of which the last one is the first that is not known to be stable.
    fn spent_of(log: &[Content<'_>], stable: u64, cut: u64) -> Vec<u64> {
        let (mut file, mut segments) = (tempfile::tempfile().unwrap(), Vec::new());
        for (index, content) in (0_u8..).zip(log) {
            let number = u64::from(index) * SEGMENT_BYTES;
            segments.push(Segment { at: number, number, stable: 0 });
            let mut bytes = header(number, 0).to_vec();
            for entry in *content {
                bytes.extend(match *entry {
                    Some((BATCH, segment)) => {
                        let end = u64::from(segment) * SEGMENT_BYTES;
                        message(BATCH, index, 0, &end.to_le_bytes())
                    }
                    Some((kind, page)) => message(kind, index, page, b"body"),
                    None => vec![255; 9],
                });
            }
            bytes.extend(message(CAP, index, 0, b""));
            bytes.resize(usize::try_from(SEGMENT_BYTES).unwrap(), 0);
            file.write_all(&bytes).unwrap();
        }
        file.set_len(log.len() as u64 * SEGMENT_BYTES - cut).unwrap();
        let replayed: Vec<_> = segments.iter().collect();
        let spent = spent(&file, &replayed, stable * SEGMENT_BYTES).unwrap();
        spent.into_iter().map(|number| number / SEGMENT_BYTES).collect()
    }

    #[test]
    fn a_torn_segment_is_spent_once_all_its_pages_are_said_anew() {
        let torn: Content<'_> = &[Some((NODE, 7)), None, Some((LINK, 8))];
        let [node, free] = [Some((NODE, 7)), Some((FREE, 8))];
        assert_eq!(spent_of(&[torn, &[node, free]], 1, 0), [0]);
        assert_eq!(spent_of(&[torn, &[node], &[free]], 1, 0), [0], "one after the other");
        assert_eq!(spent_of(&[torn, torn, &[node, free]], 2, 0), [0, 1]);
        assert!(spent_of(&[torn, &[free]], 1, 0).is_empty(), "without what is before the tear");
        assert!(spent_of(&[torn, &[node]], 1, 0).is_empty(), "without what is behind it");
        assert!(
            spent_of(&[torn, &[node, Some((LINK, 8))]], 1, 0).is_empty(),
            "a change is not all"
        );
        assert!(spent_of(&[&[node, free], torn], 2, 0).is_empty(), "not by what was said before");
    }

    #[test]
    fn what_is_not_replayed_says_nothing() {
        let torn: Content<'_> = &[Some((NODE, 7)), None];
        let node = Some((NODE, 7));
        assert_eq!(spent_of(&[torn, &[node, None]], 1, 0), [0], "before the end of the log");
        assert!(spent_of(&[torn, &[None, node]], 1, 0).is_empty(), "behind it");
        assert!(spent_of(&[torn, &[None], &[node]], 1, 0).is_empty(), "behind it, in another");
        assert_eq!(spent_of(&[torn, &[None], &[node]], 2, 0), [0, 1], "which is none below stable");
    }

    #[test]
    fn a_segment_that_is_the_end_of_the_file_has_to_be_whole() {
        let log: &[Content<'_>] = &[&[Some((NODE, 7)), None]];
        assert!(spent_of(log, 1, 1).is_empty());
        assert!(spent_of(&[&[None]], 1, 1).is_empty());
        assert_eq!(spent_of(&[&[None]], 1, 0), [0], "nothing is said of any page");
    }

    #[test]
    fn a_damaged_message_is_about_its_page_still() {
        let (header, mut bytes) = (vec![0; HEADER_BYTES], message(NODE, 3, 7, b"body"));
        bytes[9] ^= 1;
        let of = |pieces: &[&[u8]]| pages(&pieces.concat(), 3);
        assert_eq!(of(&[&header, &bytes]), [7].into());
        assert_eq!(of(&[&header, &message(LINK, 3, 8, b"body"), &bytes]), [7, 8].into());
        assert!(of(&[&header, &[0], &bytes]).is_empty(), "where none is due");
        let to_four_bytes_before_the_next_sector = message(LINK, 3, 8, &[b'x'; 236]).repeat(2);
        bytes[10] ^= 1;
        let found = of(&[&header, &to_four_bytes_before_the_next_sector, &bytes]);
        assert_eq!(found, [8].into(), "in two sectors");
    }

    #[test]
    fn a_flipped_bit_of_a_head_does_not_hide_its_page() {
        let header = [0; HEADER_BYTES];
        let sound = message(NODE, 3, 7, b"body");
        for bit in 0..(sound.len() - b"body".len()) * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(pages(&[&header[..], &bytes].concat(), 3).contains(&7), "bit {bit}");
        }
    }

    #[test]
    fn what_stands_in_an_unfinished_batch_says_nothing() {
        let torn: Content<'_> = &[Some((NODE, 7)), None];
        let node = Some((NODE, 7));
        let batch = |end| Some((BATCH, end));
        assert_eq!(spent_of(&[torn, &[batch(1), node]], 1, 0), [0]);
        assert!(spent_of(&[torn, &[batch(2), node]], 1, 0).is_empty());
        assert_eq!(spent_of(&[torn, &[node, batch(2)]], 1, 0), [0], "before it");
        assert_eq!(spent_of(&[torn, &[batch(2), node], &[]], 1, 0), [0], "its end is there");
        assert!(spent_of(&[torn, &[batch(3)], &[node]], 1, 0).is_empty(), "sled stops before");
    }
}
