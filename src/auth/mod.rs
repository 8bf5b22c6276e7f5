//! The domain: what may happen, and who may do it. One operation per file, each with its own error.
//!
//! Knows no HTTP, no engine and no JWT types; time, randomness, the store, the hasher and the tokens are
//! handed in. Every operation that changes something is one step of the store, and returns only after
//! that step is on disk.

pub mod account;
pub mod authenticate;
mod credential;
pub mod export;
pub mod introspect;
pub mod keys;
pub mod login;
pub mod logout;
pub mod model;
pub mod pair;
pub mod policy;
pub mod posts;
pub mod refresh;
pub mod register;
pub mod sessions;
pub mod users;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::Mutex;

use crate::auth::model::audit::{Actor, AuditEvent, Event};
use crate::auth::model::id::{EventId, SessionId, UserId};
use crate::auth::model::source::Source;
use crate::auth::model::username::{Username, UsernameError};
use crate::auth::policy::Policy;
use crate::clock::{Clock, Timestamp};
use crate::password::policy::{PasswordPolicy, PolicyError};
use crate::password::pool::Hasher;
use crate::password::{HashError, Password};
use crate::random::{Random, RandomError};
use crate::store::{Store, StoreError};
use crate::throttle::Throttle;
use crate::token::{SignError, Tokens};

/// The name of this program, which is nobody's password.
const PRODUCT: &str = "keystile";

/// What the domain is made of; [`crate::app`] puts it together.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where randomness comes from.
    pub random: Arc<dyn Random>,
    /// The pool that computes password hashes.
    pub hasher: Hasher,
    /// Keeps attempts at passwords rare; none lets all through.
    pub throttle: Option<Arc<Throttle>>,
    /// The rules for new passwords.
    pub passwords: PasswordPolicy,
    /// Signs and verifies; gives way to another one when the keys rotate.
    pub tokens: ArcSwap<Tokens>,
    /// The configured rules.
    pub policy: Policy,
}

/// The public operations of the token server.
pub struct Auth {
    parts: Parts,
    /// Held while the keys rotate.
    rotation: Mutex<()>,
}

/// Where a request came from, as it is noted in sessions and audit events and counted by limits.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The client's address; none for what came over no network.
    pub ip: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The request's id.
    pub request_id: Option<String>,
}

/// A failure that is not the caller's: the operation was not done, or at worst its outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The store did not do its step.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The hashing pool did not do its work.
    #[error("hashing failed")]
    Hash(#[from] HashError),
    /// There was no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A token could not be signed.
    #[error("signing failed")]
    Sign(#[from] SignError),
}

/// More authority is needed than the caller has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// The token lacks this scope, or its user no longer has it.
    #[error("scope {0} is needed")]
    Scope(&'static str),
    /// The token lacks this role, or its user no longer has it.
    #[error("the role is missing")]
    Role,
    /// The thing belongs to somebody else, or to somebody with more authority.
    #[error("not yours to change")]
    Authority,
}

impl Origin {
    /// Whom the limits count its attempts for.
    #[must_use]
    pub fn source(&self) -> Source {
        Source::of(self.ip)
    }

    /// The client's address as it is noted.
    fn ip_text(&self) -> Option<String> {
        self.ip.map(|ip| ip.to_string())
    }
}

impl Auth {
    /// Puts the domain together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self { parts, rotation: Mutex::default() }
    }

    /// The configured rules.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.parts.policy
    }

    /// The public keys that verify access tokens (RFC 7517); empty with a shared secret.
    #[must_use]
    pub fn jwk_set(&self) -> serde_json::Value {
        self.tokens().jwk_set(self.now())
    }

    /// The time this server goes by.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    fn store(&self) -> &dyn Store {
        self.parts.store.as_ref()
    }

    /// The tokens with the keys of this moment, to be used at once and not kept.
    fn tokens(&self) -> Guard<Arc<Tokens>> {
        self.parts.tokens.load()
    }

    fn random(&self) -> &dyn Random {
        self.parts.random.as_ref()
    }

    fn parse_username(&self, text: &str) -> Result<Username, UsernameError> {
        Username::parse(text, self.parts.policy.names)
    }

    /// Checks a password that `username` is about to get.
    fn check_password(&self, password: &Password, username: &Username) -> Result<(), PolicyError> {
        let policy = &self.parts.policy;
        let names = [PRODUCT, &policy.issuer, &policy.audience].into_iter();
        let names: Vec<_> = names.chain(policy.hosts.iter().map(String::as_str)).collect();
        self.parts.passwords.check(password, username, &names)
    }

    /// An audit event about `user`, made now.
    fn event(
        &self,
        event: Event,
        actor: Actor,
        (user, session): (UserId, Option<SessionId>),
        origin: &Origin,
    ) -> Result<AuditEvent, RandomError> {
        let at = self.now();
        Ok(AuditEvent {
            id: EventId::new(at, self.random())?,
            at,
            event,
            actor,
            user: Some(user),
            session,
            ip: origin.ip_text(),
            request_id: origin.request_id.clone(),
        })
    }
}

/// `From<StoreError>` and the like for an operation's error that carries a [`Fault`].
macro_rules! faults {
    ($error:ident: $($source:ty),+) => {$(
        impl From<$source> for $error {
            fn from(source: $source) -> Self {
                Self::Fault(source.into())
            }
        }
    )+};
}
use faults;
