//! Tokens: signing, verifying, the key ring, the JWK set (RFC 7519, RFC 9068, RFC 8725).
//!
//! The one owner of `jsonwebtoken` and `aws_lc_rs`. Judges a token's bytes and times; whether its session
//! lives is the store's to say, at every request. Knows no HTTP and no configuration file.

pub mod algorithm;
pub mod claims;
pub mod ring;
pub mod secret;

mod cache;
mod keys;
mod verify;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::algorithm::Algorithm;
use self::cache::{Seen, SeenTokens};
use self::claims::{AccessClaims, RefreshClaims, Wire};
use self::keys::Key;
use self::ring::KeyError;
use self::secret::TokenSecret;
use self::verify::{Ring, check_times};
use crate::auth::model::id::{Nonce, SessionId, UserId};
use crate::auth::model::key::KeyState;
use crate::auth::model::scope::Scopes;
use crate::clock::Timestamp;
use crate::random::Random;
use crate::store::KeyPurpose;

/// The longest token that is made or read, in bytes.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// What the claims of most tokens fit into, in bytes.
const PAYLOAD_BYTES: usize = 512;

/// The longest life an access token may claim, whatever its life is configured to be today: 60 minutes.
pub const ACCESS_TTL_MAX: Duration = Duration::from_secs(60 * 60);

/// How tokens are to be made and judged.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Signs new access tokens.
    pub algorithm: Algorithm,
    /// The secret of an HS* algorithm; none with any other.
    pub secret: Option<TokenSecret>,
    /// Earlier secrets, whose tokens still verify.
    pub previous_secrets: Vec<TokenSecret>,
    /// `iss` of every token, and the audience of refresh tokens.
    pub issuer: String,
    /// `aud` of access tokens.
    pub audience: String,
}

/// Why a token is not good. For the log: whoever presented it learns only that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    /// No compact JWS with a header like ours.
    #[error("malformed token")]
    Malformed,
    /// A token of another kind.
    #[error("token of another kind")]
    OtherKind,
    /// Signed by no key of the ring, or with another algorithm than its key's.
    #[error("token of an unknown key")]
    UnknownKey,
    /// The signature is wrong.
    #[error("wrong token signature")]
    Signature,
    /// The claims are missing, mistyped, foreign or contradictory.
    #[error("unacceptable token claims")]
    Claims,
    /// Its time is over.
    #[error("expired token")]
    Expired,
    /// Its time has not come.
    #[error("token from the future")]
    Early,
}

/// Why a token was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The claims are more than a token may carry.
    #[error("the token would be longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// The cryptographic library failed.
    #[error("the token could not be signed")]
    Failed,
}

/// Makes and judges tokens. Cannot change: new keys make a new `Tokens`, with an empty memory of what was seen.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    access: Ring,
    refresh: Ring,
    seen: SeenTokens,
}

impl Tokens {
    fn new(settings: &TokenSettings, access: Vec<Key>, refresh: Vec<Key>) -> Self {
        let (issuer, audience) = (&settings.issuer, &settings.audience);
        Self {
            access: Ring::new(KeyPurpose::Access, access, issuer, audience),
            refresh: Ring::new(KeyPurpose::Refresh, refresh, issuer, issuer),
            seen: SeenTokens::new(),
            settings: settings.clone(),
        }
    }

    /// Makes an access token. The same claims always give the same payload.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_access(&self, claims: &AccessClaims) -> Result<String, SignError> {
        sign(&self.access, &Wire::of_access(claims, &self.settings.issuer, &self.settings.audience))
    }

    /// Makes a refresh token. The same claims always give the same payload.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn sign_refresh(&self, claims: &RefreshClaims) -> Result<String, SignError> {
        sign(&self.refresh, &Wire::of_refresh(claims, &self.settings.issuer))
    }

    /// The claims of an access token that is good at `now`.
    ///
    /// # Errors
    /// [`InvalidToken`], for the log only.
    pub fn verify_access(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Arc<AccessClaims>, InvalidToken> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(InvalidToken::Malformed);
        }
        let fingerprint = cache::fingerprint(token);
        if let Some(seen) = self.seen.get(&fingerprint) {
            return self.judge_again(seen, now);
        }
        let (wire, key) = self.access.open(token, now)?;
        let not_before = Timestamp::from_secs(wire.nbf);
        let claims = wire.into_access().ok_or(InvalidToken::Claims)?;
        check_times(not_before, claims.issued_at, claims.expires_at, now)?;
        if claims.expires_at.since(claims.issued_at) > ACCESS_TTL_MAX {
            return Err(InvalidToken::Claims);
        }
        let claims = Arc::new(claims);
        self.seen.insert(fingerprint, Seen { claims: Arc::clone(&claims), not_before, key });
        Ok(claims)
    }

    /// The claims of a refresh token that is good at `now`.
    ///
    /// # Errors
    /// [`InvalidToken`], for the log only.
    pub fn verify_refresh(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<RefreshClaims, InvalidToken> {
        let (wire, _) = self.refresh.open(token, now)?;
        let not_before = Timestamp::from_secs(wire.nbf);
        let claims = wire.into_refresh().ok_or(InvalidToken::Claims)?;
        check_times(not_before, claims.issued_at, claims.expires_at, now)?;
        Ok(claims)
    }

    /// Whether this server made `token` with a key that it still has, however dead it may be.
    #[must_use]
    pub fn has_made(&self, token: &str, now: Timestamp) -> bool {
        [&self.access, &self.refresh].iter().any(|ring| match ring.open(token, now) {
            Ok(_) | Err(InvalidToken::Claims | InvalidToken::Expired | InvalidToken::Early) => true,
            Err(
                InvalidToken::Malformed
                | InvalidToken::OtherKind
                | InvalidToken::UnknownKey
                | InvalidToken::Signature,
            ) => false,
        })
    }

    /// The JWK set (RFC 7517 §5) of the keys that verify access tokens at `now`: public halves only, none for
    /// HS*.
    #[must_use]
    pub fn jwk_set(&self, now: Timestamp) -> Value {
        let keys = self.access.iter().filter(|key| key.verifies_at(now));
        json!({ "keys": keys.filter_map(Key::jwk).collect::<Vec<_>>() })
    }

    /// The keys that do anything at `now`, those that sign before the others of their kind.
    #[must_use]
    pub fn keys(&self, now: Timestamp) -> Vec<KeyState> {
        let rings = [&self.access, &self.refresh].into_iter();
        rings.flat_map(|ring| ring.states(now)).collect()
    }

    /// All of a hit: the bytes are known to be good, key and times are judged anew.
    fn judge_again(&self, seen: Seen, now: Timestamp) -> Result<Arc<AccessClaims>, InvalidToken> {
        if !self.access.get(seen.key).is_some_and(|key| key.verifies_at(now)) {
            return Err(InvalidToken::UnknownKey);
        }
        check_times(seen.not_before, seen.claims.issued_at, seen.claims.expires_at, now)?;
        Ok(seen.claims)
    }

    /// Proves before the first request that what is signed verifies.
    fn self_test(&self, now: Timestamp, random: &dyn Random) -> Result<(), KeyError> {
        let issued_at = now.floor_secs();
        let claims = RefreshClaims {
            user: UserId::from_bytes([0; 16]),
            session: SessionId::from_bytes([0; 16]),
            nonce: Nonce::new(random).map_err(|_| KeyError::Generate)?,
            issued_at,
            expires_at: issued_at,
        };
        let access = AccessClaims {
            user: claims.user,
            session: claims.session,
            nonce: claims.nonce,
            issued_at,
            expires_at: issued_at,
            scope: Scopes::default(),
            roles: [].into(),
        };
        let refresh = self.sign_refresh(&claims).map_err(|_| KeyError::SelfTest)?;
        let access = self.sign_access(&access).map_err(|_| KeyError::SelfTest)?;
        // The tokens live for no time at all, so that they are good for nothing but this.
        self.access.open(&access, now).map_err(|_| KeyError::SelfTest)?;
        self.refresh.open(&refresh, now).map_err(|_| KeyError::SelfTest)?;
        Ok(())
    }
}

fn sign(ring: &Ring, wire: &Wire) -> Result<String, SignError> {
    let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
    serde_json::to_writer(&mut payload, wire).map_err(|_| SignError::Failed)?;
    let key = ring.signing().ok_or(SignError::Failed)?;
    let token = key.sign(&payload).map_err(|_| SignError::Failed)?;
    if token.len() > TOKEN_BYTES_MAX { Err(SignError::TooLong) } else { Ok(token) }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
