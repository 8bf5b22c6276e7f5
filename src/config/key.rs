//! The catalogue of keys: what may be set, of which type, and what holds when nobody sets it.
//!
//! Owns names, types and the reading of text as a type; what a value means is its section's.

use figment::value::{Num, Value};

use super::{
    log, oauth, passwords, roles, samples, server, sessions, storage, throttle, tokens, users,
};

/// One key of one section.
#[derive(Debug)]
pub struct Key {
    /// The name, as `section.key`.
    pub name: &'static str,
    pub(super) kind: Kind,
    /// The default as one would write it in an environment variable.
    pub(super) default: Option<&'static str>,
    /// Never shown; may also be given as `<name>_file`.
    pub(super) secret: bool,
}

/// The type of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    List,
}

/// Each key, in the order of the sections.
pub fn all() -> impl Iterator<Item = &'static Key> {
    let sections = [
        server::KEYS,
        storage::KEYS,
        tokens::KEYS,
        oauth::KEYS,
        sessions::KEYS,
        users::KEYS,
        passwords::KEYS,
        throttle::KEYS,
        roles::KEYS,
        samples::KEYS,
        log::KEYS,
    ];
    sections.into_iter().flatten()
}

impl Key {
    pub(super) const fn new(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self { name, kind, default: Some(default), secret: false }
    }

    pub(super) const fn unset(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: None, secret: false }
    }

    pub(super) const fn secret(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, default: None, secret: true }
    }
}

impl Kind {
    /// The type of the key `name`, if there is such a key. Any role may be given scopes.
    pub(super) fn of(name: &str) -> Option<Self> {
        let known = all().find(|key| key.name == name).map(|key| key.kind);
        known.or_else(|| roles::name_in(name).map(|_| Self::List))
    }

    /// Reads text as this type, since variables and flags have no types of their own.
    pub(super) fn parse(self, text: &str) -> Result<Value, String> {
        Ok(match self {
            Self::Text => Value::from(text),
            Self::Number => {
                text.parse::<u64>().map(Value::from).map_err(|_| self.expected().to_owned())?
            }
            Self::Flag => {
                text.parse::<bool>().map(Value::from).map_err(|_| self.expected().to_owned())?
            }
            Self::List => Value::from(
                text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect::<Vec<_>>(),
            ),
        })
    }

    /// Takes a value of a file, which has a type already; a list may be one text.
    pub(super) fn accept(self, value: Value) -> Result<Value, String> {
        let fits = match (self, &value) {
            (Self::List, Value::String(_, text)) => return self.parse(text),
            (Self::List, Value::Array(_, items)) => {
                items.iter().all(|item| item.as_str().is_some())
            }
            (Self::Text, value) => value.as_str().is_some(),
            (Self::Flag, value) => value.to_bool().is_some(),
            (Self::Number, Value::Num(_, number)) => whole(*number).is_some(),
            (Self::List | Self::Number, _) => false,
        };
        if fits { Ok(value) } else { Err(self.expected().to_owned()) }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Text => "must be a text",
            Self::Number => "must be a whole number",
            Self::Flag => "must be true or false",
            Self::List => "must be a list of texts",
        }
    }
}

/// A whole number that is not negative.
pub(super) fn whole(number: Num) -> Option<u64> {
    number.to_u128_lossy().and_then(|number| u64::try_from(number).ok())
}
