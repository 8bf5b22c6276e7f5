//! A rate per key, by the token bucket of `governor`: bounded in memory, and what was counted can be given back.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::Later;
use crate::clock::{Clock, Timestamp};

/// How many keys are remembered at most, besides what one round of cleaning may find.
const KEYS_MAX: usize = 100_000;
/// After how many counts those that are as good as new are forgotten.
const CLEAN_EVERY: u32 = 1024;

/// How often each key may be counted.
pub(super) struct Rate<K: Hash + Eq + Clone> {
    limiter: RateLimiter<K, HashMapStateStore<K>, Steady, NoOpMiddleware<Duration>>,
    interval: Duration,
    /// How long it takes until all is as it was, whatever was counted.
    whole: Duration,
    /// What was given back, which governor cannot take.
    spared: Mutex<HashMap<K, Spared>>,
    counts: AtomicU32,
    clock: Steady,
}

/// How many of a key are not counted, until when.
struct Spared {
    count: u32,
    until: Timestamp,
}

/// The clock that no setting moves.
#[derive(Clone)]
struct Steady(Arc<dyn Clock>);

impl governor::clock::Clock for Steady {
    type Instant = Duration;

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.steady().millis())
    }
}

impl<K: Hash + Eq + Clone> Rate<K> {
    /// Nothing is counted yet.
    pub(super) fn new(quota: Quota, clock: &Arc<dyn Clock>) -> Self {
        let clock = Steady(Arc::clone(clock));
        let interval = quota.replenish_interval();
        Self {
            limiter: RateLimiter::hashmap_with_clock(quota, clock.clone()),
            interval,
            whole: interval.saturating_mul(quota.burst_size().get()),
            spared: Mutex::default(),
            counts: AtomicU32::new(0),
            clock,
        }
    }

    /// Counts one, unless that is more than the rate.
    pub(super) fn take(&self, key: &K) -> Result<(), Later> {
        self.clean_at_times();
        if self.is_spared(key) {
            return Ok(());
        }
        if self.limiter.len() >= KEYS_MAX {
            return Err(Later(self.interval));
        }
        let now = Duration::from_millis(self.clock.0.steady().millis());
        self.limiter.check_key(key).map_err(|refused| Later(refused.wait_time_from(now)))
    }

    /// Takes one back: the next one of `key` is not counted. In time it would be as good as never counted anyway.
    pub(super) fn give_back(&self, key: K) {
        let mut all = self.spared();
        if all.len() < KEYS_MAX {
            let spared = all.entry(key).or_insert(Spared { count: 0, until: Timestamp::default() });
            spared.count = spared.count.saturating_add(1);
            spared.until = self.clock.0.steady().after(self.whole);
        }
    }

    fn is_spared(&self, key: &K) -> bool {
        let (mut all, now) = (self.spared(), self.clock.0.steady());
        let Some(spared) = all.get_mut(key) else { return false };
        spared.count = spared.count.saturating_sub(1);
        let is_spared = !spared.until.is_past(now);
        if !is_spared || spared.count == 0 {
            all.remove(key);
        }
        is_spared
    }

    fn clean_at_times(&self) {
        if self.counts.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            self.limiter.retain_recent();
            let now = self.clock.0.steady();
            self.spared().retain(|_, spared| !spared.until.is_past(now));
        }
    }

    fn spared(&self) -> MutexGuard<'_, HashMap<K, Spared>> {
        self.spared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::clock::ManualClock;

    fn rate() -> (Rate<u32>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let quota = Quota::per_minute(NonZeroU32::new(1).unwrap());
        (Rate::new(quota, &(Arc::clone(&clock) as Arc<dyn Clock>)), clock)
    }

    fn remembered(rate: &Rate<u32>) -> usize {
        rate.limiter.len().max(rate.spared().len())
    }

    #[test]
    fn a_million_keys_take_bounded_memory_and_are_forgotten_once_they_are_as_new() {
        let (rate, clock) = rate();
        for key in 0..1_000_000 {
            if rate.take(&key).is_ok() {
                rate.give_back(key);
            }
        }
        assert!(remembered(&rate) <= KEYS_MAX);
        assert!(rate.take(&1_000_001).is_err(), "who comes when all is full is refused");
        clock.advance(Duration::from_secs(120));
        for key in 0..2 * CLEAN_EVERY {
            rate.take(&key).ok();
        }
        assert!(remembered(&rate) <= 2 * CLEAN_EVERY as usize);
    }

    #[test]
    fn what_is_given_back_is_taken_again_but_not_beyond_the_time_that_restores_it() {
        let (rate, clock) = rate();
        for _ in 0..3 {
            assert_eq!(rate.take(&1), Ok(()));
            rate.give_back(1);
        }
        clock.advance(Duration::from_secs(60));
        assert_eq!(rate.take(&1), Ok(()));
        assert_eq!(rate.take(&1), Err(Later(Duration::from_secs(60))));
    }
}
