//! What a token says: the domain's view of it, and the claims set on the wire (`RFC 9068` §2.2).
//!
//! Knows no key and no clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize};

use crate::auth::model::id::{Jti, Nonce, SessionId, UserId};
use crate::auth::model::scope::Scopes;
use crate::clock::Timestamp;

/// The `client_id` of every token until clients can be registered.
pub const CLIENT_ID: &str = "keystile";

/// The largest time a claim may hold: what a double, and so every JSON reader, can represent.
const NUMERIC_DATE_MAX: u64 = 1 << 53;

/// What an access token says of its bearer. Times count in whole seconds on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessClaims {
    /// Whose token it is.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    /// The random half of its `jti`.
    pub nonce: Nonce,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it is over.
    pub expires_at: Timestamp,
    /// What it was granted.
    pub scope: Scopes,
    /// The roles of the user when it was issued.
    pub roles: BTreeSet<String>,
}

/// What a refresh token says. Times count in whole seconds on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshClaims {
    /// Whose token it is.
    pub user: UserId,
    /// Of which session.
    pub session: SessionId,
    /// The random half of its `jti`.
    pub nonce: Nonce,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it is over.
    pub expires_at: Timestamp,
}

/// What the token may be exchanged for; the second of three marks, with `typ` and key, that keep the two
/// kinds apart (RFC 8725 §3.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grant {
    Access,
    Refresh,
}

/// The claims set. Its derived reader rejects repeated claims (RFC 7519 §4) and wrong types; the order of
/// the fields is that of the payload, so that equal claims make equal payloads.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wire {
    pub iss: String,
    #[serde(with = "text")]
    pub sub: UserId,
    #[serde(deserialize_with = "sole_audience")]
    pub aud: String,
    pub client_id: String,
    #[serde(deserialize_with = "numeric_date")]
    pub iat: u64,
    #[serde(deserialize_with = "numeric_date")]
    pub nbf: u64,
    #[serde(deserialize_with = "numeric_date")]
    pub exp: u64,
    #[serde(with = "text")]
    pub jti: Jti,
    #[serde(with = "text")]
    pub sid: SessionId,
    pub grant: Grant,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<BTreeSet<String>>,
}

impl Wire {
    pub fn of_access(claims: &AccessClaims, issuer: &str, audience: &str) -> Self {
        Self {
            iss: issuer.to_owned(),
            sub: claims.user,
            aud: audience.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            iat: claims.issued_at.secs(),
            nbf: claims.issued_at.secs(),
            exp: claims.expires_at.secs(),
            jti: Jti { user: claims.user, nonce: claims.nonce },
            sid: claims.session,
            grant: Grant::Access,
            scope: Some(claims.scope.to_string()),
            roles: Some(claims.roles.clone()),
        }
    }

    pub fn of_refresh(claims: &RefreshClaims, issuer: &str) -> Self {
        Self {
            iss: issuer.to_owned(),
            sub: claims.user,
            // Its only audience is the issuer, who alone takes it.
            aud: issuer.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            iat: claims.issued_at.secs(),
            nbf: claims.issued_at.secs(),
            exp: claims.expires_at.secs(),
            jti: Jti { user: claims.user, nonce: claims.nonce },
            sid: claims.session,
            grant: Grant::Refresh,
            scope: None,
            roles: None,
        }
    }

    /// The access claims, if these are such.
    pub fn into_access(self) -> Option<AccessClaims> {
        let (scope, roles) = (self.scope?, self.roles?);
        let scope =
            if scope.is_empty() { Scopes::default() } else { Scopes::parse(&scope).ok()? };
        (self.grant == Grant::Access).then_some(AccessClaims {
            user: self.sub,
            session: self.sid,
            nonce: self.jti.nonce,
            issued_at: Timestamp::from_secs(self.iat),
            expires_at: Timestamp::from_secs(self.exp),
            scope,
            roles,
        })
    }

    /// The refresh claims, if these are such.
    pub fn into_refresh(self) -> Option<RefreshClaims> {
        let is_refresh =
            self.grant == Grant::Refresh && self.scope.is_none() && self.roles.is_none();
        is_refresh.then_some(RefreshClaims {
            user: self.sub,
            session: self.sid,
            nonce: self.jti.nonce,
            issued_at: Timestamp::from_secs(self.iat),
            expires_at: Timestamp::from_secs(self.exp),
        })
    }
}

/// A whole number of seconds; fractions, signs and strings fail by type.
fn numeric_date<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let secs = u64::deserialize(deserializer)?;
    if secs > NUMERIC_DATE_MAX {
        return Err(serde::de::Error::custom("out of range"));
    }
    Ok(secs)
}

/// One audience, as a string or as the only element of a list (RFC 7519 §4.1.3).
fn sole_audience<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        Text(String),
        List([String; 1]),
    }
    Audience::deserialize(deserializer).map(|audience| match audience {
        Audience::Text(text) | Audience::List([text]) => text,
    })
}

/// Ids as their text.
mod text {
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<T: Display, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
