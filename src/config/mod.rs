//! The configuration: layers read once at the start, then plain validated structs, one per section.
//!
//! Owns every name an operator can set, the order in which sources win, and the messages that name
//! key and source; it alone names figment and reads the process environment. It must not know what
//! the values are for, and no message or `Debug` of it may hold a secret's value.

mod dotenv;
pub mod key;
pub mod listen;
pub mod log;
pub mod oauth;
pub mod passwords;
pub mod proxies;
pub mod roles;
pub mod samples;
pub mod secret;
pub mod server;
pub mod sessions;
pub mod sources;
pub mod storage;
pub mod throttle;
pub mod tokens;
pub mod users;
mod values;

use self::log::Log;
use self::oauth::OAuth;
use self::passwords::Passwords;
use self::roles::Roles;
use self::samples::Samples;
use self::server::Server;
use self::sessions::Sessions;
use self::sources::Sources;
use self::storage::Storage;
use self::throttle::Throttle;
use self::tokens::Tokens;
use self::users::Users;
use self::values::Values;

/// All that can be configured, validated.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where and how to listen.
    pub server: Server,
    /// Where and how the data is kept.
    pub storage: Storage,
    /// How tokens are signed and how long they live.
    pub tokens: Tokens,
    /// Which grants stand.
    pub oauth: OAuth,
    /// Limits of sessions.
    pub sessions: Sessions,
    /// Who may become a user.
    pub users: Users,
    /// How passwords are hashed and what they must be like.
    pub passwords: Passwords,
    /// How often passwords may be wrong.
    pub throttle: Throttle,
    /// What each role may do.
    pub roles: Roles,
    /// The sample endpoints.
    pub samples: Samples,
    /// How the log is written.
    pub log: Log,
    /// What the operator should know though it does not stop the start, one line each.
    pub warnings: Vec<String>,
    shown: Vec<Shown>,
}

/// One key as `config check --show` prints it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Shown {
    /// The key, as `section.key`.
    pub key: String,
    /// The effective value; `(set)` for a secret.
    pub value: String,
    /// Where the value came from.
    pub source: String,
}

/// Why the start stops; one line, which never holds a configured value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A key is unknown, of a wrong type, out of bounds or contradicts another.
    #[error("{key} ({origin}): {problem}")]
    Key {
        /// The key, as `section.key`.
        key: String,
        /// The file, variable or flag that sets it.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// A source cannot be read at all.
    #[error("{origin}: {problem}")]
    Source {
        /// The file.
        origin: String,
        /// What is wrong.
        problem: String,
    },
}

impl Config {
    /// Reads all layers, later ones winning, and validates every section.
    ///
    /// # Errors
    /// [`ConfigError`] for the first source that cannot be read, key that is not known, or value
    /// that cannot stand.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let (values, mut warnings) = sources.read()?;
        let server = Server::read(&values, &mut warnings)?;
        let tokens = Tokens::read(&values, &server.public_url, &mut warnings)?;
        let users = Users::read(&values)?;
        let throttle = Throttle::read(&values, &mut warnings)?;
        let shown = shown(&values, &tokens);
        Ok(Self {
            server,
            storage: Storage::read(&values)?,
            tokens,
            oauth: OAuth::read(&values)?,
            sessions: Sessions::read(&values)?,
            passwords: Passwords::read(&values)?,
            throttle,
            roles: Roles::read(&values, users.registration)?,
            users,
            samples: Samples::read(&values)?,
            log: Log::read(&values)?,
            warnings,
            shown,
        })
    }

    /// Every key with its effective value and where that came from, secrets masked.
    #[must_use]
    pub fn describe(&self) -> &[Shown] {
        &self.shown
    }
}

/// Two keys follow from others while they are not set; they are shown as what they come to.
fn shown(values: &Values, tokens: &Tokens) -> Vec<Shown> {
    let mut shown = values.describe();
    for row in shown.iter_mut().filter(|row| row.value == values::NONE) {
        match row.key.as_str() {
            "tokens.algorithm" => {
                row.value = format!("{:?}", tokens.algorithm.name());
                "from tokens.secret".clone_into(&mut row.source);
            }
            "tokens.issuer" => {
                row.value = format!("{:?}", tokens.issuer);
                "from server.public_url".clone_into(&mut row.source);
            }
            _ => {}
        }
    }
    shown
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
