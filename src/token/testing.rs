//! What the tests of every part need: a server at a fixed time, and claims that are good there.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::algorithm::Algorithm;
use super::claims::{AccessClaims, RefreshClaims};
use super::ring::{Prepared, prepare};
use super::secret::TokenSecret;
use super::{TokenSettings, Tokens};
use crate::auth::model::id::{Nonce, SessionId, UserId};
use crate::auth::model::scope::Scopes;
use crate::clock::Timestamp;
use crate::random::SeededRandom;
use crate::store::SigningKeys;

/// The configured secret, where the algorithm takes one.
pub(super) const SECRET: &str = "3f1c0f6cd1b7a2e94f5a7788c1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5061728394";
/// When it starts.
pub(super) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// How long an access token lives.
pub(super) const TTL: Duration = Duration::from_secs(900);

/// What it is configured with.
pub(super) fn settings(algorithm: Algorithm) -> TokenSettings {
    let secret = |text: &str| TokenSecret::checked(text.to_owned(), algorithm).unwrap();
    TokenSettings {
        algorithm,
        secret: algorithm.is_symmetric().then(|| secret(SECRET)),
        previous_secrets: Vec::new(),
        issuer: "https://id.example".to_owned(),
        audience: "api".to_owned(),
    }
}

/// A start with what is stored.
pub(super) fn start(settings: &TokenSettings, stored: &SigningKeys, now: Timestamp) -> Prepared {
    prepare(settings, stored, now, &SeededRandom::new(1)).unwrap()
}

/// A first start's tokens.
pub(super) fn tokens(algorithm: Algorithm) -> Tokens {
    start(&settings(algorithm), &SigningKeys::default(), NOW).tokens
}

/// What an access token says.
pub(super) fn access_claims() -> AccessClaims {
    let random = SeededRandom::new(5);
    AccessClaims {
        user: UserId::new(NOW, &random).unwrap(),
        session: SessionId::new(NOW, &random).unwrap(),
        nonce: Nonce::new(&random).unwrap(),
        issued_at: NOW,
        expires_at: NOW.after(TTL),
        scope: Scopes::parse("me posts:write").unwrap(),
        roles: BTreeSet::from(["user".to_owned()]),
    }
}

/// What a refresh token of the same session says.
pub(super) fn refresh_claims() -> RefreshClaims {
    let AccessClaims { user, session, nonce, issued_at, .. } = access_claims();
    RefreshClaims { user, session, nonce, issued_at, expires_at: NOW.after(TTL * 100) }
}

/// The decoded header or payload of a token.
#[track_caller]
pub(super) fn part(token: &str, index: usize) -> Value {
    let segment = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

/// A token of exactly these bytes, signed with the right key.
pub(super) fn forge(header: &str, payload: &str) -> String {
    forge_with(hmac::HMAC_SHA256, SECRET.as_bytes(), header, payload)
}

/// A token of exactly these bytes, signed with any key.
pub(super) fn forge_with(
    algorithm: hmac::Algorithm,
    key: &[u8],
    header: &str,
    payload: &str,
) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}
