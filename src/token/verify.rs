//! The keys of one kind of token, and the reading of a token that may come from anybody.
//!
//! The compact form and the header are read here, strictly and before any library; jsonwebtoken then checks
//! signature, issuer and audience; times are judged last, by the caller's clock.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};
use serde::Deserialize;

use super::claims::{CLIENT_ID, Wire};
use super::keys::{Key, typ};
use super::{InvalidToken, TOKEN_BYTES_MAX};
use crate::auth::model::key::KeyState;
use crate::clock::Timestamp;
use crate::store::KeyPurpose;

/// How far ahead of ours the clock of an instance that shares the store may run.
const LEEWAY: Duration = Duration::from_secs(5);
const KID_BYTES_MAX: usize = 64;

/// Keys of one purpose, the one that signs first.
#[derive(Debug)]
pub(super) struct Ring {
    purpose: KeyPurpose,
    keys: Vec<(Key, Validation)>,
}

/// The only members a header of ours has. `jku`, `jwk`, `x5u`, `x5c`, `crit`, `b64`, `zip`, anything else
/// and any repetition fail here (RFC 7515 §4.1.11, RFC 8725 §3.10).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow)]
    typ: Cow<'a, str>,
    #[serde(borrow)]
    kid: Cow<'a, str>,
}

impl Ring {
    pub fn new(purpose: KeyPurpose, keys: Vec<Key>, issuer: &str, audience: &str) -> Self {
        let with_validation = |key: Key| {
            let validation = validation(&key, issuer, audience);
            (key, validation)
        };
        Self { purpose, keys: keys.into_iter().map(with_validation).collect() }
    }

    /// The key that signs.
    pub fn signing(&self) -> Option<&Key> {
        self.get(0)
    }

    /// The key at `index`.
    pub fn get(&self, index: usize) -> Option<&Key> {
        self.keys.get(index).map(|(key, _)| key)
    }

    /// What each key does at `now`; left out is what does nothing any more.
    pub fn states(&self, now: Timestamp) -> impl Iterator<Item = KeyState> {
        let keys = self.iter().enumerate().filter(move |(_, key)| key.verifies_at(now));
        keys.map(|(index, key)| KeyState {
            kid: key.kid.clone(),
            purpose: self.purpose,
            algorithm: key.algorithm.name(),
            signs: index == 0,
            verifies_until: key.verifies_until,
            created_at: key.created_at,
        })
    }

    /// Every key.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().map(|(key, _)| key)
    }

    /// Reads `token`; returns its claims and where the key that signed it stands. Times are the caller's to
    /// judge.
    pub fn open(&self, token: &str, now: Timestamp) -> Result<(Wire, usize), InvalidToken> {
        let bytes = header_bytes(token)?;
        let header: Header<'_> =
            serde_json::from_slice(&bytes).map_err(|_| InvalidToken::Malformed)?;
        if !has_typ(&header.typ, typ(self.purpose)) {
            return Err(InvalidToken::OtherKind);
        }
        if !is_kid(&header.kid) {
            return Err(InvalidToken::Malformed);
        }
        let found = self.keys.iter().enumerate().find(|(_, (key, _))| key.kid == header.kid);
        let (index, (key, validation)) = found.ok_or(InvalidToken::UnknownKey)?;
        if !key.verifies_at(now) || header.alg != key.algorithm.name() {
            return Err(InvalidToken::UnknownKey);
        }
        let data = decode::<Wire>(token, &key.decoding, validation).map_err(|error| match error
            .kind()
        {
            ErrorKind::InvalidSignature => InvalidToken::Signature,
            _ => InvalidToken::Claims,
        })?;
        let wire = data.claims;
        if wire.jti.user != wire.sub || wire.client_id != CLIENT_ID {
            return Err(InvalidToken::Claims);
        }
        Ok((wire, index))
    }
}

/// Judges a token's times at `now`. Expired means `exp <= now` (RFC 7519 §4.1.4).
pub(super) fn check_times(
    not_before: Timestamp,
    issued_at: Timestamp,
    expires_at: Timestamp,
    now: Timestamp,
) -> Result<(), InvalidToken> {
    if expires_at.is_past(now) {
        return Err(InvalidToken::Expired);
    }
    if not_before.max(issued_at) > now.after(LEEWAY) {
        return Err(InvalidToken::Early);
    }
    if issued_at >= expires_at {
        return Err(InvalidToken::Claims);
    }
    Ok(())
}

/// The one place that configures the library, every field of it.
fn validation(key: &Key, issuer: &str, audience: &str) -> Validation {
    Validation {
        algorithms: vec![key.algorithm.jose()],
        required_spec_claims: ["exp", "nbf", "iss", "aud", "sub"].map(str::to_owned).into(),
        leeway: 0,
        reject_tokens_expiring_in_less_than: 0,
        // Times are judged by the injected clock; the library asks the system's and accepts `exp == now`.
        validate_exp: false,
        validate_nbf: false,
        validate_aud: true,
        aud: Some(HashSet::from([audience.to_owned()])),
        iss: Some(HashSet::from([issuer.to_owned()])),
        sub: None,
    }
}

/// The decoded header of a well-formed compact JWS: bounded, three segments, each not empty and strict
/// base64url without padding or spare bits (RFC 7515 §2), so that a token has one spelling only.
fn header_bytes(token: &str) -> Result<Vec<u8>, InvalidToken> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(InvalidToken::Malformed);
    }
    let mut segments = token.split('.');
    let mut next = || {
        let segment = segments.next().filter(|segment| !segment.is_empty());
        segment.and_then(|segment| URL_SAFE_NO_PAD.decode(segment).ok())
    };
    let (Some(header), Some(_payload), Some(_signature)) = (next(), next(), next()) else {
        return Err(InvalidToken::Malformed);
    };
    if segments.next().is_some() { Err(InvalidToken::Malformed) } else { Ok(header) }
}

/// Media types compare without case, and `application/` may be left out (RFC 7515 §4.1.9).
fn has_typ(presented: &str, wanted: &str) -> bool {
    let prefix = "application/";
    let short = match presented.split_at_checked(prefix.len()) {
        Some((start, rest)) if start.eq_ignore_ascii_case(prefix) => rest,
        _ => presented,
    };
    short.eq_ignore_ascii_case(wanted)
}

fn is_kid(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=KID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests;
