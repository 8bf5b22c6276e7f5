//! Users as an administrator or the operator sees and changes them.

use std::collections::BTreeSet;

use super::account::{ProfileChange, ProfileError};
use super::audit::told;
use super::model::attempts::Account;
use super::model::audit::{Actor, AuditEvent, Event};
use super::model::id::UserId;
use super::model::scope::known;
use super::model::session::Session;
use super::model::user::{Expect, SessionsAfter, Standing, User, UserChange, UserUpdate};
use super::model::username::Username;
use super::policy::{Acting, Operator};
use super::register::{NewAccount, RegisterError};
use super::{Auth, Fault, Forbidden, Origin, faults};
use crate::password::policy::PolicyError;
use crate::password::{HashError, Password};
use crate::random::RandomError;
use crate::store::{Page, StoreError};

/// What a user made by an administrator has besides the account's fields.
pub struct NewUser {
    /// The account.
    pub account: NewAccount,
    /// The roles; the default ones when absent.
    pub roles: Option<BTreeSet<String>>,
    /// Whether it starts disabled.
    pub disabled: bool,
}

/// The fields of a user that an administrator sets; `None` leaves one as it is.
#[derive(Default)]
pub struct UserEdit {
    /// The profile.
    pub profile: ProfileChange,
    /// Enable or disable.
    pub disabled: Option<bool>,
    /// The whole set of roles.
    pub roles: Option<BTreeSet<String>>,
    /// A new password.
    pub password: Option<Password>,
}

/// Which users to list.
#[derive(Clone, Debug, Default)]
pub struct UserQuery {
    /// Only names that start with this.
    pub prefix: Option<String>,
    /// The cursor of the page before.
    pub after: Option<String>,
    /// How many at most.
    pub limit: usize,
}

/// Why users were not shown or changed.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// The caller's authority does not reach that far.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// A field of a new account breaks its rule, or its name is taken.
    #[error(transparent)]
    Account(RegisterError),
    /// A profile field breaks its rule.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// The new password breaks a rule.
    #[error(transparent)]
    Password(#[from] PolicyError),
    /// A role that is not configured; with the names of those that are.
    #[error("a role must be one of the configured roles: {0}")]
    UnknownRole(String),
    /// The cursor is none that a page carried.
    #[error("this cursor is none that a page carried")]
    Cursor,
    /// No such user.
    #[error("no such user")]
    NotFound,
    /// The user changed meanwhile; nothing was done.
    #[error("the user was changed by another request")]
    Conflict,
    /// The last administrator cannot be lost.
    #[error("the last administrator cannot be lost")]
    LastAdmin,
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(UsersError: HashError, RandomError);

impl From<StoreError> for UsersError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::NotFound,
            StoreError::Conflict => Self::Conflict,
            StoreError::LastAdmin => Self::LastAdmin,
            other => Self::Fault(other.into()),
        }
    }
}

impl From<RegisterError> for UsersError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Fault(fault) => Self::Fault(fault),
            other => Self::Account(other),
        }
    }
}

impl Auth {
    /// A page of users, by name.
    ///
    /// # Errors
    /// `Forbidden` without the scope `users:read`; `Cursor` for a cursor that is no name.
    pub async fn list_users(
        &self,
        acting: Acting<'_>,
        query: UserQuery,
    ) -> Result<Page<User, String>, UsersError> {
        acting.require(known::USERS_READ)?;
        let after = query.after.map(|name| self.parse_username(&name)).transpose();
        let after = after.map_err(|_| UsersError::Cursor)?.map(|name| name.as_str().to_owned());
        let prefix = query.prefix.unwrap_or_default().to_lowercase();
        Ok(self.store().users(prefix, after, query.limit).await?)
    }

    /// The user with this id.
    ///
    /// # Errors
    /// `Forbidden` without the scope `users:read`.
    pub async fn find_user(&self, acting: Acting<'_>, id: UserId) -> Result<User, UsersError> {
        acting.require(known::USERS_READ)?;
        self.store().user(id).await?.ok_or(UsersError::NotFound)
    }

    /// The user of this name.
    ///
    /// # Errors
    /// `Forbidden` without the scope `users:read`; a text that is no name names nobody.
    pub async fn find_user_by_name(
        &self,
        acting: Acting<'_>,
        name: &str,
    ) -> Result<User, UsersError> {
        acting.require(known::USERS_READ)?;
        let name = self.parse_username(name).map_err(|_| UsersError::NotFound)?;
        self.store().user_by_name(&name).await?.ok_or(UsersError::NotFound)
    }

    /// Makes a user; reserved names may be given this way.
    ///
    /// # Errors
    /// `Forbidden` without the scope `users:write`, or for a role that is not the caller's to give, a default
    /// one included; `Conflict` when the caller's authority changed meanwhile.
    pub async fn add_user(
        &self,
        acting: Acting<'_>,
        new_user: NewUser,
        origin: &Origin,
    ) -> Result<User, UsersError> {
        acting.require(known::USERS_WRITE)?;
        // What nobody named is given all the same: only open registration makes the default roles free.
        let roles = new_user.roles.unwrap_or_else(|| self.parts.policy.default_roles.clone());
        self.check_roles(&roles)?;
        acting.may_grant(&roles, &self.parts.policy)?;
        let checked = self.check_account(new_user.account)?;
        let mut user = self.make_user(checked).await?;
        user.disabled = new_user.disabled;
        user.roles = roles;
        let created = self.event(Event::UserCreated, acting.actor(), (user.id, None), origin)?;
        let (made, by) = (user.clone(), standing(acting));
        let step = async |audit| self.store().create_user(made, by, audit).await;
        match told(vec![created], step).await {
            Ok(()) => Ok(user),
            Err(StoreError::Conflict) => Err(self.taken_or_conflict(&user.username).await?),
            Err(other) => Err(other.into()),
        }
    }

    /// Changes a user; disabling and a new password end all of its sessions in the same step.
    ///
    /// # Errors
    /// `Forbidden` for a user of more authority than the caller, or a role not the caller's to give;
    /// `Conflict` when the user's roles or the caller's authority changed meanwhile.
    pub async fn edit_user(
        &self,
        acting: Acting<'_>,
        id: UserId,
        edit: UserEdit,
        origin: &Origin,
    ) -> Result<User, UsersError> {
        acting.require(known::USERS_WRITE)?;
        let target = self.store().user(id).await?.ok_or(UsersError::NotFound)?;
        let profile = self.check_edit(acting, &target, &edit)?;
        let audit = self.edit_events(acting, id, &edit, origin)?;
        let ends_all = edit.password.is_some() || edit.disabled == Some(true);
        let password_hash = match edit.password {
            Some(password) => Some(self.parts.hasher.hash(password).await?),
            None => None,
        };
        let change =
            UserChange { disabled: edit.disabled, roles: edit.roles, password_hash, ..profile };
        let sessions = if ends_all { SessionsAfter::EndAll } else { SessionsAfter::Keep };
        let update = UserUpdate { change, expect: judged(acting, &target), sessions };
        Ok(told(audit, async |audit| self.store().update_user(id, update, audit).await).await?)
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// `Forbidden` for a user of more authority than the caller; `Conflict` as [`Auth::edit_user`];
    /// `LastAdmin`.
    pub async fn remove_user(
        &self,
        acting: Acting<'_>,
        id: UserId,
        origin: &Origin,
    ) -> Result<(), UsersError> {
        acting.require(known::USERS_WRITE)?;
        let target = self.store().user(id).await?.ok_or(UsersError::NotFound)?;
        acting.may_govern(&target, &self.parts.policy.role_scopes)?;
        let deleted = self.event(Event::UserDeleted, acting.actor(), (id, None), origin)?;
        let expect = judged(acting, &target);
        let step = async |audit| self.store().delete_user(id, expect, audit).await;
        Ok(told(vec![deleted], step).await?)
    }

    /// Whether wrong passwords have locked that of `user`.
    ///
    /// # Errors
    /// When what is remembered of the attempts cannot be read.
    pub async fn is_locked(&self, _: &Operator, user: &User) -> Result<bool, UsersError> {
        let Some(throttle) = &self.parts.throttle else { return Ok(false) };
        let attempts = self.store().attempts(Account::User(user.id)).await?;
        Ok(attempts.is_locked(throttle.limits()))
    }

    /// Lifts the lock and every wait that wrong passwords have brought upon the user of this name.
    ///
    /// # Errors
    /// `NotFound` for a name that nobody has.
    pub async fn unlock_user(&self, operator: &Operator, name: &str) -> Result<User, UsersError> {
        let user = self.find_user_by_name(Acting::Operator(operator), name).await?;
        let origin = Origin::default();
        let unlocked =
            self.event(Event::AccountUnlocked, Actor::Operator, (user.id, None), &origin)?;
        let step = async |audit| self.store().throttle_unlock(user.id, audit).await;
        told(vec![unlocked], step).await?;
        Ok(user)
    }

    /// The live sessions of a user, oldest first.
    ///
    /// # Errors
    /// `Forbidden` without the scope `users:read`.
    pub async fn user_sessions(
        &self,
        acting: Acting<'_>,
        id: UserId,
    ) -> Result<Vec<Session>, UsersError> {
        let user = self.find_user(acting, id).await?;
        Ok(self.store().sessions_of(user.id, self.now()).await?)
    }

    /// Ends all sessions of a user.
    ///
    /// # Errors
    /// As [`Auth::remove_user`], but for the last administrator: to be logged out again and again is to be kept
    /// from acting.
    pub async fn end_user_sessions(
        &self,
        acting: Acting<'_>,
        id: UserId,
        origin: &Origin,
    ) -> Result<(), UsersError> {
        acting.require(known::USERS_WRITE)?;
        let target = self.store().user(id).await?.ok_or(UsersError::NotFound)?;
        acting.may_govern(&target, &self.parts.policy.role_scopes)?;
        let update = UserUpdate {
            change: UserChange::default(),
            expect: judged(acting, &target),
            sessions: SessionsAfter::EndAll,
        };
        let ended = self.event(Event::SessionsEnded, acting.actor(), (id, None), origin)?;
        let step = async |audit| self.store().update_user(id, update, audit).await;
        told(vec![ended], step).await?;
        Ok(())
    }

    /// What a refused creation means: there are two reasons, and a taken name explains itself.
    async fn taken_or_conflict(&self, name: &Username) -> Result<UsersError, StoreError> {
        let is_taken = self.store().user_by_name(name).await?.is_some();
        Ok(if is_taken { RegisterError::Taken.into() } else { UsersError::Conflict })
    }

    /// The profile part of `edit`, if all of it is the caller's to make, and sound, before anything is hashed.
    fn check_edit(
        &self,
        acting: Acting<'_>,
        target: &User,
        edit: &UserEdit,
    ) -> Result<UserChange, UsersError> {
        let governs = edit.disabled.is_some() || edit.roles.is_some() || edit.password.is_some();
        if governs {
            acting.may_govern(target, &self.parts.policy.role_scopes)?;
        }
        if let Some(roles) = &edit.roles {
            self.check_roles(roles)?;
            let added: BTreeSet<_> = roles.difference(&target.roles).cloned().collect();
            let oneself = matches!(acting, Acting::User(caller) if caller.user().id == target.id);
            if oneself && !added.is_empty() {
                return Err(Forbidden::Authority.into());
            }
            acting.may_grant(&added, &self.parts.policy)?;
        }
        if let Some(password) = &edit.password {
            self.check_password(password, &target.username)?;
        }
        Ok(edit.profile.checked()?)
    }

    fn check_roles(&self, roles: &BTreeSet<String>) -> Result<(), UsersError> {
        let configured = &self.parts.policy.role_scopes;
        if roles.iter().all(|role| configured.has(role)) {
            Ok(())
        } else {
            Err(UsersError::UnknownRole(configured.names().collect::<Vec<_>>().join(", ")))
        }
    }

    fn edit_events(
        &self,
        acting: Acting<'_>,
        id: UserId,
        edit: &UserEdit,
        origin: &Origin,
    ) -> Result<Vec<AuditEvent>, RandomError> {
        let profile = edit.profile.email.is_some() || edit.profile.full_name.is_some();
        let events = [
            profile.then_some(Event::UserUpdated),
            edit.roles.is_some().then_some(Event::RolesChanged),
            edit.password.is_some().then_some(Event::PasswordChanged),
            edit.disabled.map(|off| if off { Event::UserDisabled } else { Event::UserEnabled }),
        ];
        let events = events.into_iter().flatten();
        events.map(|event| self.event(event, acting.actor(), (id, None), origin)).collect()
    }
}

/// What a change of `target` was allowed by: its step is refused once either has changed, or somebody who is
/// being demoted or disabled could undo that with a request that was let in before.
fn judged(acting: Acting<'_>, target: &User) -> Expect {
    Expect { hash: None, roles: Some(target.roles.clone()), actor: standing(acting) }
}

fn standing(acting: Acting<'_>) -> Option<Standing> {
    match acting {
        Acting::User(caller) => Some(caller.user().standing()),
        Acting::Operator(_) => None,
    }
}
