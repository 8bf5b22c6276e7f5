//! A user, and the changes that can be made to one.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::id::{SessionId, UserId};
use super::scope::ADMIN_ROLE;
use super::username::{Email, Username};
use crate::clock::Timestamp;

/// The longest full name, in characters.
pub const FULL_NAME_CHARS_MAX: usize = 128;

/// The text is not a full name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a full name has 1 to 128 characters and no control characters")]
pub struct FullNameError;

/// Checks a full name, which is data only.
///
/// # Errors
/// [`FullNameError`] when it is empty, too long or holds control characters.
pub fn parse_full_name(text: &str) -> Result<String, FullNameError> {
    let sound = !text.trim().is_empty()
        && text.chars().count() <= FULL_NAME_CHARS_MAX
        && !text.chars().any(char::is_control);
    if sound { Ok(text.to_owned()) } else { Err(FullNameError) }
}

/// A password hash as it is stored: a PHC string, or one of the formats that can be imported.
#[derive(Clone, Eq, Serialize, Deserialize)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Wraps the stored text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The stored text, for the verifier alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// In a time that does not tell where two hashes differ.
impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash")
    }
}

/// A user as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Immutable, never reused; the `sub` of its tokens.
    pub id: UserId,
    /// The canonical login name.
    pub username: Username,
    /// Data only.
    pub email: Option<Email>,
    /// Data only.
    pub full_name: Option<String>,
    /// A disabled user can neither log in nor use a token.
    pub disabled: bool,
    /// Configured roles; one that is no longer configured allows nothing.
    pub roles: BTreeSet<String>,
    /// What the password is verified against.
    pub password_hash: PasswordHash,
    /// Raised by whatever ends all sessions; a session of another epoch is dead.
    pub epoch: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl User {
    /// Whether this user counts as an administrator: enabled, and of role `admin`.
    #[must_use]
    pub fn is_active_admin(&self) -> bool {
        !self.disabled && self.roles.contains(ADMIN_ROLE)
    }

    /// What this user's authority rests on as of now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let Self { id, epoch, disabled, .. } = *self;
        Standing { id, epoch, disabled, roles: self.roles.clone() }
    }
}

/// What a user's authority rests on. It changes when the user is disabled, gets other roles or loses all
/// sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whose it is.
    pub id: UserId,
    /// The user's epoch.
    pub epoch: u64,
    /// Whether the user is disabled.
    pub disabled: bool,
    /// The user's roles.
    pub roles: BTreeSet<String>,
}

/// What a change was decided by, for the step to compare with what is stored by then: whoever asks has
/// read, judged and perhaps hashed before, and others go on meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// The user's hash, which was verified.
    pub hash: Option<PasswordHash>,
    /// The user's roles, by which the change was allowed. Not the whole standing: its epoch is the user's
    /// own to raise, who could keep everybody else from changing anything that way.
    pub roles: Option<BTreeSet<String>>,
    /// Who asks.
    pub actor: Option<Standing>,
}

/// The fields to set; `None` leaves one as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// The e-mail address, or its removal.
    pub email: Option<Option<Email>>,
    /// The full name, or its removal.
    pub full_name: Option<Option<String>>,
    /// Enable or disable.
    pub disabled: Option<bool>,
    /// The whole set of roles.
    pub roles: Option<BTreeSet<String>>,
    /// A new password hash.
    pub password_hash: Option<PasswordHash>,
}

impl UserChange {
    /// Whether `user` is like that already.
    #[must_use]
    pub fn changes_nothing(&self, user: &User) -> bool {
        let mut changed = user.clone();
        self.clone().apply(&mut changed);
        changed == *user
    }

    /// Whether the user takes more room afterwards.
    #[must_use]
    pub const fn adds_text(&self) -> bool {
        matches!(self.email, Some(Some(_))) || matches!(self.full_name, Some(Some(_)))
    }

    /// Sets the fields on `user`.
    pub fn apply(self, user: &mut User) {
        if let Some(email) = self.email {
            user.email = email;
        }
        if let Some(full_name) = self.full_name {
            user.full_name = full_name;
        }
        if let Some(disabled) = self.disabled {
            user.disabled = disabled;
        }
        if let Some(roles) = self.roles {
            user.roles = roles;
        }
        if let Some(password_hash) = self.password_hash {
            user.password_hash = password_hash;
        }
    }
}

/// What becomes of a user's sessions when the user changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionsAfter {
    /// They live on.
    Keep,
    /// They all end.
    EndAll,
    /// They all end but this one.
    EndAllBut(SessionId),
}

/// One change of a user, made as one step.
#[derive(Clone, Debug)]
pub struct UserUpdate {
    /// The fields to set.
    pub change: UserChange,
    /// What it was decided by; anything else stored by now makes the step a conflict.
    pub expect: Expect,
    /// What becomes of the sessions.
    pub sessions: SessionsAfter,
}
