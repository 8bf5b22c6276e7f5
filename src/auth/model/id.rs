//! Ids: ULIDs with 80 fresh random bits each, one type per thing they name.
//!
//! An id is a name, never a secret: none of them opens anything by itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use ulid::Ulid;

use crate::clock::Timestamp;
use crate::random::{self, Random, RandomError};

/// The text is not an id as this server writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id")]
pub struct InvalidId;

/// Makes a ULID of `now` and 80 random bits; no monotonic generator, whose neighbours can be guessed.
fn fresh(now: Timestamp, random: &dyn Random) -> Result<Ulid, RandomError> {
    let mut wide = [0; 16];
    wide.get_mut(6..).map_or(Err(RandomError), |tail| random.fill(tail))?;
    Ok(Ulid::from_parts(now.millis(), u128::from_be_bytes(wide)))
}

/// Parses the canonical text only: lower case, overflow and aliases would name one thing twice.
fn parse(text: &str) -> Result<Ulid, InvalidId> {
    let ulid = Ulid::from_string(text).map_err(|_| InvalidId)?;
    if ulid.to_string() == text { Ok(ulid) } else { Err(InvalidId) }
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 16]);

        impl $name {
            /// A new id, made at `now`.
            ///
            /// # Errors
            /// [`RandomError`] when there is no randomness to make it of.
            pub fn new(now: Timestamp, random: &dyn Random) -> Result<Self, RandomError> {
                fresh(now, random).map(|ulid| Self(ulid.to_bytes()))
            }

            /// The id with these bytes: 48 bits of time, then 80 random ones, big-endian.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The id's bytes, which sort by the time it was made.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(Ulid::from_bytes(self.0).array_to_str(&mut [0; ulid::ULID_LEN]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(|ulid| Self(ulid.to_bytes()))
            }
        }
    )+};
}

ids! {
    /// Names a user; the `sub` of its tokens. Never reused.
    UserId,
    /// Names a session; the `sid` of its tokens.
    SessionId,
    /// Names a post of the sample blog.
    PostId,
    /// Names an audit event.
    EventId,
}

impl EventId {
    /// The last id that no event at `time` or later has.
    #[must_use]
    pub fn before(time: Timestamp) -> Self {
        let first = Ulid::from_parts(time.millis(), 0);
        Self(u128::from(first).saturating_sub(1).to_be_bytes())
    }
}

/// The random half of a `jti`: 128 bits, worth nothing without the signing key.
#[derive(Clone, Copy, Eq, Serialize, Deserialize)]
pub struct Nonce([u8; 16]);

impl Nonce {
    /// A new nonce.
    ///
    /// # Errors
    /// [`RandomError`] when there is no randomness to make it of.
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        random::bytes(random).map(Self)
    }
}

/// In a time that does not tell where two nonces differ.
impl PartialEq for Nonce {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Nonce")
    }
}

/// A token's `jti`: `<user id>:<32 hex>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jti {
    /// Whose token it is.
    pub user: UserId,
    /// Which of that user's tokens.
    pub nonce: Nonce,
}

impl fmt::Display for Jti {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.user, self.nonce)
    }
}

impl FromStr for Jti {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (user, nonce) = text.split_once(':').ok_or(InvalidId)?;
        let lower_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if nonce.len() != 32 || !nonce.bytes().all(lower_hex) {
            return Err(InvalidId);
        }
        let nonce = u128::from_str_radix(nonce, 16).map_err(|_| InvalidId)?;
        Ok(Self { user: user.parse()?, nonce: Nonce(nonce.to_be_bytes()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = UserId::new(Timestamp::from_secs(1_800_000_000), &SeededRandom::new(1)).unwrap();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 26);
    }

    #[test]
    fn aliases_of_an_id_are_refused() {
        let id = UserId::new(Timestamp::from_secs(1_800_000_000), &SeededRandom::new(1)).unwrap();
        assert_eq!(id.to_string().to_lowercase().parse::<UserId>(), Err(InvalidId));
        assert_eq!("81ARZ3NDEKTSV4RRFFQ69G5FAV".parse::<UserId>(), Err(InvalidId));
        assert_eq!("".parse::<UserId>(), Err(InvalidId));
        assert_eq!("01ARZ3NDEKTSV4RRFFQ69G5FA".parse::<UserId>(), Err(InvalidId));
    }

    #[test]
    fn two_ids_of_one_instant_share_no_random_bits() {
        let (now, random) = (Timestamp::from_secs(1), SeededRandom::new(7));
        let (one, two) = (UserId::new(now, &random).unwrap(), UserId::new(now, &random).unwrap());
        assert_eq!(one.0[..6], two.0[..6]);
        assert_ne!(one.0[6..11], two.0[6..11]);
    }

    #[test]
    fn a_jti_is_the_user_and_32_lower_case_hex_digits() {
        let random = SeededRandom::new(3);
        let user = UserId::new(Timestamp::from_secs(9), &random).unwrap();
        let jti = Jti { user, nonce: Nonce::new(&random).unwrap() };
        assert_eq!(jti.to_string().parse(), Ok(jti));
        assert_eq!(jti.to_string().len(), 26 + 1 + 32);
        assert!(jti.to_string().replace(':', "").parse::<Jti>().is_err());
        assert!(format!("{user}:+{}", &jti.nonce.to_string()[1..]).parse::<Jti>().is_err());
    }
}
