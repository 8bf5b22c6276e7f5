//! `[log]`: how the log is written. Whether a filter can be read is for telemetry to say.

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] =
    &[Key::unset("log.format", Kind::Text), Key::new("log.level", Kind::Text, "info")];

/// The section.
#[derive(Clone, Debug)]
pub struct Log {
    /// None means text on a terminal, else JSON.
    pub format: Option<LogFormat>,
    /// A level, or a filter such as `info,keystile::store=debug`.
    pub level: String,
}

/// The form of a line of log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            format: values.optional("log.format", |text| match text {
                "text" => Ok(LogFormat::Text),
                "json" => Ok(LogFormat::Json),
                _ => Err("must be text or json"),
            })?,
            level: values.text("log.level", |text| {
                crate::telemetry::check_level(text).map(|()| text.to_owned())
            })?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    #[test]
    fn the_format_is_text_or_json() {
        assert_eq!(load("").unwrap().log.format, None);
        assert_eq!(load("[log]\nformat = 'json'").unwrap().log.format, Some(LogFormat::Json));
        assert!(refusal("[log]\nformat = 'xml'").starts_with("log.format"));
    }

    #[test]
    fn the_level_is_a_filter() {
        load("[log]\nlevel = 'warn,keystile=debug'").unwrap();
        assert!(refusal("[log]\nlevel = 'inof'").starts_with("log.level"));
    }
}
