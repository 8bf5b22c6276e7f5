//! The messages that a segment of sled's log is filled with: one checksummed message after another, up to a
//! cap. Knows how they are written; what they amount to is [`super::log`]'s.

use super::segments::{HEADER_BYTES, SEGMENT_BYTES};

/// The longest header of a message; no message starts with less than this left of a segment.
pub(super) const MESSAGE_HEADER_MAX: u64 = 32;
/// The kinds of messages that matter here, and the last one that there is.
pub(super) mod kind {
    /// Nothing follows in the segment.
    pub(in crate::store::sled) const CAP: u8 = 2;
    /// The beginning of a batch, which says where it ends.
    pub(in crate::store::sled) const BATCH: u8 = 3;
    /// A page is no longer used. All kinds from here on are about a page.
    pub(in crate::store::sled) const FREE: u8 = 4;
    /// A whole node of a tree.
    pub(in crate::store::sled) const NODE: u8 = 8;
    /// One change of a node. Kinds below it, of those about a page, make all that was said of it before void.
    pub(in crate::store::sled) const LINK: u8 = 10;
    /// No kind is above it.
    pub(super) const LAST: u8 = 11;
}

/// What a message begins with.
pub(super) struct Head {
    checksum: u32,
    kind: u8,
    length: usize,
    /// The number of the segment that it was written for.
    pub(super) segment: u64,
    page: u64,
    /// How many bytes it takes.
    pub(super) bytes: usize,
}

impl Head {
    /// The one that `bytes` begin with, sound or not; nothing if there is none that sled would write.
    pub(super) fn first_in(bytes: &[u8]) -> Option<Self> {
        let (checksum, rest) = bytes.split_first_chunk()?;
        let checksum = u32::from_le_bytes(*checksum);
        let (&kind, rest) =
            rest.split_first().filter(|(kind, _)| (1..=kind::LAST).contains(kind))?;
        let (length, rest) = number(rest)?;
        let (segment, rest) = number(rest)?;
        let (page, rest) = number(rest)?;
        let length = usize::try_from(length).ok()?;
        Some(Self { checksum, kind, length, segment, page, bytes: bytes.len() - rest.len() })
    }

    /// The page that it is about.
    pub(super) fn page(&self) -> Option<u64> {
        (self.kind >= kind::FREE).then_some(self.page)
    }
}

/// A message that is sound.
pub(super) struct Message<'a> {
    head: Head,
    /// One of [`kind`].
    pub(super) kind: u8,
    /// What it says.
    pub(super) body: &'a [u8],
    /// Its length with its header.
    pub(super) length: usize,
}

impl<'a> Message<'a> {
    /// The message that `bytes` begins with, in the segment of this number; nothing if it is damaged, or was
    /// written when the segment had another number.
    pub(super) fn first_in(bytes: &'a [u8], segment: u64) -> Option<Self> {
        let head = Head::first_in(bytes).filter(|head| head.segment == segment)?;
        let (header, rest) = bytes.split_at_checked(head.bytes)?;
        let body = rest.get(..head.length)?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(body);
        hasher.update(header.get(size_of_val(&head.checksum)..)?);
        let is_sound = !hasher.finalize() == head.checksum;
        let (kind, length) = (head.kind, head.bytes + head.length);
        is_sound.then_some(Self { head, kind, body, length })
    }

    /// The page that it is about.
    pub(super) fn page(&self) -> Option<u64> {
        self.head.page()
    }

    /// Where in the log the batch ends that it begins: with this byte.
    pub(super) fn batch_end(&self) -> Option<u64> {
        let end = self.body.first_chunk().filter(|_| self.kind == kind::BATCH)?;
        Some(u64::from_le_bytes(*end))
    }

    /// The page of which it says all that there is to say.
    pub(super) fn replaced_page(&self) -> Option<u64> {
        self.page().filter(|_| self.kind < kind::LINK)
    }
}

/// The messages of a segment one after the other, up to its cap or to the first that cannot be read.
pub(super) struct Messages<'a> {
    rest: &'a [u8],
    segment: u64,
    /// Where in the segment it was read up to.
    pub(super) offset: u64,
    /// Whether that is where one cannot be read.
    pub(super) is_torn: bool,
    is_capped: bool,
}

impl<'a> Messages<'a> {
    /// Those in `content`, which is that of the segment of this number, its header included.
    pub(super) fn of(content: &'a [u8], segment: u64) -> Self {
        let rest = content.get(HEADER_BYTES..).unwrap_or_default();
        Self { rest, segment, offset: HEADER_BYTES as u64, is_torn: false, is_capped: false }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_torn || self.is_capped || self.offset + MESSAGE_HEADER_MAX > SEGMENT_BYTES {
            return None;
        }
        let message = Message::first_in(self.rest, self.segment);
        self.is_torn = message.is_none();
        let message = message?;
        self.rest = self.rest.get(message.length..).unwrap_or_default();
        self.offset += message.length as u64;
        self.is_capped = message.kind == kind::CAP;
        (!self.is_capped).then_some(message)
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

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A message about `page`, as sled writes it.
    pub(in crate::store::sled) fn message(kind: u8, segment: u8, page: u8, body: &[u8]) -> Vec<u8> {
        let head = [kind, u8::try_from(body.len()).unwrap(), segment, page];
        let checksum = !crc32fast::hash(&[body, &head].concat());
        [&checksum.to_le_bytes()[..], &head, body].concat()
    }

    #[test]
    fn a_message_is_read_in_its_own_segment_only_and_not_if_it_is_damaged() {
        let mut bytes = message(kind::NODE, 3, 7, b"body");
        assert!(Message::first_in(&bytes, 4).is_none());
        let found = Message::first_in(&bytes, 3).unwrap();
        assert_eq!((found.kind, found.body, found.length), (kind::NODE, &b"body"[..], bytes.len()));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Message::first_in(&bytes, 3).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn what_a_message_replaces_depends_on_its_kind() {
        for (kind, page, replaced) in [
            (1, None, None),
            (kind::CAP, None, None),
            (kind::BATCH, None, None),
            (kind::FREE, Some(7), Some(7)),
            (kind::NODE, Some(7), Some(7)),
            (kind::LINK, Some(7), None),
            (kind::LAST, Some(7), None),
        ] {
            let bytes = message(kind, 3, 7, b"");
            let message = Message::first_in(&bytes, 3).unwrap();
            assert_eq!((message.page(), message.replaced_page()), (page, replaced), "kind {kind}");
        }
        for kind in [0, kind::LAST + 1] {
            assert!(Message::first_in(&message(kind, 3, 7, b""), 3).is_none(), "kind {kind}");
        }
    }

    #[test]
    fn messages_end_with_a_cap_or_a_tear() {
        let [node, cap] = [message(kind::NODE, 3, 7, b"b"), message(kind::CAP, 3, 0, b"")];
        let read = |pieces: &[&[u8]]| {
            let content = [&[0; HEADER_BYTES], &pieces.concat()[..]].concat();
            let mut messages = Messages::of(&content, 3);
            (messages.by_ref().count(), messages.is_torn, messages.offset)
        };
        let end = (HEADER_BYTES + node.len()) as u64;
        assert_eq!(read(&[&node, &cap, &node]), (1, false, end + cap.len() as u64));
        assert_eq!(read(&[&node, &[0; 40], &node]), (1, true, end));
        assert_eq!(read(&[]), (0, true, HEADER_BYTES as u64));
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
