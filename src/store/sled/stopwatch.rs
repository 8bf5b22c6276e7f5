//! How long what runs now has taken: sled may wait for ever after an I/O error, and then nothing else tells.
//!
//! Knows neither what runs nor what is done about it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

/// Notes when what runs has begun.
#[derive(Default)]
pub(super) struct Stopwatch(ArcSwapOption<Instant>);

impl Stopwatch {
    /// Says that something begins, at `now`.
    pub(super) fn begin(&self, now: Instant) {
        self.0.store(Some(Arc::new(now)));
    }

    /// Says that it has ended.
    pub(super) fn end(&self) {
        self.0.store(None);
    }

    /// Whether something runs at `now` that has taken longer than `limit`.
    pub(super) fn has_run_longer(&self, limit: Duration, now: Instant) -> bool {
        self.0.load().as_ref().is_some_and(|began| now.duration_since(**began) > limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_is_late_and_only_after_the_limit() {
        let (watch, limit, began) = (Stopwatch::default(), Duration::from_secs(30), Instant::now());
        let late = began + limit + Duration::from_millis(1);
        assert!(!watch.has_run_longer(limit, late), "nothing runs");
        watch.begin(began);
        assert!(!watch.has_run_longer(limit, began + limit));
        assert!(watch.has_run_longer(limit, late));
        watch.end();
        assert!(!watch.has_run_longer(limit, late), "it has ended");
        watch.begin(late);
        assert!(!watch.has_run_longer(limit, late), "the next one");
    }
}
