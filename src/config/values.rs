//! The merged layers, read key by key into types.
//!
//! Owns the link between a value and the source it came from; every message about a value is made
//! here or by the leaf that refused it, and none repeats the value.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use figment::value::{Dict, Empty, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::{ConfigError, Shown, key};

/// How a key without a value is shown.
pub(super) const NONE: &str = "(none)";

/// The value that a layer gives one key.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub name: String,
    pub value: Value,
    pub source: String,
}

/// All layers, the later over the earlier.
pub(super) struct Values(Figment);

impl Entry {
    /// Takes away what earlier layers gave `name`.
    pub(super) fn removal(name: String, source: String) -> Self {
        Self { name, value: Value::Empty(figment::value::Tag::Default, Empty::None), source }
    }

    pub(super) fn refuse(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::Key {
            key: self.name.escape_debug().to_string(),
            origin: self.source.clone(),
            problem: problem.into(),
        }
    }
}

impl Provider for Entry {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.source.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let nested = figment::util::nest(&self.name, self.value.clone());
        Ok(Profile::Default.collect(nested.into_dict().unwrap_or_default()))
    }
}

impl Values {
    pub(super) fn merge(layers: impl IntoIterator<Item = Entry>) -> Self {
        Self(layers.into_iter().fold(Figment::new(), Figment::merge))
    }

    /// The effective value of `name`, where it has one.
    pub(super) fn find(&self, name: &str) -> Option<Entry> {
        let value = self.0.find_value(name).ok()?;
        if matches!(value, Value::Empty(..)) {
            return None;
        }
        let source = self.0.get_metadata(value.tag()).map(|metadata| metadata.name.to_string());
        Some(Entry { name: name.to_owned(), value, source: source.unwrap_or_default() })
    }

    /// A text through the constructor of its type.
    pub(super) fn text<T, E: Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, ConfigError> {
        self.optional(name, parse)?.ok_or_else(|| self.refuse(name, "needs a value"))
    }

    /// A text that need not be there.
    pub(super) fn optional<T, E: Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let parsed = parse(entry.value.as_str().unwrap_or_default());
        parsed.map(Some).map_err(|problem| entry.refuse(problem.to_string()))
    }

    /// Texts, each through the constructor of its type.
    pub(super) fn list<T, E: Display>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, ConfigError> {
        let Some(entry) = self.find(name) else { return Ok(Vec::new()) };
        let parsed = items(&entry.value).map(parse).collect::<Result<_, _>>();
        parsed.map_err(|problem| entry.refuse(problem.to_string()))
    }

    /// A whole number within `bounds`.
    pub(super) fn number(
        &self,
        name: &str,
        bounds: RangeInclusive<u32>,
    ) -> Result<u32, ConfigError> {
        self.optional_number(name, bounds)?.ok_or_else(|| self.refuse(name, "needs a value"))
    }

    /// A whole number within `bounds` that need not be there.
    pub(super) fn optional_number(
        &self,
        name: &str,
        bounds: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ConfigError> {
        let Some(entry) = self.find(name) else { return Ok(None) };
        let number = entry.value.to_num().and_then(key::whole).and_then(|n| u32::try_from(n).ok());
        if number.is_some_and(|number| bounds.contains(&number)) {
            return Ok(number);
        }
        let (least, most) = bounds.into_inner();
        Err(entry.refuse(format!("must be from {least} to {most}")))
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ConfigError> {
        let flag = self.find(name).and_then(|entry| entry.value.to_bool());
        flag.ok_or_else(|| self.refuse(name, "needs a value"))
    }

    /// A span of time such as `15m`, within `bounds`.
    pub(super) fn duration(
        &self,
        name: &str,
        bounds: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        self.text(name, |text| {
            let parsed = humantime::parse_duration(text);
            let duration = parsed.map_err(|_| "must be a span of time such as 30s, 15m or 7d")?;
            if bounds.contains(&duration) {
                return Ok(duration);
            }
            let [least, most] =
                [bounds.start(), bounds.end()].map(|bound| humantime::format_duration(*bound));
            Err(format!("must be from {least} to {most}"))
        })
    }

    /// The error of two values that do not go together; it names the one that somebody set.
    pub(super) fn refuse_either(&self, rows: [(&str, &str); 2]) -> ConfigError {
        let [first, second] = rows;
        let set =
            |name| self.find(name).is_some_and(|entry| entry.source != super::sources::BUILT_IN);
        let (name, problem) = if set(first.0) || !set(second.0) { first } else { second };
        self.refuse(name, problem)
    }

    /// The error of a key whose value does not go with another's.
    pub(super) fn refuse(&self, name: &str, problem: &str) -> ConfigError {
        let nowhere = || Entry::removal(name.to_owned(), super::sources::BUILT_IN.to_owned());
        self.find(name).unwrap_or_else(nowhere).refuse(problem)
    }

    /// The names of the keys under `table`.
    pub(super) fn names_in(&self, table: &str) -> Vec<String> {
        let table = self.0.find_value(table).ok().and_then(Value::into_dict);
        table.unwrap_or_default().into_keys().collect()
    }

    /// Every key with its effective value, masked where secret.
    pub(super) fn describe(&self) -> Vec<Shown> {
        let mut names: Vec<(String, bool)> =
            key::all().map(|key| (key.name.to_owned(), key.secret)).collect();
        let roles = self.names_in("roles.scopes").into_iter();
        for name in roles.map(|role| format!("roles.scopes.{role}")) {
            if !names.iter().any(|(known, _)| *known == name) {
                names.push((name, false));
            }
        }
        names.into_iter().map(|(name, secret)| self.show(name, secret)).collect()
    }

    fn show(&self, key: String, secret: bool) -> Shown {
        match self.find(&key) {
            None => Shown { key, value: NONE.to_owned(), source: super::sources::BUILT_IN.into() },
            Some(entry) if secret => Shown { key, value: "(set)".into(), source: entry.source },
            Some(entry) => Shown { key, value: literal(&entry.value), source: entry.source },
        }
    }
}

fn items(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The value as one would write it in `config.toml`.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(..) => format!("{:?}", items(value).collect::<Vec<_>>()),
        Value::Bool(_, flag) => flag.to_string(),
        Value::Num(_, number) => key::whole(*number).unwrap_or_default().to_string(),
        other => format!("{:?}", other.as_str().unwrap_or_default()),
    }
}
