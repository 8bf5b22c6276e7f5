//! The configured rules, and who may act on whom.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Forbidden;
use super::authenticate::Identity;
use super::model::audit::Actor;
use super::model::scope::{ADMIN_ROLE, RoleScopes, Scopes};
use super::model::user::User;
use super::model::username::NamePolicy;

/// The domain's settings, validated by the configuration.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which user names may be taken.
    pub names: NamePolicy,
    /// Canonical names nobody can register for themselves.
    pub reserved_names: BTreeSet<String>,
    /// Whether strangers may register.
    pub registration: Registration,
    /// The roles of a user who is given none.
    pub default_roles: BTreeSet<String>,
    /// What each role allows.
    pub role_scopes: Arc<RoleScopes>,
    /// The hosts of the public URL and of the issuer, which are nobody's passwords.
    pub hosts: BTreeSet<String>,
    /// The issuer, `iss` of every token.
    pub issuer: String,
    /// The audience, `aud` of every access token.
    pub audience: String,
    /// The life of an access token.
    pub access_ttl: Duration,
    /// The life of a refresh token, and so how long a session may idle.
    pub refresh_ttl: Duration,
    /// The life of a session, whatever happens.
    pub session_ttl: Duration,
    /// How long a replaced pair is borne with.
    pub refresh_grace: Duration,
    /// How many sessions of one user live at a time.
    pub sessions_per_user: usize,
}

/// Whether strangers may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Anybody may.
    Open,
    /// Users are made by administrators.
    Closed,
}

/// Names that no stranger may take, whatever the issuer is called.
pub const RESERVED_NAMES: [&str; 4] = ["admin", "root", "system", "anonymous"];

/// The operator of this machine: proof that a call came through the command line or its socket.
#[derive(Debug)]
pub struct Operator(());

impl Operator {
    /// To be made by the admin room alone, once it has checked who is calling.
    #[must_use]
    pub const fn checked() -> Self {
        Self(())
    }
}

/// Who acts on users.
#[derive(Clone, Copy)]
pub enum Acting<'a> {
    /// A signed-in user, with the rights of the token that the user still has.
    User(&'a Identity),
    /// The operator, who holds all of them.
    Operator(&'a Operator),
}

impl Acting<'_> {
    /// How audit events name it.
    #[must_use]
    pub const fn actor(self) -> Actor {
        match self {
            Self::User(identity) => Actor::User(identity.user().id),
            Self::Operator(_) => Actor::Operator,
        }
    }

    /// Demands `scope`.
    ///
    /// # Errors
    /// [`Forbidden::Scope`] when it is not held.
    pub fn require(self, scope: &'static str) -> Result<(), Forbidden> {
        match self {
            Self::User(identity) => identity.require(scope),
            Self::Operator(_) => Ok(()),
        }
    }

    /// Demands to hold every scope that `target` holds: nobody changes the password, the roles or the
    /// state of somebody with more authority.
    ///
    /// # Errors
    /// [`Forbidden::Authority`].
    pub fn may_govern(self, target: &User, rules: &RoleScopes) -> Result<(), Forbidden> {
        self.holds_all(&rules.allowed(&target.roles))
    }

    /// Demands that `added` roles are this caller's to give: held, or given by an administrator, and never one
    /// that brings a scope the caller lacks. Where anybody can register, the default roles are anybody's.
    ///
    /// # Errors
    /// [`Forbidden::Authority`].
    pub fn may_grant(self, added: &BTreeSet<String>, policy: &Policy) -> Result<(), Forbidden> {
        let Self::User(identity) = self else { return Ok(()) };
        let free = match policy.registration {
            Registration::Open => policy.default_roles.clone(),
            Registration::Closed => BTreeSet::new(),
        };
        let special: BTreeSet<_> = added.difference(&free).cloned().collect();
        let holds = |role: &String| identity.has_role(role) || identity.has_role(ADMIN_ROLE);
        if !special.iter().all(holds) {
            return Err(Forbidden::Authority);
        }
        self.holds_all(&policy.role_scopes.allowed(&special))
    }

    fn holds_all(self, scopes: &Scopes) -> Result<(), Forbidden> {
        let Self::User(identity) = self else { return Ok(()) };
        let held = scopes.iter().all(|scope| identity.has_scope(scope));
        if held { Ok(()) } else { Err(Forbidden::Authority) }
    }
}
