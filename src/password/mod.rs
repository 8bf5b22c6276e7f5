//! Passwords: hashing in a bounded pool, verification of own and imported hashes, the policy for new ones.
//!
//! The one owner of `argon2` and `bcrypt`. Knows nothing of logins, throttles or the store: a caller brings the
//! stored text and learns whether the password is right.

pub mod policy;
pub mod pool;
pub mod settings;

mod argon;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

use std::fmt;

use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// The longest password, in bytes after normalisation.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// No text longer than this is normalised at all: composition shrinks UTF-8 at most to a third.
const TYPED_BYTES_MAX: usize = 3 * PASSWORD_BYTES_MAX;

/// A password as it was typed. Forgotten by overwriting; nothing shows, copies or serialises it.
///
/// ```
/// fn debugged(_: impl std::fmt::Debug) {}
/// debugged(keystile::password::Password::new(String::new()));
/// ```
/// ```compile_fail
/// fn shown(_: impl std::fmt::Display) {}
/// shown(keystile::password::Password::new(String::new()));
/// ```
/// ```compile_fail
/// fn serialised(_: impl serde::Serialize) {}
/// serialised(keystile::password::Password::new(String::new()));
/// ```
/// ```compile_fail
/// fn copied(_: impl Clone) {}
/// copied(keystile::password::Password::new(String::new()));
/// ```
#[derive(ZeroizeOnDrop)]
pub struct Password(String);

/// The text cannot be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAPassword {
    /// Longer than [`PASSWORD_BYTES_MAX`]; never truncated.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Empty, or with a character that is a control, unassigned, or out of place (RFC 8265 §4.2).
    #[error(
        "a password is not empty and has no control characters, nor others that RFC 8265 keeps out"
    )]
    Characters,
}

impl Password {
    /// Takes over what was typed; any text will do until it is set or verified.
    #[must_use]
    pub const fn new(typed: String) -> Self {
        Self(typed)
    }

    fn typed(&self) -> &str {
        &self.0
    }

    /// The form that is hashed: RFC 8265 §4.2 `OpaqueString`, whose characters are asked again once they are
    /// composed. A lone U+0387 is allowed and the U+00B7 it becomes is not, and spellings of one text share
    /// its fate (RFC 8264 §7: what does not settle is refused).
    fn normalised(&self) -> Result<Zeroizing<String>, NotAPassword> {
        if self.0.len() > TYPED_BYTES_MAX {
            return Err(NotAPassword::TooLong);
        }
        let normal =
            OpaqueString::enforce(self.0.as_str()).map_err(|_| NotAPassword::Characters)?;
        let normal = Zeroizing::new(normal.into_owned());
        OpaqueString::prepare(normal.as_str()).map_err(|_| NotAPassword::Characters)?;
        if normal.len() > PASSWORD_BYTES_MAX { Err(NotAPassword::TooLong) } else { Ok(normal) }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password")
    }
}

/// What became of a verification.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The password is the one that was hashed.
    Right,
    /// It is, and the hash should be replaced by a current one.
    RightButOutdated,
    /// It is not.
    Wrong,
    /// The hash is of no kind and size that may be computed, so nothing is its password.
    Unusable,
}

/// Why nothing was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The queue is full, or the wait too long; worth another try soon.
    #[error("too many passwords are being hashed")]
    Busy,
    /// A stored hash, which an import brought, needs too much memory.
    #[error(
        "a stored password hash needs {needed_kib} KiB, more than half of the {limit_kib} KiB there are, where \
         passwords.memory_kib is what a new one takes: raise the memory limit, or set that user's password anew"
    )]
    TooLarge {
        /// What it needs, in KiB.
        needed_kib: u32,
        /// What the machine or its cgroup allows, in KiB.
        limit_kib: u64,
    },
    /// There was no memory or no randomness to hash with, or the pool is gone.
    #[error("no password can be hashed")]
    Unavailable,
    /// The text cannot be set as a password; a verification never says this.
    #[error(transparent)]
    NotAPassword(#[from] NotAPassword),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(text: &str) -> Result<String, NotAPassword> {
        Password::new(text.to_owned()).normalised().map(|normal| normal.to_string())
    }

    #[test]
    fn spellings_of_one_text_are_one_password() {
        assert_eq!(normalised("cafe\u{301}\u{a0}x"), Ok("caf\u{e9} x".to_owned()));
        assert_eq!(normalised("MiXed CASE"), Ok("MiXed CASE".to_owned()));
    }

    #[test]
    fn control_characters_and_nothing_at_all_are_no_password() {
        for bad in ["", "abc\0def", "abc\tdef", "abc\u{7f}", "\u{378}abcdefgh"] {
            assert_eq!(normalised(bad), Err(NotAPassword::Characters), "{bad:?}");
        }
    }

    #[test]
    fn a_spelling_of_what_is_no_password_is_none_either() {
        assert!(normalised("l\u{b7}l").is_ok() && normalised("l\u{387}l").is_ok());
        for bad in ["abc\u{b7}defg", "abc\u{387}defg"] {
            assert_eq!(normalised(bad), Err(NotAPassword::Characters), "{bad:?}");
        }
    }

    #[test]
    fn a_password_has_at_most_1024_bytes_once_normalised() {
        assert!(normalised(&"a".repeat(1024)).is_ok());
        assert_eq!(normalised(&"a".repeat(1025)), Err(NotAPassword::TooLong));
        assert!(normalised(&"e\u{301}".repeat(512)).is_ok());
        assert_eq!(normalised(&"e\u{301}".repeat(513)), Err(NotAPassword::TooLong));
        assert_eq!(normalised(&"a".repeat(1 << 20)), Err(NotAPassword::TooLong));
    }

    #[test]
    fn debug_output_names_the_type_only() {
        assert_eq!(format!("{:?}", Password::new("hunter2".to_owned())), "Password");
    }
}
