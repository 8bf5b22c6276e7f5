//! How a record becomes bytes: one version byte, then postcard. Knows neither engines nor tables.
//!
//! A record of another version, a damaged one and one with bytes left over are all [`StoreError::Corrupt`],
//! with the table and key that the engine names, so that one bad record denies one user and not all.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Result, StoreError};

/// The version of what stands on disk; a store of a newer one is refused at the start.
pub const SCHEMA_VERSION: u32 = 3;

/// The first byte of every record.
const RECORD_VERSION: u8 = 1;

/// What most records fit into, in bytes.
const RECORD_BYTES: usize = 256;

/// The bytes of `record`, which is to stand at `key` of `table`.
///
/// # Errors
/// `Corrupt` when the record has no postcard form.
pub fn encode<T: Serialize>(table: &'static str, key: &[u8], record: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(RECORD_BYTES);
    bytes.push(RECORD_VERSION);
    postcard::to_extend(record, bytes).map_err(|_| corrupt(table, key))
}

/// The record in `bytes`, which stood at `key` of `table`.
///
/// # Errors
/// `Corrupt` when it is of another version or not exactly one record.
pub fn decode<T: DeserializeOwned>(table: &'static str, key: &[u8], bytes: &[u8]) -> Result<T> {
    let Some((&RECORD_VERSION, body)) = bytes.split_first() else {
        return Err(corrupt(table, key));
    };
    match postcard::take_from_bytes(body) {
        Ok((record, [])) => Ok(record),
        _ => Err(corrupt(table, key)),
    }
}

/// The error that names the record at `key` of `table`.
#[must_use]
pub fn corrupt(table: &'static str, key: &[u8]) -> StoreError {
    StoreError::Corrupt { table, key: hex(key) }
}

/// Bytes as people read them, two lower-case digits each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::model::id::{PostId, UserId};
    use crate::auth::model::post::Post;
    use crate::clock::Timestamp;
    use proptest::prelude::*;

    fn post(title: &str, content: &str, millis: u64) -> Post {
        Post {
            id: PostId::from_bytes([1; 16]),
            author: UserId::from_bytes([2; 16]),
            title: title.to_owned(),
            content: content.to_owned(),
            created_at: Timestamp::from_millis(millis),
            updated_at: Timestamp::from_millis(millis),
        }
    }

    #[test]
    fn a_newer_record_is_corrupt_and_names_its_table_and_key() {
        let mut bytes = encode("post", &[1], &post("a", "b", 1)).unwrap();
        assert!(decode::<Post>("post", &[1], &bytes).is_ok());
        bytes[0] = 2;
        let error = decode::<Post>("post", &[0xab, 1], &bytes).unwrap_err();
        assert_eq!(error, StoreError::Corrupt { table: "post", key: "ab01".to_owned() });
    }

    #[test]
    fn a_short_and_an_overlong_record_are_corrupt() {
        let mut bytes = encode("post", &[1], &post("a", "b", 1)).unwrap();
        for length in 0..bytes.len() {
            assert!(decode::<Post>("post", &[1], &bytes[..length]).is_err(), "{length} bytes");
        }
        bytes.push(0);
        assert!(decode::<Post>("post", &[1], &bytes).is_err());
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(title in ".*", content in ".*", millis: u64) {
            let post = post(&title, &content, millis);
            let bytes = encode("post", b"k", &post).unwrap();
            prop_assert_eq!(decode::<Post>("post", b"k", &bytes), Ok(post));
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes: Vec<u8>) {
            let _ = decode::<Post>("post", b"k", &bytes);
        }
    }
}
