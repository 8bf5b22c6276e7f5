//! A signing key as one may see it: what it is called and what it does, and nothing that signs.

use crate::clock::Timestamp;
use crate::store::KeyPurpose;

/// A key in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// What it is called in the headers of its tokens.
    pub kid: String,
    /// The kind of token it is for.
    pub purpose: KeyPurpose,
    /// The JOSE name of its algorithm.
    pub algorithm: &'static str,
    /// Whether it signs what is made; one that does not verifies what it signed earlier.
    pub signs: bool,
    /// When it stops verifying; none for one that signs, or as long as it is configured.
    pub verifies_until: Option<Timestamp>,
    /// When it was made; none for a configured one.
    pub created_at: Option<Timestamp>,
}
