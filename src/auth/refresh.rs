//! Refresh: a refresh token becomes the next token pair, exactly once.

use super::audit::{Incident, tell};
use super::authenticate::DeadToken;
use super::model::audit::{Actor, Event};
use super::model::scope::{InvalidScope, Scopes};
use super::model::session::Rotation;
use super::pair::{TokenPair, sign};
use super::{Auth, Fault, Origin, faults};
use crate::random::RandomError;
use crate::store::{Rotate, StoreError};

/// Why a refresh was refused.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// The token is dead, foreign or used up: the client need not know which.
    #[error("the refresh token is not valid")]
    InvalidGrant(#[from] DeadToken),
    /// The scope is malformed, or wider than the login was granted.
    #[error("the scope is not valid")]
    InvalidScope,
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(RefreshError: StoreError, RandomError);

impl From<InvalidScope> for RefreshError {
    fn from(_: InvalidScope) -> Self {
        Self::InvalidScope
    }
}

impl Auth {
    /// Exchanges a refresh token for the next pair, or, for the token that was just replaced, gives the
    /// very pair it was exchanged for (`api.md`, "Sessions and refresh").
    ///
    /// # Errors
    /// `InvalidGrant` for a token that is used up, whose session ends with that.
    pub async fn refresh(
        &self,
        token: &str,
        scope: Option<&str>,
        origin: &Origin,
    ) -> Result<TokenPair, RefreshError> {
        let now = self.now();
        // One set of keys from here on: what dropped keys have let in must not go on with new ones.
        let tokens = self.parts.tokens.load_full();
        let claims = tokens.verify_refresh(token, now).map_err(DeadToken::from)?;
        let found = self.store().session(claims.user, claims.session, now).await?;
        let (session, user) = found.ok_or(DeadToken::NoSession)?;
        // A replay is answered with the pair that exists, so only a first exchange can ask too much.
        // One that is used up is told as such whatever it asks for.
        let is_current = session.current.refresh == claims.nonce;
        let asked = if is_current { scope.map(Scopes::parse).transpose()? } else { None };
        if asked.as_ref().is_some_and(|asked| !session.scope.covers(asked)) {
            return Err(RefreshError::InvalidScope);
        }
        let granted = self.grant(&user, Some(asked.as_ref().unwrap_or(&session.scope)));
        let subject = (user.id, Some(session.id));
        let rotate = Rotate {
            user: user.id,
            session: session.id,
            presented: claims.nonce,
            next: self.generation(granted, session.ends_at, now)?,
            grace: self.parts.policy.refresh_grace,
            now,
            on_reuse: self.event(Event::RefreshReused, Actor::Anonymous, subject, origin)?,
        };
        let reused = rotate.on_reuse.clone();
        match self.store().rotate(rotate).await {
            Ok(Rotation::Rotated(session) | Rotation::Replayed(session)) => {
                let pair = sign(&tokens, &user, &session, now)?;
                Incident::SessionRefreshed.tell((Actor::User(user.id), Some(user.id)), origin);
                Ok(pair)
            }
            Ok(Rotation::Reused) => {
                tell(&reused);
                Err(DeadToken::UsedUp.into())
            }
            Err(StoreError::NotFound) => Err(DeadToken::NoSession.into()),
            Err(other) => Err(other.into()),
        }
    }
}
