//! Sessions made and token pairs signed: what login, signup and refresh share.

use super::audit::tell;
use super::model::audit::{Actor, Event};
use super::model::id::{Nonce, SessionId};
use super::model::scope::Scopes;
use super::model::session::{Generation, Session, USER_AGENT_BYTES_MAX};
use super::model::user::User;
use super::{Auth, Fault, Origin};
use crate::clock::Timestamp;
use crate::random::RandomError;
use crate::store::OpenSession;
use crate::token::Tokens;
use crate::token::claims::{AccessClaims, RefreshClaims};

/// A successful answer of the token endpoint (RFC 6749 §5.1). No `Debug`: it holds live tokens.
pub struct TokenPair {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
    /// How long the access token still lives, in seconds.
    pub expires_in: u64,
    /// What the access token was granted.
    pub scope: Scopes,
}

impl Auth {
    /// The scopes a login of `user` is granted: those asked for that the roles allow, or all of them.
    pub(super) fn grant(&self, user: &User, asked: Option<&Scopes>) -> Scopes {
        let allowed = self.parts.policy.role_scopes.allowed(&user.roles);
        asked.map_or_else(|| allowed.clone(), |asked| asked.intersection(&allowed))
    }

    /// Opens a session for `user`, whose credentials have just been verified, and signs its first pair:
    /// before the step, so that no session is left of which nobody got the tokens.
    ///
    /// The step is refused by the store with `Conflict` if the user has been disabled, deleted or given
    /// another password since `user` was read.
    pub(super) async fn open_session(
        &self,
        user: &User,
        scope: Scopes,
        origin: &Origin,
    ) -> Result<TokenPair, Fault> {
        let now = self.now();
        let id = SessionId::new(now, self.random())?;
        let ends_at = now.floor_secs().after(self.parts.policy.session_ttl);
        let current = self.generation(scope.clone(), ends_at, now)?;
        let session = Session {
            id,
            user: user.id,
            epoch: user.epoch,
            scope,
            created_at: now,
            last_used_at: now,
            ends_at,
            ip: origin.ip_text(),
            user_agent: origin.user_agent.as_deref().map(shortened),
            current,
            replaced: None,
        };
        let pair = sign(&self.tokens(), user, &session, now)?;
        let event =
            |event, session| self.event(event, Actor::User(user.id), (user.id, session), origin);
        let open = OpenSession {
            session,
            max_per_user: self.parts.policy.sessions_per_user,
            now,
            opened: event(Event::SessionOpened, Some(id))?,
            on_eviction: event(Event::SessionEvicted, None)?,
        };
        let (opened, on_eviction) = (open.opened.clone(), open.on_eviction.clone());
        let has_evicted = self.store().open_session(open).await?;
        tell(&opened);
        if has_evicted {
            tell(&on_eviction);
        }
        Ok(pair)
    }

    /// A generation to start or go on with, its deadlines within the session's.
    pub(super) fn generation(
        &self,
        scope: Scopes,
        session_ends_at: Timestamp,
        now: Timestamp,
    ) -> Result<Generation, RandomError> {
        let issued_at = now.floor_secs();
        Ok(Generation {
            number: 0,
            access: Nonce::new(self.random())?,
            refresh: Nonce::new(self.random())?,
            issued_at,
            access_expires_at: issued_at.after(self.parts.policy.access_ttl).min(session_ends_at),
            refresh_expires_at: issued_at.after(self.parts.policy.refresh_ttl).min(session_ends_at),
            scope,
        })
    }
}

/// Signs the session's current pair; the same generation always gives the same claims, but for the
/// roles, which are the user's. What is left of its life is told as of `now`, when the request was judged.
pub(super) fn sign(
    tokens: &Tokens,
    user: &User,
    session: &Session,
    now: Timestamp,
) -> Result<TokenPair, Fault> {
    let pair = &session.current;
    let access = AccessClaims {
        user: user.id,
        session: session.id,
        nonce: pair.access,
        issued_at: pair.issued_at,
        expires_at: pair.access_expires_at,
        scope: pair.scope.clone(),
        roles: user.roles.clone(),
    };
    let refresh = RefreshClaims {
        user: user.id,
        session: session.id,
        nonce: pair.refresh,
        issued_at: pair.issued_at,
        expires_at: pair.refresh_expires_at,
    };
    Ok(TokenPair {
        access_token: tokens.sign_access(&access)?,
        refresh_token: tokens.sign_refresh(&refresh)?,
        expires_in: pair.access_expires_at.since(now.floor_secs()).as_secs(),
        scope: pair.scope.clone(),
    })
}

/// At most [`USER_AGENT_BYTES_MAX`] bytes of `user_agent`, cut between characters.
fn shortened(user_agent: &str) -> String {
    let mut end = user_agent.len().min(USER_AGENT_BYTES_MAX);
    while !user_agent.is_char_boundary(end) {
        end -= 1;
    }
    user_agent.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_cut_between_characters() {
        let agent = "\u{e9}".repeat(100);
        assert_eq!(shortened(&agent), "\u{e9}".repeat(64));
        assert_eq!(shortened(&format!("a{agent}")), format!("a{}", "\u{e9}".repeat(63)));
        assert_eq!(shortened("curl/8"), "curl/8");
    }
}
