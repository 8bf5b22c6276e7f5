//! `[sessions]`: how many a user has, and how often the dead are swept.

use std::time::Duration;

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[
    Key::new("sessions.max_per_user", Kind::Number, "20"),
    Key::new("sessions.sweep_interval", Kind::Text, "5s"),
];

/// The section.
#[derive(Clone, Debug)]
pub struct Sessions {
    /// Beyond this many, a login ends the least recently used.
    pub max_per_user: u32,
    /// How long the sweeper rests between two rounds.
    pub sweep_interval: Duration,
}

impl Sessions {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            max_per_user: values.number("sessions.max_per_user", 1..=1000)?,
            sweep_interval: values.duration(
                "sessions.sweep_interval",
                Duration::from_millis(100)..=Duration::from_secs(60 * 60),
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};

    #[test]
    fn both_limits_have_bounds() {
        load("[sessions]\nmax_per_user = 1\nsweep_interval = '1h'").unwrap();
        for bad in ["max_per_user = 0", "max_per_user = 1001", "sweep_interval = '0s'"] {
            assert!(refusal(&format!("[sessions]\n{bad}")).starts_with("sessions."), "{bad}");
        }
    }
}
