//! Scopes (RFC 6749 §3.3) and the configured rights of each role.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// How many scope tokens one request may name.
pub const SCOPES_MAX: usize = 64;

/// What this server's own operations ask for.
pub mod known {
    /// Manage one's own account.
    pub const ME: &str = "me";
    /// Write posts.
    pub const POSTS_WRITE: &str = "posts:write";
    /// Read every user.
    pub const USERS_READ: &str = "users:read";
    /// Change every user.
    pub const USERS_WRITE: &str = "users:write";
    /// Ask whether a token lives (RFC 7662).
    pub const INTROSPECT: &str = "introspect";
    /// All of them.
    pub const ALL: [&str; 5] = [ME, POSTS_WRITE, USERS_READ, USERS_WRITE, INTROSPECT];
}

/// The role whose last enabled holder cannot be lost.
pub const ADMIN_ROLE: &str = "admin";

/// A set of scope tokens, in alphabetical order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(BTreeSet<String>);

/// The text is not a scope by RFC 6749 §3.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("scope tokens are separated by single spaces")]
pub struct InvalidScope;

impl Scopes {
    /// Parses a `scope` parameter: tokens of `%x21 / %x23-5B / %x5D-7E`, single spaces between them.
    ///
    /// # Errors
    /// [`InvalidScope`] for any other character or spacing, and for more than [`SCOPES_MAX`] tokens.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let mut tokens = BTreeSet::new();
        for (index, token) in text.split(' ').enumerate() {
            let allowed = |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if index >= SCOPES_MAX || token.is_empty() || !token.bytes().all(allowed) {
                return Err(InvalidScope);
            }
            tokens.insert(token.to_owned());
        }
        Ok(Self(tokens))
    }

    /// Whether `scope` is among them.
    #[must_use]
    pub fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.is_subset(&self.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    /// Each scope, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl<S: Into<String>> FromIterator<S> for Scopes {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

/// The wire form: tokens with single spaces between them.
impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(formatter, "{space}{scope}")?;
        }
        Ok(())
    }
}

/// Which scopes each configured role carries; `["*"]` in the configuration is already resolved here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleScopes(BTreeMap<String, Scopes>);

impl RoleScopes {
    /// The table with these rows.
    #[must_use]
    pub const fn new(rows: BTreeMap<String, Scopes>) -> Self {
        Self(rows)
    }

    /// Whether `role` is configured.
    #[must_use]
    pub fn has(&self, role: &str) -> bool {
        self.0.contains_key(role)
    }

    /// The configured roles, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Whether any role at all carries `scope`.
    #[must_use]
    pub fn knows(&self, scope: &str) -> bool {
        self.0.values().any(|scopes| scopes.contains(scope))
    }

    /// All scopes that any role carries.
    #[must_use]
    pub fn all(&self) -> Scopes {
        Scopes(self.0.values().flat_map(|scopes| scopes.0.iter().cloned()).collect())
    }

    /// Whether one of these roles allows `scope`.
    #[must_use]
    pub fn allow<'a>(&self, roles: impl IntoIterator<Item = &'a String>, scope: &str) -> bool {
        let mut rows = roles.into_iter().filter_map(|role| self.0.get(role));
        rows.any(|scopes| scopes.contains(scope))
    }

    /// All that these roles allow together; a role no longer configured allows nothing.
    #[must_use]
    pub fn allowed<'a>(&self, roles: impl IntoIterator<Item = &'a String>) -> Scopes {
        let rows = roles.into_iter().filter_map(|role| self.0.get(role));
        Scopes(rows.flat_map(|scopes| scopes.0.iter().cloned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_tokens_with_single_spaces() {
        assert_eq!(Scopes::parse("posts:write me").unwrap().to_string(), "me posts:write");
        for bad in ["", " ", "me ", " me", "me  you", "me\tyou", "m\"e", "m\\e", "mé"] {
            assert_eq!(Scopes::parse(bad), Err(InvalidScope), "{bad:?}");
        }
    }

    #[test]
    fn at_most_64_scopes_are_read() {
        assert!(Scopes::parse(&["x"; 64].join(" ")).is_ok());
        assert_eq!(Scopes::parse(&["x"; 65].join(" ")), Err(InvalidScope));
    }

    #[test]
    fn roles_add_up_and_unknown_ones_add_nothing() {
        let rows = [("a", "me"), ("b", "x y")];
        let table = RoleScopes::new(
            rows.map(|(role, scope)| (role.to_owned(), Scopes::parse(scope).unwrap())).into(),
        );
        let roles = ["a".to_owned(), "b".to_owned(), "gone".to_owned()];
        assert_eq!(table.allowed(&roles).to_string(), "me x y");
        assert_eq!(table.all().to_string(), "me x y");
        assert!(!table.has("gone"));
        assert!(table.knows("x") && !table.knows("z"));
    }
}
