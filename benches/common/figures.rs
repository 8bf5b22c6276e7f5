//! From many figures to the few that are told.

use std::time::Duration;

/// The part of a second that a figure is told in, in milliseconds.
pub fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

/// Millions of bytes, as file managers and the goals count them.
pub fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0
}

/// A count as a figure to reckon with.
pub fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// How long things took, in order.
pub struct Times(Vec<Duration>);

impl Times {
    /// Sorts them.
    pub fn new(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// In milliseconds, what `per_mille` of a thousand stayed within; not a number when there are none.
    pub fn quantile(&self, per_mille: usize) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let at = (self.0.len() * per_mille / 1000).min(last);
        self.0.get(at).copied().map_or(f64::NAN, millis)
    }
}
