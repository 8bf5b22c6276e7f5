//! Registration: a stranger becomes a user.

use super::audit::{Incident, told};
use super::model::audit::{Actor, Event};
use super::model::id::UserId;
use super::model::user::{FullNameError, User, parse_full_name};
use super::model::username::{Email, EmailError, Username, UsernameError};
use super::pair::TokenPair;
use super::policy::Registration;
use super::{Auth, Fault, Origin, faults};
use crate::password::policy::PolicyError;
use crate::password::{HashError, Password};
use crate::random::RandomError;
use crate::store::StoreError;
use crate::throttle::Later;

/// What a new user is made of, as submitted.
pub struct NewAccount {
    /// The name to log in with.
    pub username: String,
    /// The password.
    pub password: Password,
    /// An e-mail address.
    pub email: Option<String>,
    /// A full name.
    pub full_name: Option<String>,
}

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// Registration is closed.
    #[error("registration is closed")]
    Closed,
    /// The name breaks a rule.
    #[error(transparent)]
    Username(#[from] UsernameError),
    /// The name is reserved.
    #[error("this username is reserved")]
    Reserved,
    /// The address is none.
    #[error(transparent)]
    Email(#[from] EmailError),
    /// The full name is none.
    #[error(transparent)]
    FullName(#[from] FullNameError),
    /// The password breaks a rule.
    #[error(transparent)]
    Password(#[from] PolicyError),
    /// Too many registrations from one source.
    #[error(transparent)]
    Later(#[from] Later),
    /// The name is taken.
    #[error("this username is taken")]
    Taken,
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(RegisterError: StoreError, HashError, RandomError);

/// The parsed fields of a [`NewAccount`].
pub(super) struct Checked {
    username: Username,
    password: Password,
    email: Option<Email>,
    full_name: Option<String>,
}

impl Auth {
    /// Registers a stranger with the default roles.
    ///
    /// # Errors
    /// The first rule that is broken; `Taken` costs the same hash as success (EN-05).
    pub async fn register(
        &self,
        account: NewAccount,
        origin: &Origin,
    ) -> Result<User, RegisterError> {
        if self.parts.policy.registration == Registration::Closed {
            return Err(RegisterError::Closed);
        }
        let checked = self.check_account(account)?;
        if self.parts.policy.reserved_names.contains(checked.username.as_str()) {
            return Err(RegisterError::Reserved);
        }
        if let Some(throttle) = &self.parts.throttle {
            throttle.registration(origin.source()).inspect_err(|_| {
                Incident::Throttled.tell((Actor::Anonymous, None), origin);
            })?;
        }
        let user = self.make_user(checked).await?;
        let created = self.event(Event::UserCreated, Actor::Anonymous, (user.id, None), origin)?;
        let made = user.clone();
        let step = async |audit| self.store().create_user(made, None, audit).await;
        match told(vec![created], step).await {
            Ok(()) => Ok(user),
            Err(StoreError::Conflict) => Err(RegisterError::Taken),
            Err(other) => Err(other.into()),
        }
    }

    /// Registers a stranger and logs in, with one hash for both. These are two steps: the account stands if
    /// the session cannot be opened, and the client then logs in.
    ///
    /// # Errors
    /// As [`Auth::register`], and a [`Fault`] when there is an account but no session.
    pub async fn sign_up(
        &self,
        account: NewAccount,
        origin: &Origin,
    ) -> Result<TokenPair, RegisterError> {
        let user = self.register(account, origin).await?;
        let scope = self.grant(&user, None);
        match self.open_session(&user, scope, origin).await {
            // An administrator has changed the new user already: nothing the client did wrong.
            Err(Fault::Store(StoreError::Conflict)) => Err(StoreError::Busy.into()),
            answer => Ok(answer?),
        }
    }

    /// Checks the fields against the rules, the cheap ones before anything is hashed.
    pub(super) fn check_account(&self, account: NewAccount) -> Result<Checked, RegisterError> {
        let username = self.parse_username(&account.username)?;
        username.check_new()?;
        let email = account.email.as_deref().map(Email::parse).transpose()?;
        let full_name = account.full_name.as_deref().map(parse_full_name).transpose()?;
        self.check_password(&account.password, &username)?;
        Ok(Checked { username, password: account.password, email, full_name })
    }

    /// Hashes the password and gives the user an id and the default roles.
    pub(super) async fn make_user(&self, checked: Checked) -> Result<User, RegisterError> {
        let password_hash = self.parts.hasher.hash(checked.password).await?;
        let created_at = self.now();
        Ok(User {
            id: UserId::new(created_at, self.random())?,
            username: checked.username,
            email: checked.email,
            full_name: checked.full_name,
            disabled: false,
            roles: self.parts.policy.default_roles.clone(),
            password_hash,
            epoch: 0,
            created_at,
        })
    }
}
