//! Logout and revocation: a session ends, and both its tokens with it, from the moment of the answer.

use super::authenticate::Identity;
use super::model::audit::{Actor, Event};
use super::model::id::{Nonce, SessionId, UserId};
use super::{Auth, Fault, Origin};
use crate::throttle::Later;

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// Too many tokens that are none of ours.
    #[error(transparent)]
    Later(#[from] Later),
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// Ends the caller's session.
    ///
    /// # Errors
    /// A [`Fault`] when the end could not be put on disk; the session may then still live.
    pub async fn logout(&self, identity: &Identity, origin: &Origin) -> Result<(), Fault> {
        let (user, session) = (identity.user().id, identity.session().id);
        self.end_session(Actor::User(user), (user, session), None, origin).await.map(drop)
    }

    /// Ends the session of a token (RFC 7009): of a live access token, or of an unexpired refresh token
    /// even if it has been replaced. Anything else is already revoked, and that is not an error (§2.2).
    ///
    /// # Errors
    /// A [`Fault`] when the end could not be put on disk; `Later` for a token that this server never made,
    /// after too many of them. One that it made can be revoked whatever others try (RFC 7009 §5).
    pub async fn revoke(&self, token: &str, origin: &Origin) -> Result<(), RevokeError> {
        let now = self.now();
        let (session, accepting) = if let Ok(claims) = self.tokens().verify_refresh(token, now) {
            ((claims.user, claims.session), None)
        } else if let Ok(claims) = self.tokens().verify_access(token, now) {
            ((claims.user, claims.session), Some(claims.nonce))
        } else {
            return Ok(self.count_foreign(token, origin)?);
        };
        // The step itself asks whether the token lives. A read before it would already see an end that is
        // still on its way to the disk, and the answer would come before that end is certain.
        self.end_session(Actor::Anonymous, session, accepting, origin).await?;
        Ok(())
    }

    /// Counts a token that was refused, unless this server made it once: nobody guesses those.
    pub(super) fn count_foreign(&self, token: &str, origin: &Origin) -> Result<(), Later> {
        match &self.parts.throttle {
            Some(throttle) if !self.tokens().has_made(token, self.now()) => {
                throttle.foreign_token(origin.source())
            }
            _ => Ok(()),
        }
    }

    /// Ends one session, with its audit event; whether it lived. With `accepting`, only if it accepts a
    /// token of that nonce.
    pub(super) async fn end_session(
        &self,
        actor: Actor,
        (user, session): (UserId, SessionId),
        accepting: Option<Nonce>,
        origin: &Origin,
    ) -> Result<bool, Fault> {
        let ended = self.event(Event::SessionEnded, actor, (user, Some(session)), origin)?;
        Ok(self.store().end_session(user, session, accepting, self.now(), vec![ended]).await?)
    }
}
