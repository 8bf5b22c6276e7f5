//! The segments that the file of sled's log is a row of: what is in their headers, and what they hold as bytes.
//!
//! Knows nothing of the messages in them, nor what a damaged header means to the reader.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// How long each is; the last one in the file may be a part of one. sled never shortens its file to less than
/// one while it runs: the first segment stays.
pub(super) const SEGMENT_BYTES: u64 = 512 * 1024;
/// What each starts with: a checksum, its number and how far the log was stable.
pub(super) const HEADER_BYTES: usize = 20;
/// What the numbers in it are combined with.
const MASK: u64 = 0x7FFF_FFFF_FFFF_FFFF;

/// A segment in use, by what its header says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Where it stands in the file.
    pub(super) at: u64,
    /// Its place in the log, in bytes.
    pub(super) number: u64,
    /// How far the log was stable when it was begun.
    pub(super) stable: u64,
}

/// A segment whose header is neither empty nor sound.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadHeader {
    /// Where it stands in the file.
    pub(super) at: u64,
}

/// The number of the segment in which this byte of the log is.
pub(super) const fn start_of(byte: u64) -> u64 {
    byte / SEGMENT_BYTES * SEGMENT_BYTES
}

/// The segments in the order of the file, but for those that never were in use, or were cleared.
pub(super) fn segments(file: &File) -> io::Result<Vec<Result<Segment, BadHeader>>> {
    let length = file.metadata()?.len();
    let mut found = Vec::new();
    let starts = (0..).map(|index| index * SEGMENT_BYTES);
    for at in starts.take_while(|at| at + HEADER_BYTES as u64 <= length) {
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, at)?;
        if header != [0; HEADER_BYTES] {
            found.push(decode(&header, at).ok_or(BadHeader { at }));
        }
    }
    Ok(found)
}

fn decode(header: &[u8; HEADER_BYTES], at: u64) -> Option<Segment> {
    let (checksum, numbers) = header.split_first_chunk()?;
    let is_sound = !crc32fast::hash(numbers) == u32::from_le_bytes(*checksum);
    let (number, stable) = numbers.split_first_chunk()?;
    let number = u64::from_le_bytes(*number) ^ MASK;
    let stable = u64::from_le_bytes(*stable.first_chunk()?) ^ MASK;
    // Negative before anything was stable.
    let stable = if stable > MASK { 0 } else { stable };
    let is_segment = is_sound && number.is_multiple_of(SEGMENT_BYTES);
    is_segment.then_some(Segment { at, number, stable })
}

/// Replaces `content` by that of the segment at `at`, its header included.
pub(super) fn read(mut file: &File, at: u64, content: &mut Vec<u8>) -> io::Result<()> {
    content.clear();
    file.seek(SeekFrom::Start(at))?;
    file.take(SEGMENT_BYTES).read_to_end(content)?;
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use super::*;

    /// The header of a segment, as sled writes it.
    pub(in crate::store::sled) fn header(number: u64, stable: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[4..12].copy_from_slice(&(number ^ MASK).to_le_bytes());
        header[12..].copy_from_slice(&(stable ^ MASK).to_le_bytes());
        let checksum = !crc32fast::hash(&header[4..]);
        header[..4].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// A file of whole segments with these headers.
    fn file(headers: &[[u8; HEADER_BYTES]]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for header in headers {
            let mut segment = vec![7; usize::try_from(SEGMENT_BYTES).unwrap()];
            segment[..HEADER_BYTES].copy_from_slice(header);
            file.write_all(&segment).unwrap();
        }
        file
    }

    #[test]
    fn segments_are_told_from_those_not_in_use_and_those_with_a_bad_header() {
        let (number, mut damaged) = (3 * SEGMENT_BYTES, header(0, 0));
        damaged[19] ^= 1;
        let headers = [header(number, 1000), [0; HEADER_BYTES], damaged, header(1, 0)];
        let expected = [
            Ok(Segment { at: 0, number, stable: 1000 }),
            Err(BadHeader { at: 2 * SEGMENT_BYTES }),
            Err(BadHeader { at: 3 * SEGMENT_BYTES }),
        ];
        assert_eq!(segments(&file(&headers)).unwrap(), expected);
    }

    #[test]
    fn nothing_is_stable_before_anything_was() {
        let negative = u64::MAX;
        let found = segments(&file(&[header(0, negative)])).unwrap();
        assert_eq!(found, [Ok(Segment { at: 0, number: 0, stable: 0 })]);
    }

    #[test]
    fn the_last_segment_may_be_a_part_of_one() {
        let file = file(&[header(0, 0), header(SEGMENT_BYTES, 0)]);
        let mut content = Vec::new();
        read(&file, 0, &mut content).unwrap();
        assert_eq!(content.len() as u64, SEGMENT_BYTES);
        file.set_len(SEGMENT_BYTES + HEADER_BYTES as u64).unwrap();
        read(&file, SEGMENT_BYTES, &mut content).unwrap();
        assert_eq!(content, header(SEGMENT_BYTES, 0));
        assert_eq!(segments(&file).unwrap().len(), 2);
        file.set_len(SEGMENT_BYTES + HEADER_BYTES as u64 - 1).unwrap();
        assert_eq!(segments(&file).unwrap().len(), 1);
    }
}
