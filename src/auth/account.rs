//! One's own account: profile, password, deletion.

use std::sync::Arc;

use super::audit::{Incident, tell_refused, told};
use super::authenticate::Identity;
use super::credential::{CredentialError, Subject};
use super::model::audit::{Actor, AuditEvent, Event};
use super::model::scope::known;
use super::model::user::{
    Expect, FullNameError, SessionsAfter, User, UserChange, UserUpdate, parse_full_name,
};
use super::model::username::{Email, EmailError};
use super::{Auth, Fault, Forbidden, Origin, faults};
use crate::password::policy::PolicyError;
use crate::password::{HashError, Password};
use crate::random::RandomError;
use crate::store::StoreError;
use crate::throttle::Later;

/// The profile fields to set, as submitted: `None` leaves one, `Some(None)` removes it.
#[derive(Clone, Default)]
pub struct ProfileChange {
    /// The e-mail address.
    pub email: Option<Option<String>>,
    /// The full name.
    pub full_name: Option<Option<String>>,
}

/// Why one's own account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The token does not reach that far.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// The address is none.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// The full name is none.
    #[error(transparent)]
    FullName(#[from] FullNameError),
    /// The new password breaks a rule.
    #[error(transparent)]
    Password(#[from] PolicyError),
    /// The current password is not that.
    #[error("the password is incorrect")]
    InvalidPassword,
    /// Too many attempts: the password was not looked at.
    #[error(transparent)]
    Later(#[from] Later),
    /// The account changed meanwhile; nothing was done.
    #[error("the account was changed by another request")]
    Conflict,
    /// The account was deleted meanwhile.
    #[error("the account is gone")]
    Gone,
    /// The last administrator cannot go.
    #[error("the last administrator cannot be lost")]
    LastAdmin,
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(AccountError: HashError, RandomError);

impl From<StoreError> for AccountError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::Gone,
            StoreError::Conflict => Self::Conflict,
            StoreError::LastAdmin => Self::LastAdmin,
            other => Self::Fault(other.into()),
        }
    }
}

impl ProfileChange {
    /// The change with its fields checked.
    pub(super) fn checked(&self) -> Result<UserChange, ProfileError> {
        let email = self.email.as_ref().map(|email| email.as_deref().map(Email::parse).transpose());
        let full_name = self.full_name.as_ref();
        let full_name = full_name.map(|name| name.as_deref().map(parse_full_name).transpose());
        Ok(UserChange {
            email: email.transpose()?,
            full_name: full_name.transpose()?,
            ..UserChange::default()
        })
    }
}

/// A profile field that breaks its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The address is none.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// The full name is none.
    #[error(transparent)]
    FullName(#[from] FullNameError),
}

impl From<ProfileError> for AccountError {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Email(error) => Self::Email(error),
            ProfileError::FullName(error) => Self::FullName(error),
        }
    }
}

impl Auth {
    /// Changes the caller's profile.
    ///
    /// # Errors
    /// `Forbidden` without the scope `me`; the first field that breaks its rule.
    pub async fn change_profile(
        &self,
        caller: &Identity,
        change: &ProfileChange,
        origin: &Origin,
    ) -> Result<User, AccountError> {
        caller.require(known::ME)?;
        let change = change.checked()?;
        let (change, audit) = if change.changes_nothing(caller.user()) {
            // No event tells of it: whoever asks for nothing a million times would push out all others. The step
            // is made all the same: what the caller's like is may still be on its way to the disk.
            (UserChange::default(), vec![])
        } else {
            (change, vec![self.own_event(Event::UserUpdated, caller, origin)?])
        };
        let (expect, sessions) = (Expect::default(), SessionsAfter::Keep);
        let update = UserUpdate { change, expect, sessions };
        let step = async |audit| self.store().update_user(caller.user().id, update, audit).await;
        Ok(told(audit, step).await?)
    }

    /// Changes the caller's password; every other session of the caller ends in the same step.
    ///
    /// # Errors
    /// `InvalidPassword` when `current` is not the password.
    pub async fn change_password(
        &self,
        caller: &Identity,
        current: Password,
        new: Password,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        caller.require(known::ME)?;
        self.check_password(&new, &caller.user().username)?;
        self.confirm(caller, current, origin).await?;
        let new_hash = self.parts.hasher.hash(new).await?;
        let update = UserUpdate {
            change: UserChange { password_hash: Some(new_hash), ..UserChange::default() },
            expect: verified(caller),
            sessions: SessionsAfter::EndAllBut(caller.session().id),
        };
        let audit = vec![self.own_event(Event::PasswordChanged, caller, origin)?];
        let step = async |audit| self.store().update_user(caller.user().id, update, audit).await;
        told(audit, step).await?;
        Ok(())
    }

    /// Deletes the caller's account.
    ///
    /// # Errors
    /// `InvalidPassword` when `password` is not the password; `Conflict` when it was changed meanwhile;
    /// `LastAdmin`.
    pub async fn delete_account(
        &self,
        caller: &Identity,
        password: Password,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        caller.require(known::ME)?;
        self.confirm(caller, password, origin).await?;
        let audit = vec![self.own_event(Event::UserDeleted, caller, origin)?];
        let (user, expect) = (caller.user().id, verified(caller));
        Ok(told(audit, async |audit| self.store().delete_user(user, expect, audit).await).await?)
    }

    /// Demands the caller's password, by the same verifier as login.
    async fn confirm(
        &self,
        caller: &Identity,
        password: Password,
        origin: &Origin,
    ) -> Result<(), AccountError> {
        let (subject, user) = (Subject::User(caller.user()), caller.user().id);
        let proved = self.prove(subject, Arc::new(password), origin).await;
        if let Err(error) = &proved {
            let who = (Actor::User(user), Some(user));
            tell_refused(error, Incident::PasswordWrong, who, origin);
        }
        match proved {
            Ok(_) => Ok(()),
            Err(CredentialError::Wrong) => Err(AccountError::InvalidPassword),
            Err(CredentialError::Later(later)) => Err(later.into()),
            Err(CredentialError::Fault(fault)) => Err(fault.into()),
        }
    }

    fn own_event(
        &self,
        event: Event,
        caller: &Identity,
        origin: &Origin,
    ) -> Result<AuditEvent, RandomError> {
        let user = caller.user().id;
        self.event(event, Actor::User(user), (user, Some(caller.session().id)), origin)
    }
}

/// The caller as the password was verified for: it must be no other by the time of the step.
fn verified(caller: &Identity) -> Expect {
    let user = caller.user();
    Expect {
        hash: Some(user.password_hash.clone()),
        actor: Some(user.standing()),
        ..Expect::default()
    }
}
