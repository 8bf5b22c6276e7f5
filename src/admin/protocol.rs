//! What goes over the admin socket: one JSON line asks, one JSON line answers, or several where the reply
//! says so.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::ZeroizeOnDrop;

use super::audit::{AuditEntry, AuditRequest};
use crate::auth::export::DumpText;
use crate::auth::model::key::KeyState;
use crate::auth::model::user::User;
use crate::clock::Timestamp;

/// The longest line either side reads, in bytes.
pub const LINE_BYTES_MAX: u64 = 1024 * 1024;

/// A command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Makes a user.
    UsersAdd(NewAccountFields),
    /// Lists users by name, a page at a time.
    UsersList {
        /// The cursor of the page before.
        after: Option<String>,
        /// How many at most.
        limit: usize,
    },
    /// Shows one user.
    UsersShow {
        /// The user's name.
        name: String,
    },
    /// Lifts the lock of a user's password.
    UsersUnlock {
        /// The user's name.
        name: String,
    },
    /// Reads security events, a page at a time.
    Audit(AuditRequest),
    /// Lists the signing keys in use.
    KeysList,
    /// Makes new signing keys.
    KeysRotate {
        /// Whether the old ones stop verifying at once.
        drop_old: bool,
    },
    /// Dumps users, posts and audit events.
    Export,
}

/// The fields of a user to make.
#[derive(Debug, Serialize, Deserialize)]
pub struct NewAccountFields {
    /// The name to log in with.
    pub username: String,
    /// The password.
    pub password: PlainPassword,
    /// An e-mail address.
    pub email: Option<String>,
    /// A full name.
    pub full_name: Option<String>,
    /// The roles; none means the default ones.
    pub roles: Vec<String>,
}

/// A password on its way to the server; wiped when dropped.
#[derive(Serialize, Deserialize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct PlainPassword(String);

impl PlainPassword {
    /// Takes the text.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Gives the text on.
    #[must_use]
    pub fn into_text(mut self) -> String {
        std::mem::take(&mut self.0)
    }
}

impl fmt::Debug for PlainPassword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PlainPassword")
    }
}

/// What a command gives back.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reply {
    /// One user.
    Account(Account),
    /// A page of users.
    Accounts {
        /// The users, by name.
        accounts: Vec<Account>,
        /// Where the next page starts.
        next: Option<String>,
    },
    /// A page of security events.
    Audit {
        /// The events, oldest first.
        events: Vec<AuditEntry>,
        /// Where the next page starts.
        next: Option<String>,
    },
    /// The signing keys in use.
    Keys {
        /// The keys, those that sign before the others of their kind.
        keys: Vec<SigningKey>,
    },
    /// A piece of a dump; another reply follows.
    DumpPiece {
        /// Whole lines of it.
        text: DumpText,
    },
    /// The dump is whole.
    DumpEnd(DumpEnd),
}

/// What a dump came to.
#[derive(Debug, Serialize, Deserialize)]
pub struct DumpEnd {
    /// How many records it has.
    pub records: u64,
    /// How many records could not be read, and are not in it.
    pub left_out: u64,
    /// SHA-256 of all but its last line, in hex.
    pub sha256: String,
}

/// Why a command was not carried out: one line for the operator.
#[derive(Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

/// A user as the operator sees it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Account {
    /// The user's id.
    pub id: String,
    /// The canonical name.
    pub username: String,
    /// The e-mail address.
    pub email: Option<String>,
    /// The full name.
    pub full_name: Option<String>,
    /// Whether the user is disabled.
    pub disabled: bool,
    /// Whether wrong passwords have locked the user's password.
    pub locked: bool,
    /// The roles, in order.
    pub roles: Vec<String>,
    /// When the user was made, RFC 3339.
    pub created_at: String,
}

/// A signing key as the operator sees it.
#[derive(Debug, Serialize, Deserialize)]
pub struct SigningKey {
    /// What it is called in the headers of its tokens.
    pub kid: String,
    /// The kind of token it is for, `access` or `refresh`.
    pub purpose: String,
    /// The JOSE name of its algorithm.
    pub algorithm: String,
    /// Whether it signs; one that does not verifies what it signed earlier.
    pub signs: bool,
    /// When it stops verifying, RFC 3339; none for one that signs or is configured.
    pub verifies_until: Option<String>,
    /// When it was made, RFC 3339; none for one that is configured.
    pub created_at: Option<String>,
}

impl SigningKey {
    /// The view of `key`.
    #[must_use]
    pub fn of(key: &KeyState) -> Self {
        Self {
            kid: key.kid.clone(),
            purpose: key.purpose.name().to_owned(),
            algorithm: key.algorithm.to_owned(),
            signs: key.signs,
            verifies_until: key.verifies_until.map(Timestamp::to_rfc3339),
            created_at: key.created_at.map(Timestamp::to_rfc3339),
        }
    }
}

impl Account {
    /// The view of `user`, whose password may be locked.
    #[must_use]
    pub fn of(user: &User, locked: bool) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.to_string(),
            email: user.email.as_ref().map(|email| email.as_str().to_owned()),
            full_name: user.full_name.clone(),
            disabled: user.disabled,
            locked,
            roles: user.roles.iter().cloned().collect(),
            created_at: user.created_at.to_rfc3339(),
        }
    }
}
