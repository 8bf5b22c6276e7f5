//! `[throttle]`: how often a password may be wrong, and how often somebody may register.

use std::num::NonZeroU32;
use std::time::Duration;

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[
    Key::new("throttle.enabled", Kind::Flag, "true"),
    Key::new("throttle.free_failures", Kind::Number, "5"),
    Key::new("throttle.first_delay", Kind::Text, "1s"),
    Key::new("throttle.max_delay", Kind::Text, "15m"),
    Key::new("throttle.lock_after", Kind::Number, "100"),
    Key::new("throttle.source_failures_per_minute", Kind::Number, "60"),
    Key::new("throttle.failures_per_second", Kind::Number, "200"),
    Key::new("throttle.registrations_per_hour", Kind::Number, "200"),
    Key::new("throttle.known_source_days", Kind::Number, "30"),
];

/// More failures in a row than these must lock a password (NIST SP 800-63B-4 §3.2.2).
const LOCK_AFTER_MAX: u32 = 100;
const RATE_MAX: u32 = 1_000_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The section.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// Whether there are limits at all.
    pub enabled: bool,
    /// Failures of a source at an account before it has to wait.
    pub free_failures: u32,
    /// The first wait, which each further failure doubles.
    pub first_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// Failures in a row that lock an account.
    pub lock_after: u32,
    /// Failures of one source in a minute.
    pub source_failures_per_minute: NonZeroU32,
    /// Failures of all sources in a second.
    pub failures_per_second: NonZeroU32,
    /// Registrations of one source in an hour.
    pub registrations_per_hour: NonZeroU32,
    /// How long a source is known after a login.
    pub known_for: Duration,
}

impl Throttle {
    pub(super) fn read(values: &Values, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let rate = |name| {
            let number = values.number(name, 1..=RATE_MAX)?;
            Ok(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
        };
        let delay = |name| values.duration(name, Duration::from_secs(1)..=DAY);
        let throttle = Self {
            enabled: values.flag("throttle.enabled")?,
            free_failures: values.number("throttle.free_failures", 1..=LOCK_AFTER_MAX)?,
            first_delay: delay("throttle.first_delay")?,
            max_delay: delay("throttle.max_delay")?,
            lock_after: values.number("throttle.lock_after", 1..=LOCK_AFTER_MAX)?,
            source_failures_per_minute: rate("throttle.source_failures_per_minute")?,
            failures_per_second: rate("throttle.failures_per_second")?,
            registrations_per_hour: rate("throttle.registrations_per_hour")?,
            known_for: DAY * values.number("throttle.known_source_days", 1..=365)?,
        };
        if throttle.first_delay > throttle.max_delay {
            return Err(values.refuse_either([
                ("throttle.first_delay", "must not be longer than throttle.max_delay"),
                ("throttle.max_delay", "must not be shorter than throttle.first_delay"),
            ]));
        }
        if throttle.free_failures > throttle.lock_after {
            return Err(values.refuse_either([
                ("throttle.free_failures", "must not be more than throttle.lock_after"),
                ("throttle.lock_after", "must not be less than throttle.free_failures"),
            ]));
        }
        if !throttle.enabled {
            let warning =
                "throttle.enabled: is false, so that passwords can be guessed without limit";
            warnings.push(warning.to_owned());
        }
        Ok(throttle)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};

    #[test]
    fn cf_03_a_server_without_limits_warns_of_it() {
        assert_eq!(load("").unwrap().warnings, [""; 0]);
        let warnings = load("[throttle]\nenabled = false").unwrap().warnings;
        assert_eq!(warnings.len(), 1);
        assert!(warnings.iter().all(|it| it.starts_with("throttle.enabled: ")), "{warnings:?}");
    }

    #[test]
    fn everything_has_bounds() {
        load("[throttle]\nfree_failures = 1\nlock_after = 1\nfirst_delay = '1s'\nmax_delay = '1s'")
            .unwrap();
        for bad in [
            "free_failures = 0",
            "first_delay = '0s'",
            "max_delay = '25h'",
            "lock_after = 0",
            "lock_after = 101",
            "source_failures_per_minute = 0",
            "failures_per_second = 0",
            "registrations_per_hour = 0",
            "known_source_days = 0",
            "known_source_days = 366",
        ] {
            assert!(refusal(&format!("[throttle]\n{bad}")).starts_with("throttle."), "{bad}");
        }
    }

    #[test]
    fn what_comes_first_is_not_more_than_what_comes_last() {
        let delays = refusal("[throttle]\nfirst_delay = '16m'");
        assert!(delays.starts_with("throttle.first_delay"), "{delays}");
        let delays = refusal("[throttle]\nfirst_delay = '2m'\nmax_delay = '1m'");
        assert!(delays.starts_with("throttle.first_delay"), "{delays}");
        let failures = refusal("[throttle]\nlock_after = 4");
        assert!(failures.starts_with("throttle.lock_after"), "{failures}");
        load("[throttle]\nlock_after = 5").unwrap();
    }
}
