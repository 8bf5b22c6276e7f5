//! From configuration and store to the keys in use: what is made at first start and by a rotation, retired when
//! the algorithm changes or a newer key signs, dropped when its last token has expired.
//!
//! Decides and computes only; the caller writes what is to be stored.

use std::time::Duration;

use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;

use super::algorithm::Algorithm;
use super::keys::{self, BadKey, Key};
use super::secret::TokenSecret;
use super::{ACCESS_TTL_MAX, TokenSettings, Tokens};
use crate::clock::Timestamp;
use crate::random::Random;
use crate::store::{KeyPurpose, SigningKeys, StoredKey};

/// How many keys of all kinds are stored; rotating more often than this within the life of a refresh token is
/// refused.
const KEYS_MAX: usize = 16;

/// How much longer keys verify when newer ones sign; no time at all drops them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remaining {
    /// The keys of access tokens.
    pub access: Duration,
    /// The keys of refresh tokens.
    pub refresh: Duration,
}

/// What [`prepare`] found and decided.
#[derive(Debug)]
pub struct Prepared {
    /// Ready to sign and verify, once `store` is written.
    pub tokens: Tokens,
    /// The keys to write with `replace_signing_keys` before `tokens` is used, if they changed.
    pub store: Option<Vec<StoredKey>>,
}

/// Why there are no keys to work with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// HS* without a secret.
    #[error("{0} needs a configured secret")]
    SecretMissing(Algorithm),
    /// A secret, current or previous, together with a key pair.
    #[error("{0} signs with a key of its own, and a secret is configured too")]
    SecretUnused(Algorithm),
    /// The store has been in use and lacks a key that its first start wrote.
    #[error("the store has lost its signing keys")]
    Lost,
    /// A stored key cannot be used.
    #[error("the stored signing key {kid} cannot be read")]
    Unreadable {
        /// Which one.
        kid: String,
    },
    /// The keys come from the configuration, and change with it.
    #[error(
        "the tokens are signed with a configured secret: set another tokens.secret, \
         put the old one into tokens.previous_secrets and restart"
    )]
    Configured,
    /// Too many keys still verify.
    #[error("{KEYS_MAX} keys are in use; wait until the oldest has expired, or drop the old ones")]
    TooMany,
    /// No key could be made.
    #[error("a signing key could not be made")]
    Generate,
    /// What was signed did not verify.
    #[error("the signing keys failed their self-test")]
    SelfTest,
}

impl From<BadKey> for KeyError {
    fn from(_: BadKey) -> Self {
        Self::Generate
    }
}

/// Settles which keys sign and verify from `now` on, and proves that they do.
///
/// A first start makes an asymmetric and a refresh key even when a secret makes both idle, so that a store
/// with users and without keys always means damage. With a secret, the keys of the configured secrets are all
/// there are: taking one into use, or out of it, ends what the other keys signed.
///
/// # Errors
/// [`KeyError`]; nothing is to be written or used then.
pub fn prepare(
    settings: &TokenSettings,
    stored: &SigningKeys,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Prepared, KeyError> {
    // Already there after the first call. Left to its default, the library would decide at first use.
    DEFAULT_PROVIDER.install_default().ok();
    let has_secret = settings.secret.is_some() || !settings.previous_secrets.is_empty();
    if has_secret && !settings.algorithm.is_symmetric() {
        return Err(KeyError::SecretUnused(settings.algorithm));
    }
    let keys = settle(settings, stored, now, random)?;
    let (access, refresh) = if settings.algorithm.is_symmetric() {
        let secret = settings.secret.as_ref().ok_or(KeyError::SecretMissing(settings.algorithm))?;
        let secrets = std::iter::once(secret).chain(&settings.previous_secrets);
        of_secrets(secrets, settings.algorithm)?
    } else {
        (of_store(&keys, KeyPurpose::Access)?, of_store(&keys, KeyPurpose::Refresh)?)
    };
    let tokens = Tokens::new(settings, access, refresh);
    tokens.self_test(now, random)?;
    Ok(Prepared { tokens, store: (keys != stored.keys).then_some(keys) })
}

/// Makes a new key of each kind, which sign from then on, and lets the others verify as long as `old` says.
/// What is returned is to be stored before it is used: what a lost key signed would be lost with it.
///
/// # Errors
/// [`KeyError`]; `current` and `stored` stay as they are then.
pub fn rotate(
    current: &Tokens,
    stored: &SigningKeys,
    old: Remaining,
    now: Timestamp,
    random: &dyn Random,
) -> Result<(Tokens, Vec<StoredKey>), KeyError> {
    let settings = &current.settings;
    if settings.algorithm.is_symmetric() {
        return Err(KeyError::Configured);
    }
    let mut keys = settle(settings, stored, now, random)?;
    retire(&mut keys, KeyPurpose::Access, now.after(old.access));
    retire(&mut keys, KeyPurpose::Refresh, now.after(old.refresh));
    keys.retain(|key| !is_over(key, now));
    let access = make(KeyPurpose::Access, settings.algorithm, now, random)?;
    let refresh = make(KeyPurpose::Refresh, Algorithm::Hs256, now, random)?;
    keys.splice(..0, [access, refresh]);
    if keys.len() > KEYS_MAX {
        return Err(KeyError::TooMany);
    }
    let of = |purpose| of_store(&keys, purpose);
    let tokens = Tokens::new(settings, of(KeyPurpose::Access)?, of(KeyPurpose::Refresh)?);
    tokens.self_test(now, random)?;
    Ok((tokens, keys))
}

/// The keys the store should hold.
fn settle(
    settings: &TokenSettings,
    stored: &SigningKeys,
    now: Timestamp,
    random: &dyn Random,
) -> Result<Vec<StoredKey>, KeyError> {
    let wanted = (!settings.algorithm.is_symmetric()).then_some(settings.algorithm);
    if stored.version == 0 && stored.keys.is_empty() {
        let algorithm = wanted.unwrap_or(Algorithm::EdDsa);
        return Ok(vec![
            make(KeyPurpose::Access, algorithm, now, random)?,
            make(KeyPurpose::Refresh, Algorithm::Hs256, now, random)?,
        ]);
    }
    let mut keys: Vec<_> = stored.keys.iter().filter(|key| !is_over(key, now)).cloned().collect();
    let signs = |key: &&StoredKey| key.verifies_until.is_none();
    let of = |purpose| keys.iter().filter(signs).find(move |key| key.purpose == purpose);
    of(KeyPurpose::Refresh).ok_or(KeyError::Lost)?;
    let current = of(KeyPurpose::Access).ok_or(KeyError::Lost)?;
    if let Some(wanted) = wanted
        && current.algorithm != wanted.name()
    {
        retire(&mut keys, KeyPurpose::Access, now.after(ACCESS_TTL_MAX));
        keys.insert(0, make(KeyPurpose::Access, wanted, now, random)?);
    }
    Ok(keys)
}

/// Lets every key of `purpose` only verify, and no longer than `until`.
fn retire(keys: &mut [StoredKey], purpose: KeyPurpose, until: Timestamp) {
    for key in keys.iter_mut().filter(|key| key.purpose == purpose) {
        key.verifies_until = Some(key.verifies_until.map_or(until, |sooner| sooner.min(until)));
    }
}

fn is_over(key: &StoredKey, now: Timestamp) -> bool {
    key.verifies_until.is_some_and(|until| until.is_past(now))
}

fn make(
    purpose: KeyPurpose,
    algorithm: Algorithm,
    now: Timestamp,
    random: &dyn Random,
) -> Result<StoredKey, KeyError> {
    let material = keys::make(algorithm, random)?;
    let kid = Key::new(purpose, algorithm, &material, None)?.kid;
    Ok(StoredKey {
        kid,
        algorithm: algorithm.name().to_owned(),
        purpose,
        secret: material.to_vec(),
        created_at: now,
        verifies_until: None,
    })
}

/// The stored keys of one purpose, the newest that signs first.
fn of_store(stored: &[StoredKey], purpose: KeyPurpose) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for record in stored.iter().filter(|record| record.purpose == purpose) {
        let unreadable = || KeyError::Unreadable { kid: record.kid.clone() };
        let algorithm = record.algorithm.parse().map_err(|_| unreadable())?;
        let mut key = Key::new(purpose, algorithm, &record.secret, record.verifies_until)
            .map_err(|_| unreadable())?;
        key.created_at = Some(record.created_at);
        // A name that its key does not have means that the one or the other was damaged.
        if key.kid != record.kid {
            return Err(unreadable());
        }
        keys.push(key);
    }
    keys.sort_by_key(|key| key.verifies_until.is_some());
    Ok(keys)
}

/// Access and refresh keys of the configured secrets, the current one first.
fn of_secrets<'a>(
    secrets: impl Iterator<Item = &'a TokenSecret>,
    algorithm: Algorithm,
) -> Result<(Vec<Key>, Vec<Key>), KeyError> {
    let (mut access, mut refresh) = (Vec::new(), Vec::new());
    for secret in secrets {
        let derived = keys::derive_refresh(secret.as_bytes())?;
        access.push(Key::new(KeyPurpose::Access, algorithm, secret.as_bytes(), None)?);
        refresh.push(Key::new(KeyPurpose::Refresh, Algorithm::Hs256, derived.as_ref(), None)?);
    }
    Ok((access, refresh))
}

#[cfg(test)]
mod tests;
