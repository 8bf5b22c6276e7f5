//! `[users]`: who may become a user, and under which names.

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[
    Key::new("users.registration", Kind::Text, "open"),
    Key::new("users.unicode_names", Kind::Flag, "false"),
];

/// The section.
#[derive(Clone, Debug)]
pub struct Users {
    /// Who may register.
    pub registration: Registration,
    /// Whether names may be RFC 8265 `UsernameCaseMapped` rather than ASCII.
    pub unicode_names: bool,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// Everybody.
    Open,
    /// Nobody: an administrator makes the users.
    Closed,
}

impl Users {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            registration: values.text("users.registration", |text| match text {
                "open" => Ok(Registration::Open),
                "closed" => Ok(Registration::Closed),
                _ => Err("must be open or closed"),
            })?,
            unicode_names: values.flag("users.unicode_names")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    #[test]
    fn registration_is_open_or_closed() {
        let users = load("[users]\nregistration = 'closed'").unwrap().users;
        assert_eq!(users.registration, Registration::Closed);
        assert!(refusal("[users]\nregistration = 'maybe'").starts_with("users.registration"));
        assert!(refusal("[users]\nregistration = true").starts_with("users.registration"));
    }
}
