//! Where settings come from, and the order in which they win.
//!
//! Owns the layers: built-in defaults, file, `.env`, environment, flags. It checks that each key is
//! known and of its type; what a value means is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Value};

use super::key::{self, Kind};
use super::values::{Entry, Values};
use super::{ConfigError, dotenv, roles};

/// How the layer below all others is named.
pub(super) const BUILT_IN: &str = "built-in default";

const PREFIX: &str = "KEYSTILE_";
const FILE: &str = "config.toml";
const DOTENV: &str = ".env";
const SOURCE_BYTES_MAX: u64 = 1024 * 1024;

/// Names of the stacks that Keystile replaces, in the order in which they count.
const ALIASES: [(&str, &str); 2] =
    [("SECRET_KEY", "tokens.secret"), ("ALGORITHM", "tokens.algorithm")];
/// Further such names, too common to be heeded outside a `.env`.
const DOTENV_ALIASES: [(&str, &str); 2] =
    [("secret", "tokens.secret"), ("algorithm", "tokens.algorithm")];

/// Everything that a start reads settings from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file of `--config`, which must exist; without it `config.toml` is read if there is one.
    pub file: Option<PathBuf>,
    /// Where `config.toml` and `.env` are looked for; empty means the working directory.
    pub directory: PathBuf,
    /// The environment.
    pub environment: Environment,
    /// The addresses of `--listen`; none leaves the setting alone.
    pub listen: Vec<String>,
    /// The directory of `--data`.
    pub data: Option<PathBuf>,
}

/// The variables that concern the configuration; `Debug` prints their names only.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, OsString>);

impl Sources {
    /// The sources of this process: its working directory and environment, and these flags.
    #[must_use]
    pub fn from_process(file: Option<PathBuf>, listen: Vec<String>, data: Option<PathBuf>) -> Self {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value))
        });
        let environment = variables.collect();
        Self { file, directory: PathBuf::new(), environment, listen, data }
    }

    /// Reads every layer; with it come the lines of [`Sources::misspelt`].
    pub(super) fn read(&self) -> Result<(Values, Vec<String>), ConfigError> {
        let (defaults, file) = (defaults()?, self.file_layer()?);
        let dotenv = read_if_there(&self.directory.join(DOTENV))?.unwrap_or_default();
        let layers = [
            defaults,
            file,
            dotenv_layer(&dotenv)?,
            self.environment_layer()?,
            self.flags_layer()?,
        ];
        Ok((Values::merge(layers.into_iter().flatten()), self.misspelt(&dotenv)))
    }

    /// A line for each variable that would set a key if its underscore were doubled. It is not ours, and
    /// stops nothing, but hardly meant for somebody else.
    fn misspelt(&self, dotenv: &str) -> Vec<String> {
        let names: BTreeSet<&str> = dotenv::assignments(dotenv).map(|(name, _)| name).collect();
        let is_there = |name: &str| self.environment.0.contains_key(name) || names.contains(name);
        let keys = key::all().map(|key| key.name.to_uppercase());
        let pairs = keys.map(|name| (name.replace('.', "_"), name.replace('.', "__")));
        pairs
            .filter(|(single, _)| is_there(&format!("{PREFIX}{single}")))
            .map(|(single, double)| {
                format!("{PREFIX}{single} sets nothing; did you mean {PREFIX}{double}?")
            })
            .collect()
    }

    fn file_layer(&self) -> Result<Vec<Entry>, ConfigError> {
        let usual = self.directory.join(FILE);
        let path = self.file.as_deref().unwrap_or(&usual);
        let text =
            if self.file.is_some() { Some(read_source(path)?) } else { read_if_there(path)? };
        let Some(text) = text else { return Ok(Vec::new()) };
        let origin = path.display().to_string();
        let table: Dict = Toml::from_str(&text).map_err(|error| {
            // Between the place and the reason stands the line itself, which may hold a secret.
            let error = error.to_string();
            let mut lines = error.lines();
            let (place, reason) = (lines.next().unwrap_or_default(), lines.next_back());
            let problem = reason.map_or(place.to_owned(), |reason| format!("{place}: {reason}"));
            ConfigError::Source { origin: origin.clone(), problem }
        })?;
        let mut layer = Vec::new();
        flatten("", table, &origin, &mut layer)?;
        let typed = layer.into_iter().map(|entry: Entry| {
            let kind = known(&entry)?;
            let value = kind.accept(entry.value.clone()).map_err(|why| entry.refuse(why))?;
            Ok(Entry { value, ..entry })
        });
        settle(typed.collect::<Result<_, _>>()?)
    }

    fn environment_layer(&self) -> Result<Vec<Entry>, ConfigError> {
        let mut named = BTreeMap::new();
        for (name, value) in &self.environment.0 {
            if setting(name).is_some() || ALIASES.iter().any(|(alias, _)| alias == name) {
                let value = value.to_str().ok_or_else(|| ConfigError::Source {
                    origin: format!("environment variable {name}"),
                    problem: "is not UTF-8".to_owned(),
                })?;
                named.insert(name.as_str(), value.to_owned());
            }
        }
        variables_layer(&named, ALIASES.iter(), |name| format!("environment variable {name}"))
    }

    fn flags_layer(&self) -> Result<Vec<Entry>, ConfigError> {
        let mut layer = Vec::new();
        if !self.listen.is_empty() {
            layer.push(parsed("server.listen", &self.listen.join(","), "--listen")?);
        }
        if let Some(data) = &self.data {
            let text = data.to_str().ok_or_else(|| ConfigError::Source {
                origin: "--data".to_owned(),
                problem: "is not UTF-8".to_owned(),
            })?;
            layer.push(parsed("storage.path", text, "--data")?);
        }
        Ok(layer)
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

fn defaults() -> Result<Vec<Entry>, ConfigError> {
    let with_default = key::all().filter_map(|key| Some((key.name, key.default?)));
    with_default.map(|(name, text)| parsed(name, text, BUILT_IN)).collect()
}

fn dotenv_layer(text: &str) -> Result<Vec<Entry>, ConfigError> {
    if let Some(line) = dotenv::without_value(text, PREFIX) {
        let problem = format!("line {line} gives no value: write NAME=value");
        return Err(ConfigError::Source { origin: DOTENV.to_owned(), problem });
    }
    let mut named = BTreeMap::new();
    for (name, raw) in dotenv::assignments(text) {
        let alias = ALIASES.iter().chain(&DOTENV_ALIASES).any(|(alias, _)| *alias == name);
        if alias || setting(name).is_some() {
            let value = dotenv::value(raw).map_err(|problem| ConfigError::Key {
                key: name.to_owned(),
                origin: DOTENV.to_owned(),
                problem: problem.to_owned(),
            })?;
            named.insert(name, value);
        }
    }
    let aliases = ALIASES.iter().chain(&DOTENV_ALIASES);
    variables_layer(&named, aliases, |name| format!("{DOTENV}, {name}"))
}

/// The part of a variable's name that names a section and a key. Names without the double underscore
/// are not ours: Kubernetes injects `KEYSTILE_PORT` and the like beside a service of that name.
fn setting(variable: &str) -> Option<&str> {
    variable.strip_prefix(PREFIX).filter(|rest| rest.contains("__"))
}

/// The layer of a set of variables; the aliases count where our own name is absent.
fn variables_layer<'a>(
    named: &BTreeMap<&str, String>,
    aliases: impl Iterator<Item = &'a (&'static str, &'static str)>,
    origin: impl Fn(&str) -> String,
) -> Result<Vec<Entry>, ConfigError> {
    let mut layer = Vec::new();
    for (variable, text) in named {
        let Some(rest) = setting(variable) else { continue };
        let unknown = |problem: &str| ConfigError::Source {
            origin: origin(variable),
            problem: problem.to_owned(),
        };
        if rest.chars().any(char::is_lowercase) {
            return Err(unknown("no such setting: the names are upper case"));
        }
        let name = rest.to_lowercase().replace("__", ".");
        if Kind::of(&name).is_none() {
            return Err(unknown("no such setting"));
        }
        layer.push(parsed(&name, text, &origin(variable))?);
    }
    for (alias, name) in aliases {
        let file = format!("{name}_file");
        let ours = layer.iter().any(|entry| entry.name == *name || entry.name == file);
        if let (false, Some(text)) = (ours, named.get(alias)) {
            layer.push(parsed(name, text, &origin(alias))?);
        }
    }
    settle(layer)
}

/// An entry from a text.
fn parsed(name: &str, text: &str, source: &str) -> Result<Entry, ConfigError> {
    let entry =
        Entry { name: name.to_owned(), value: Value::from(text), source: source.to_owned() };
    let value = known(&entry)?.parse(text).map_err(|why| entry.refuse(why))?;
    Ok(Entry { value, ..entry })
}

fn known(entry: &Entry) -> Result<Kind, ConfigError> {
    Kind::of(&entry.name).ok_or_else(|| entry.refuse("no such setting"))
}

/// Lists a file's tables as entries. A table, even an empty one, must be one that we know.
fn flatten(
    path: &str,
    table: Dict,
    origin: &str,
    layer: &mut Vec<Entry>,
) -> Result<(), ConfigError> {
    for (key, value) in table {
        let dotted = key.contains('.');
        let name = if path.is_empty() { key } else { format!("{path}.{key}") };
        match value {
            Value::Dict(_, inner) if !dotted && is_table(&name) => {
                flatten(&name, inner, origin, layer)?;
            }
            value => {
                let entry = Entry { name, value, source: origin.to_owned() };
                if dotted {
                    return Err(entry.refuse("no such setting"));
                }
                layer.push(entry);
            }
        }
    }
    Ok(())
}

fn is_table(name: &str) -> bool {
    let prefix = format!("{name}.");
    name == roles::TABLE || key::all().any(|key| key.name.starts_with(&prefix))
}

/// Sees to it that each secret has one origin in a layer, and that it replaces whatever origin an
/// earlier layer gave it.
fn settle(mut layer: Vec<Entry>) -> Result<Vec<Entry>, ConfigError> {
    for key in key::all().filter(|key| key.secret) {
        let file = format!("{}_file", key.name);
        let [plain, from_file] = [key.name, &file]
            .map(|name| layer.iter().find(|entry| entry.name == name).map(|e| e.source.clone()));
        match (plain, from_file) {
            (Some(origin), Some(_)) => {
                let problem = format!("contradicts {file}: give one of the two");
                return Err(ConfigError::Key { key: key.name.to_owned(), origin, problem });
            }
            (Some(origin), None) => layer.push(Entry::removal(file, origin)),
            (None, Some(origin)) => layer.push(Entry::removal(key.name.to_owned(), origin)),
            (None, None) => {}
        }
    }
    Ok(layer)
}

fn read_if_there(path: &Path) -> Result<Option<String>, ConfigError> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        Ok(true) | Err(_) => read_source(path).map(Some),
    }
}

fn read_source(path: &Path) -> Result<String, ConfigError> {
    let refuse =
        |problem: String| ConfigError::Source { origin: path.display().to_string(), problem };
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(SOURCE_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if text.len() as u64 > SOURCE_BYTES_MAX {
        return Err(refuse(format!("is longer than {SOURCE_BYTES_MAX} bytes")));
    }
    Ok(text)
}
