//! What is recorded: who asked for what and when, and what was answered and when.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::Hash;

/// Users, sessions and token pairs by small numbers, each kind counted for itself.
pub type Id = u32;

/// A session, and a token pair of it that is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The session.
    pub session: Id,
    /// The pair.
    pub pair: Id,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Registration under the name.
    Register,
    /// Login under the name.
    Login,
    /// Refresh with the pair's refresh token.
    Refresh(Token),
    /// `GET /users/me` with the pair's access token.
    Check(Token),
    /// Logout with the access token.
    Logout(Token),
    /// Revocation of the access token.
    RevokeAccess(Token),
    /// Revocation of the refresh token.
    RevokeRefresh(Token),
    /// `DELETE /users/me/sessions/{id}`, whose access token is a [`Call::Check`] of its own.
    End(Id),
    /// Whether `GET /users/me/sessions` showed this session: a list is as many of these, since the sessions of
    /// one list are read one after another, and a [`Call::Check`] of its access token.
    Listed(Id),
    /// An administrator disables the user.
    Disable(Id),
    /// An administrator enables the user.
    Enable(Id),
    /// An administrator deletes the user.
    Delete(Id),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Done,
    /// Yes: this user was made.
    User(Id),
    /// Yes: this pair, of this session of this user.
    Pair {
        /// Whose.
        user: Id,
        /// Of which session.
        session: Id,
        /// The pair.
        pair: Id,
    },
    /// No: taken, dead, unknown.
    Refused,
    /// The caller was let in, but what it asked for is not there.
    Missing,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Which client, for the reader.
    pub client: usize,
    /// What it asked for.
    pub call: Call,
    /// What it was answered; nothing if the server was killed before.
    pub answer: Option<Answer>,
    /// When it asked, in microseconds since the beginning.
    pub invoked: u64,
    /// When it had the answer, or the server was dead.
    pub returned: u64,
}

/// All that was recorded.
#[derive(Debug, Default)]
pub struct History {
    /// The operations under each name.
    pub names: BTreeMap<usize, Vec<Operation>>,
    /// When the server was killed: all that was not answered by then had its effect before, or has none.
    pub kills: Vec<u64>,
}

impl Call {
    /// The session it is about; nothing if it is about the user or the name.
    pub fn session(self) -> Option<Id> {
        match self {
            Self::Refresh(token)
            | Self::Check(token)
            | Self::Logout(token)
            | Self::RevokeAccess(token)
            | Self::RevokeRefresh(token) => Some(token.session),
            Self::End(session) | Self::Listed(session) => Some(session),
            Self::Register | Self::Login | Self::Disable(_) | Self::Enable(_) | Self::Delete(_) => {
                None
            }
        }
    }
}

/// Numbers things in the order in which they are first seen.
#[derive(Debug)]
pub struct Numbers<T>(HashMap<T, Id>);

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Hash + Eq> Numbers<T> {
    /// The number of `thing`.
    pub fn of(&mut self, thing: T) -> Id {
        let next = Id::try_from(self.0.len()).unwrap();
        *self.0.entry(thing).or_insert(next)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pair {} of session {}", self.pair, self.session)
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register => write!(f, "register"),
            Self::Login => write!(f, "log in"),
            Self::Refresh(token) => write!(f, "refresh with {token}"),
            Self::Check(token) => write!(f, "check {token}"),
            Self::Logout(token) => write!(f, "log out with {token}"),
            Self::RevokeAccess(token) => write!(f, "revoke access token, {token}"),
            Self::RevokeRefresh(token) => write!(f, "revoke refresh token, {token}"),
            Self::End(session) => write!(f, "end session {session}"),
            Self::Listed(session) => write!(f, "session {session} in the list"),
            Self::Disable(user) => write!(f, "disable user {user}"),
            Self::Enable(user) => write!(f, "enable user {user}"),
            Self::Delete(user) => write!(f, "delete user {user}"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => write!(f, "yes"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Pair { user, session, pair } => {
                write!(f, "pair {pair} of session {session} of user {user}")
            }
            Self::Refused => write!(f, "no"),
            Self::Missing => write!(f, "not found"),
        }
    }
}
