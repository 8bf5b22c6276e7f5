//! Access tokens whose signature has been checked, so that it is not checked again at each request.
//!
//! An entry is about a token's bytes and nothing else: whether the session lives is asked of the store every
//! time, and times and key are judged anew at each hit. Failures are never kept.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use quick_cache::sync::Cache;

use super::claims::AccessClaims;
use crate::clock::Timestamp;

/// How many tokens are remembered; at about 1 KiB each, a few MiB when full, and none before.
const ENTRIES_MAX: usize = 4096;

/// The SHA-256 of a whole token, signature included.
pub(super) type Fingerprint = [u8; SHA256_OUTPUT_LEN];

/// A token that was found good.
#[derive(Clone)]
pub(super) struct Seen {
    pub claims: Arc<AccessClaims>,
    pub not_before: Timestamp,
    /// Where the key that signed it stands in the ring, which lives and dies with this cache.
    pub key: usize,
}

pub(super) struct SeenTokens(Cache<Fingerprint, Seen>);

impl SeenTokens {
    pub fn new() -> Self {
        Self(Cache::new(ENTRIES_MAX))
    }

    pub fn get(&self, fingerprint: &Fingerprint) -> Option<Seen> {
        self.0.get(fingerprint)
    }

    pub fn insert(&self, fingerprint: Fingerprint, seen: Seen) {
        self.0.insert(fingerprint, seen);
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for SeenTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SeenTokens")
    }
}

pub(super) fn fingerprint(token: &str) -> Fingerprint {
    let mut fingerprint = [0; SHA256_OUTPUT_LEN];
    // Both are of the digest's length; `zip` is the copy that cannot panic.
    for (to, from) in fingerprint.iter_mut().zip(digest::digest(&SHA256, token.as_bytes()).as_ref())
    {
        *to = *from;
    }
    fingerprint
}
