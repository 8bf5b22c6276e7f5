//! Login: a name and a password become a session and its first token pair.

use std::sync::Arc;

use super::audit::{Incident, tell_refused};
use super::credential::{CredentialError, Proof, Subject};
use super::model::audit::Actor;
use super::model::scope::{InvalidScope, Scopes};
use super::model::user::{Expect, PasswordHash, SessionsAfter, User, UserChange, UserUpdate};
use super::pair::TokenPair;
use super::{Auth, Fault, Origin, faults};
use crate::password::Password;
use crate::store::StoreError;
use crate::throttle::Later;

/// What somebody logs in with, as submitted.
pub struct Credentials {
    /// The name, in any spelling.
    pub username: String,
    /// The password.
    pub password: Password,
    /// The scopes asked for; all that the roles allow when absent.
    pub scope: Option<String>,
}

/// Why a login was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Unknown user, wrong password or locked account: one answer, one amount of work.
    #[error("incorrect username or password")]
    InvalidCredentials,
    /// Too many attempts: this one was not looked at, whoever's it is.
    #[error(transparent)]
    Later(#[from] Later),
    /// The right password of a disabled user.
    #[error("inactive user")]
    Inactive,
    /// The scope is malformed.
    #[error(transparent)]
    InvalidScope(#[from] InvalidScope),
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(LoginError: StoreError);

impl From<CredentialError> for LoginError {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Wrong => Self::InvalidCredentials,
            CredentialError::Later(later) => Self::Later(later),
            CredentialError::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// How often a login starts over because the user changed under it without getting another password.
const ATTEMPTS: usize = 3;

impl Auth {
    /// Verifies a password and opens a session.
    ///
    /// # Errors
    /// `InvalidCredentials` for an unknown name as for a wrong password, after the same work; `Later` for both
    /// alike.
    pub async fn login(
        &self,
        credentials: Credentials,
        origin: &Origin,
    ) -> Result<TokenPair, LoginError> {
        let asked = credentials.scope.as_deref().map(Scopes::parse).transpose()?;
        let Credentials { username, password, .. } = credentials;
        let mut user = self.verified(&username, password, origin).await?;
        for _ in 0..ATTEMPTS {
            if user.disabled {
                Incident::LoginFailed.tell((Actor::Anonymous, Some(user.id)), origin);
                return Err(LoginError::Inactive);
            }
            let scope = self.grant(&user, asked.as_ref());
            match self.open_session(&user, scope, origin).await {
                Err(Fault::Store(StoreError::Conflict)) => {
                    user = self.unchanged(user, origin).await?;
                }
                answer => return Ok(answer?),
            }
        }
        Err(StoreError::Busy.into())
    }

    /// The user of that name, if the password is right. A hash of older parameters is replaced in passing.
    async fn verified(
        &self,
        username: &str,
        password: Password,
        origin: &Origin,
    ) -> Result<User, LoginError> {
        // One account counts the attempts at every spelling of its name (LT-02).
        let (name, user) = match self.parse_username(username) {
            Ok(name) => (name.as_str().to_owned(), self.store().user_by_name(&name).await?),
            Err(_) => (username.to_lowercase(), None),
        };
        let subject = user.as_ref().map_or(Subject::Stranger(&name), Subject::User);
        let password = Arc::new(password);
        let proved = self.prove(subject, Arc::clone(&password), origin).await;
        if let Err(error) = &proved {
            // People type passwords where the name belongs: only who is known is named (LG-05).
            let who = (Actor::Anonymous, user.as_ref().map(|user| user.id));
            tell_refused(error, Incident::LoginFailed, who, origin);
        }
        let proof = proved?;
        match (user, proof) {
            (Some(user), Proof::Current) => Ok(user),
            (Some(user), Proof::Outdated) => Ok(self.rehashed(user, password).await),
            (None, _) => Err(LoginError::InvalidCredentials),
        }
    }

    /// The user with a hash of today's parameters, or unchanged if that cannot be had: a login does not
    /// fail because its hash is old.
    async fn rehashed(&self, user: User, password: Arc<Password>) -> User {
        let new_hash = match self.parts.hasher.hash(password).await {
            Ok(new_hash) => new_hash,
            Err(error) => {
                tracing::warn!(%error, user = %user.id, "an old password hash was kept");
                return user;
            }
        };
        let update = UserUpdate {
            change: UserChange { password_hash: Some(new_hash), ..UserChange::default() },
            expect: Expect { hash: Some(user.password_hash.clone()), ..Expect::default() },
            sessions: SessionsAfter::Keep,
        };
        match self.store().update_user(user.id, update, Vec::new()).await {
            Ok(updated) => updated,
            Err(error) => {
                tracing::warn!(%error, user = %user.id, "an old password hash was kept");
                user
            }
        }
    }

    /// The user as stored now, if the password that was verified is still the password.
    async fn unchanged(&self, verified: User, origin: &Origin) -> Result<User, LoginError> {
        let same = |now: &PasswordHash| *now == verified.password_hash;
        let user = self.store().user(verified.id).await?;
        user.filter(|user| same(&user.password_hash)).ok_or_else(|| {
            Incident::LoginFailed.tell((Actor::Anonymous, Some(verified.id)), origin);
            LoginError::InvalidCredentials
        })
    }
}
