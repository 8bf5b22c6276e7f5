//! What the tests of every section need: a start from the text of a file alone.

use super::sources::Sources;
use super::{Config, ConfigError};

/// Loads `config.toml` with this text.
pub(super) fn load(text: &str) -> Result<Config, ConfigError> {
    load_with(text, "", &[])
}

/// The message that this file stops the start with.
#[track_caller]
pub(super) fn refusal(text: &str) -> String {
    let message = load(text).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// Loads this file, this `.env` and this environment.
pub(super) fn load_with(
    file: &str,
    dotenv: &str,
    environment: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), file).unwrap();
    std::fs::write(directory.path().join(".env"), dotenv).unwrap();
    let sources = Sources {
        directory: directory.path().to_owned(),
        environment: environment.iter().copied().collect(),
        ..Sources::default()
    };
    Config::load(&sources)
}
