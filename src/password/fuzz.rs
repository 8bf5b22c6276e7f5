//! What must hold of passwords and stored hashes, whatever text they are.

use argon2::Params;

use super::argon::Memory;
use super::foreign::StoredHash;
use super::{PASSWORD_BYTES_MAX, Password};

/// The dearest hashes that are computed here: Argon2id's memory in KiB, and bcrypt of the least rounds.
const CHEAP_KIB: u32 = 64;
const CHEAP_BCRYPT: [&str; 4] = ["$2a$04$", "$2b$04$", "$2x$04$", "$2y$04$"];

/// What is hashed of a password is its own normal form, and a stored text that is taken for a hash can be
/// computed, in no more memory than is allowed.
pub(crate) fn password(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(normal) = Password::new(text.to_owned()).normalised() {
        assert!(normal.len() <= PASSWORD_BYTES_MAX);
        let again = Password::new(normal.to_string()).normalised();
        assert_eq!(again.as_ref(), Ok(&normal));
    }
    let Ok(own) = Params::new(CHEAP_KIB, 1, 1, None) else { return };
    let Some(hash) = StoredHash::parse(text, &own) else { return };
    assert!(hash.memory_kib() <= 64 * 1024);
    let is_cheap = match &hash {
        StoredHash::Argon2id(hash) => hash.memory_kib() <= CHEAP_KIB,
        StoredHash::Bcrypt(text) => CHEAP_BCRYPT.iter().any(|cheap| text.starts_with(cheap)),
    };
    if is_cheap {
        let verdict =
            hash.verify(&Password::new("x".to_owned()), &own, &mut Memory::for_params(&own));
        assert!(verdict.is_ok(), "a hash is taken that cannot be computed");
    }
}
