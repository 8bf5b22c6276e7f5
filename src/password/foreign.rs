//! Which stored texts are hashes that may be verified, and how: our own, and those that came with an import.

use std::str::FromStr;

use argon2::Params;

use super::argon::{self, Memory};
use super::{HashError, PASSWORD_BYTES_MAX, Password, Verdict};

/// The dearest bcrypt hash that may be imported: 2^14 rounds, about a second.
const BCRYPT_COST_MAX: u32 = 14;

/// A stored hash of a kind and size that may be computed.
pub(super) enum StoredHash {
    Argon2id(argon::Hash),
    Bcrypt(String),
}

impl StoredHash {
    /// Recognises `text`; nothing is computed.
    pub fn parse(text: &str, own: &Params) -> Option<Self> {
        if let Some(hash) = argon::Hash::parse(text, own) {
            return Some(Self::Argon2id(hash));
        }
        let parts = bcrypt::HashParts::from_str(text).ok()?;
        (parts.get_cost() <= BCRYPT_COST_MAX).then(|| Self::Bcrypt(text.to_owned()))
    }

    /// The memory that computing it takes, in KiB; bcrypt takes next to none.
    pub fn memory_kib(&self) -> u32 {
        match self {
            Self::Argon2id(hash) => hash.memory_kib(),
            Self::Bcrypt(_) => 0,
        }
    }

    /// Compares `password` as typed, then, if that is another text, as normalised: an imported hash was made
    /// of whatever the old system was given.
    ///
    /// A text that cannot be a password is hashed as typed like any other and matches nothing of ours.
    pub fn verify(
        &self,
        password: &Password,
        own: &Params,
        memory: &mut Memory,
    ) -> Result<Verdict, HashError> {
        let (typed, normal) = (password.typed(), password.normalised().ok());
        let normal =
            normal.as_ref().map(|normal| normal.as_str()).filter(|normal| *normal != typed);
        if typed.len() <= PASSWORD_BYTES_MAX && self.matches(typed, memory)? {
            let as_made_today = self.is_current(own) && normal.is_none();
            return Ok(if as_made_today { Verdict::Right } else { Verdict::RightButOutdated });
        }
        match normal {
            Some(normal) if self.matches(normal, memory)? => {
                Ok(if self.is_current(own) { Verdict::Right } else { Verdict::RightButOutdated })
            }
            _ => Ok(Verdict::Wrong),
        }
    }

    fn is_current(&self, own: &Params) -> bool {
        matches!(self, Self::Argon2id(hash) if hash.is_current(own))
    }

    fn matches(&self, password: &str, memory: &mut Memory) -> Result<bool, HashError> {
        match self {
            Self::Argon2id(hash) => hash.matches(password, memory),
            // Only the first 72 bytes count, as in the systems that made these hashes. bcrypt repeats its key
            // with a NUL between, so that `ab\0ab` would pass for `ab`; it costs the same work as any other.
            Self::Bcrypt(text) => {
                let matches = bcrypt::verify(password, text).map_err(|_| HashError::Unavailable)?;
                Ok(matches && !password.contains('\0'))
            }
        }
    }
}
