//! Logout and revocation: a session ends, and both its tokens with it, from the moment of the answer.

use super::authenticate::Identity;
use super::model::audit::{Actor, Event};
use super::model::id::{SessionId, UserId};
use super::{Auth, Fault, Origin};
use crate::clock::Timestamp;

impl Auth {
    /// Ends the caller's session.
    ///
    /// # Errors
    /// A [`Fault`] when the end could not be put on disk; the session may then still live.
    pub async fn logout(&self, identity: &Identity, origin: &Origin) -> Result<(), Fault> {
        let (user, session) = (identity.user().id, identity.session().id);
        self.end_session(Actor::User(user), user, session, origin).await.map(drop)
    }

    /// Ends the session of a token (RFC 7009): of a live access token, or of an unexpired refresh token
    /// even if it has been replaced. Anything else is already revoked, and that is not an error (§2.2).
    ///
    /// # Errors
    /// A [`Fault`] when the end could not be put on disk.
    pub async fn revoke(&self, token: &str, origin: &Origin) -> Result<(), Fault> {
        let Some((user, session)) = self.session_to_revoke(token, self.now()).await? else {
            return Ok(());
        };
        self.end_session(Actor::Anonymous, user, session, origin).await.map(drop)
    }

    async fn session_to_revoke(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<(UserId, SessionId)>, Fault> {
        if let Ok(claims) = self.parts.tokens.verify_refresh(token, now) {
            return Ok(Some((claims.user, claims.session)));
        }
        let Ok(claims) = self.parts.tokens.verify_access(token, now) else { return Ok(None) };
        let (user, session) = (claims.user, claims.session);
        let live = self.store().session_for(user, session, claims.nonce, now).await?;
        Ok(live.map(|_| (user, session)))
    }

    /// Ends one session, with its audit event; whether it lived.
    pub(super) async fn end_session(
        &self,
        actor: Actor,
        user: UserId,
        session: SessionId,
        origin: &Origin,
    ) -> Result<bool, Fault> {
        let ended = self.event(Event::SessionEnded, actor, (user, Some(session)), origin)?;
        Ok(self.store().end_session(user, session, self.now(), vec![ended]).await?)
    }
}
