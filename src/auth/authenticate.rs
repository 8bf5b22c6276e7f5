//! From a bearer token to who is calling: the signature, the claims and the live session, at every request.

use std::sync::Arc;
use std::time::Duration;

use super::model::scope::{RoleScopes, Scopes};
use super::model::session::Session;
use super::model::user::User;
use super::{Auth, Fault, Forbidden, faults};
use crate::store::StoreError;
use crate::token::claims::AccessClaims;

/// How stale `last_used_at` may get before a request moves it.
const TOUCH_AFTER: Duration = Duration::from_secs(60);

/// A caller whose access token lives: only [`Auth::authenticate`] makes one.
///
/// Its rights are those of the token that the user still has, so that a role taken away is gone at the
/// next request and a role given later needs a new token.
pub struct Identity {
    user: User,
    session: Session,
    claims: Arc<AccessClaims>,
    role_scopes: Arc<RoleScopes>,
}

/// Why a bearer token opened nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticateError {
    /// Not a token of this server, expired, or of a session that has ended: the client need not know which.
    #[error("the access token is not valid")]
    Invalid,
    /// The check could not be made.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(AuthenticateError: StoreError);

impl Identity {
    /// Who is calling.
    #[must_use]
    pub const fn user(&self) -> &User {
        &self.user
    }

    /// The session the token belongs to.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// What the token says.
    #[must_use]
    pub fn claims(&self) -> &AccessClaims {
        &self.claims
    }

    /// Whether the caller holds `scope`.
    #[must_use]
    pub fn has_scope(&self, scope: &str) -> bool {
        self.claims.scope.contains(scope) && self.role_scopes.allow(&self.user.roles, scope)
    }

    /// Whether the caller holds `role`.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.claims.roles.contains(role) && self.user.roles.contains(role)
    }

    /// The scopes the caller holds.
    #[must_use]
    pub fn scopes(&self) -> Scopes {
        self.claims.scope.intersection(&self.role_scopes.allowed(&self.user.roles))
    }

    /// The roles the caller holds, in order.
    pub fn roles(&self) -> impl Iterator<Item = &str> {
        self.claims.roles.intersection(&self.user.roles).map(String::as_str)
    }

    /// Demands `scope`.
    ///
    /// # Errors
    /// [`Forbidden::Scope`] when the caller does not hold it.
    pub fn require(&self, scope: &'static str) -> Result<(), Forbidden> {
        if self.has_scope(scope) { Ok(()) } else { Err(Forbidden::Scope(scope)) }
    }
}

impl Auth {
    /// Who presents this access token.
    ///
    /// # Errors
    /// [`AuthenticateError::Invalid`] for anything but a live token of a live session.
    pub async fn authenticate(&self, token: &str) -> Result<Identity, AuthenticateError> {
        let now = self.now();
        let claims = self.tokens().verify_access(token, now).map_err(|reason| {
            tracing::debug!(%reason, "access token refused");
            AuthenticateError::Invalid
        })?;
        let (user_id, session_id) = (claims.user, claims.session);
        let found = self.store().session_for(user_id, session_id, claims.nonce, now).await?;
        let Some((session, user)) = found else {
            tracing::debug!(reason = "no live session", "access token refused");
            return Err(AuthenticateError::Invalid);
        };
        if now.since(session.last_used_at) >= TOUCH_AFTER {
            self.store().touch_session(user_id, session_id, now);
        }
        let role_scopes = Arc::clone(&self.parts.policy.role_scopes);
        Ok(Identity { user, session, claims, role_scopes })
    }
}
