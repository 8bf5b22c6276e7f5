//! `[samples]`: the sample endpoints.

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[Key::new("samples.enabled", Kind::Flag, "true")];

/// The section.
#[derive(Clone, Debug)]
pub struct Samples {
    /// Whether they are served.
    pub enabled: bool,
}

impl Samples {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self { enabled: values.flag("samples.enabled")? })
    }
}
