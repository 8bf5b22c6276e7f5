//! `[oauth]`: which grants stand.

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[Key::new("oauth.password_grant", Kind::Flag, "true")];

/// The section.
#[derive(Clone, Debug)]
pub struct OAuth {
    /// Whether username and password may be exchanged for tokens (RFC 6749 §4.3).
    pub password_grant: bool,
}

impl OAuth {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self { password_grant: values.flag("oauth.password_grant")? })
    }
}
