//! The messages that a segment of sled's log is filled with: one checksummed message after another, up to a
//! cap. Knows how they are written; what they amount to is [`super::log`]'s.

/// The longest header of a message; no message starts with less than this left of a segment.
pub(super) const MESSAGE_HEADER_MAX: u64 = 32;
/// The kinds of messages that matter here, and the last one that there is.
pub(super) mod kind {
    /// Nothing follows in the segment.
    pub(in crate::store::sled) const CAP: u8 = 2;
    /// The beginning of a batch, which says where it ends.
    pub(in crate::store::sled) const BATCH: u8 = 3;
    /// A whole node of a tree.
    pub(in crate::store::sled) const NODE: u8 = 8;
    /// One change of a node.
    pub(in crate::store::sled) const LINK: u8 = 10;
    /// No kind is above it.
    pub(super) const LAST: u8 = 11;
}

/// A message that is sound.
pub(super) struct Message<'a> {
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
mod tests {
    use super::*;

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
