//! `[roles]`: what each role may do, and which ones a new user gets.

use std::collections::{BTreeMap, BTreeSet};

use super::ConfigError;
use super::key::{Key, Kind};
use super::users::Registration;
use super::values::Values;
use crate::auth::model::scope::{ADMIN_ROLE, RoleScopes, SCOPES_MAX, Scopes, known};

pub(super) const KEYS: &[Key] = &[
    Key::new("roles.default", Kind::List, "user"),
    Key::new("roles.scopes.admin", Kind::List, EVERYTHING),
    Key::new("roles.scopes.user", Kind::List, "me,posts:write"),
];

/// The table whose keys are the roles.
pub(super) const TABLE: &str = "roles.scopes";
const EVERYTHING: &str = "*";
const ROLE_BYTES_MAX: usize = 64;
/// The names of all scopes and roles together: an administrator's token carries every one of them, and a
/// token has at most 4096 bytes.
const NAMES_BYTES_MAX: usize = 1600;

/// The section.
#[derive(Clone, Debug)]
pub struct Roles {
    /// The roles of a new user.
    pub default: BTreeSet<String>,
    /// What each role may do.
    pub scopes: RoleScopes,
}

/// The role that the key `name` gives scopes to.
pub(super) fn name_in(name: &str) -> Option<&str> {
    let role = name.strip_prefix(TABLE)?.strip_prefix('.')?;
    let allowed = |byte| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-');
    let good = (1..=ROLE_BYTES_MAX).contains(&role.len()) && role.bytes().all(allowed);
    good.then_some(role)
}

impl Roles {
    pub(super) fn read(values: &Values, registration: Registration) -> Result<Self, ConfigError> {
        let mut named = BTreeMap::new();
        for role in values.names_in(TABLE) {
            let scopes = values.list(&format!("{TABLE}.{role}"), scope)?;
            named.insert(role, scopes);
        }
        // Everything includes what only the configuration names, or an administrator would lack a
        // scope that another user holds and could not change that user.
        let written = named.values().flatten().map(String::as_str);
        let everything: Scopes =
            known::ALL.into_iter().chain(written).filter(|scope| *scope != EVERYTHING).collect();
        if everything.iter().count() > SCOPES_MAX {
            return Err(values.refuse(TABLE, "names more than 64 scopes"));
        }
        let roles = named.keys().map(String::as_str);
        if everything.iter().chain(roles).map(str::len).sum::<usize>() > NAMES_BYTES_MAX {
            return Err(values.refuse(TABLE, "has names of more than 1600 bytes together"));
        }
        let mut rows = BTreeMap::new();
        for (role, scopes) in named {
            let all = scopes == [EVERYTHING];
            let problem = if !all && scopes.iter().any(|scope| scope == EVERYTHING) {
                "\"*\" stands alone"
            } else if !all && role == ADMIN_ROLE {
                "must be [\"*\"]: an administrator has every scope"
            } else {
                rows.insert(
                    role,
                    if all { everything.clone() } else { scopes.into_iter().collect() },
                );
                continue;
            };
            return Err(values.refuse(&format!("{TABLE}.{role}"), problem));
        }
        let scopes = RoleScopes::new(rows);
        let default = values.list("roles.default", |role| {
            let known = scopes.has(role);
            known.then(|| role.to_owned()).ok_or("names a role that has no line in roles.scopes")
        })?;
        if registration == Registration::Open {
            check_strangers(values, &default, &scopes)?;
        }
        Ok(Self { default: default.into_iter().collect(), scopes })
    }
}

/// Where anybody can register, the default roles are anybody's, and nobody would have made the administrators.
fn check_strangers(
    values: &Values,
    default: &[String],
    scopes: &RoleScopes,
) -> Result<(), ConfigError> {
    let administers = |role: &&String| scopes.allowed([*role]).contains(known::USERS_WRITE);
    let Some(role) = default.iter().find(administers) else { return Ok(()) };
    let problem = "makes every stranger an administrator while users.registration is open";
    let key = format!("{TABLE}.{role}");
    Err(values.refuse_either([("roles.default", problem), (&key, problem)]))
}

/// One scope token (RFC 6749 §3.3).
fn scope(text: &str) -> Result<String, &'static str> {
    if text.contains(' ') || Scopes::parse(text).is_err() {
        return Err("must be scopes: visible ASCII characters without \" and \\");
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    fn allowed(roles: &Roles, role: &str) -> String {
        roles.scopes.allowed(&[role.to_owned()]).to_string()
    }

    #[test]
    fn the_default_roles_are_those_of_the_contract() {
        let roles = load("").unwrap().roles;
        assert_eq!(allowed(&roles, "user"), "me posts:write");
        let everything: Scopes = known::ALL.into_iter().collect();
        assert_eq!(allowed(&roles, "admin"), everything.to_string());
        assert_eq!(roles.default, BTreeSet::from(["user".to_owned()]));
    }

    #[test]
    fn further_roles_join_the_built_in_ones_and_an_administrator_has_their_scopes() {
        let lines = "[roles]\ndefault = ['user', 'editor']\n[roles.scopes]\neditor = ['wiki:edit']";
        let roles = load(lines).unwrap().roles;
        assert_eq!(allowed(&roles, "editor"), "wiki:edit");
        assert_eq!(allowed(&roles, "user"), "me posts:write");
        assert!(allowed(&roles, "admin").contains("wiki:edit"));
    }

    #[test]
    fn what_would_not_fit_into_a_token_is_refused() {
        let editor = |count: usize, bytes: usize| {
            let scopes: Vec<_> = (0..count).map(|n| format!("'{n:0>bytes$}'")).collect();
            format!("[roles.scopes]\neditor = [{}]", scopes.join(","))
        };
        load(&editor(SCOPES_MAX - known::ALL.len(), 20)).unwrap();
        assert!(refusal(&editor(SCOPES_MAX - known::ALL.len() + 1, 20)).contains("64 scopes"));
        assert!(refusal(&editor(40, 40)).contains("1600 bytes"));
    }

    #[test]
    fn a_role_may_be_left_with_nothing() {
        let roles = load("[roles.scopes]\nuser = []").unwrap().roles;
        assert!(roles.scopes.has("user"));
        assert_eq!(allowed(&roles, "user"), "");
    }

    #[test]
    fn the_administrator_keeps_every_scope() {
        load("[roles.scopes]\nadmin = ['*']").unwrap();
        assert!(refusal("[roles.scopes]\nadmin = ['me']").starts_with("roles.scopes.admin"));
    }

    #[test]
    fn scopes_and_role_names_are_well_formed() {
        for bad in [
            "editor = ['a b']",
            "editor = ['']",
            "editor = ['é']",
            "editor = ['*', 'me']",
            "editor = 1",
            "editor = { a = ['me'] }",
            "'a b' = ['me']",
            "'a.b' = ['me']",
            "'' = ['me']",
        ] {
            assert!(
                refusal(&format!("[roles.scopes]\n{bad}")).starts_with("roles.scopes"),
                "{bad}"
            );
        }
    }

    #[test]
    fn default_roles_must_exist() {
        assert!(refusal("[roles]\ndefault = ['ghost']").starts_with("roles.default"));
    }
}
