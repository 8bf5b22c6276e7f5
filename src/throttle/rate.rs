//! A rate per key, by the token bucket of `governor`: bounded in memory, and only counted when it is told to.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::middleware::StateInformationMiddleware;
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
    quota: Quota,
    limiter: RateLimiter<K, HashMapStateStore<K>, Steady, StateInformationMiddleware>,
    /// Until when the keys wait that have used theirs up: governor cannot be asked without being counted.
    full: Mutex<HashMap<K, Timestamp>>,
    counts: AtomicU32,
    clock: Steady,
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
        let limiter = RateLimiter::hashmap_with_clock(quota, clock.clone());
        let (full, counts) = (Mutex::default(), AtomicU32::new(0));
        Self { quota, limiter: limiter.with_middleware(), full, counts, clock }
    }

    /// Whether one more would be within the rate; it is not counted.
    pub(super) fn admit(&self, key: &K) -> Result<(), Later> {
        let now = self.clock.0.steady();
        match self.full().get(key) {
            Some(until) if !until.is_past(now) => Err(Later(until.since(now))),
            _ => Ok(()),
        }
    }

    /// Counts one, unless that is more than the rate.
    pub(super) fn take(&self, key: K) -> Result<(), Later> {
        self.clean_at_times();
        let interval = self.quota.replenish_interval();
        if self.limiter.len() >= KEYS_MAX {
            return Err(Later(interval));
        }
        let now = self.clock.0.steady();
        let (wait, outcome) = match self.limiter.check_key(&key) {
            Ok(state) if state.remaining_burst_capacity() > 0 => return Ok(()),
            Ok(_) => (interval, Ok(())),
            Err(refused) => {
                let wait = refused.wait_time_from(Duration::from_millis(now.millis()));
                (wait, Err(Later(wait)))
            }
        };
        self.full().insert(key, now.after(wait));
        outcome
    }

    fn clean_at_times(&self) {
        if self.counts.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            self.limiter.retain_recent();
            let now = self.clock.0.steady();
            self.full().retain(|_, until| !until.is_past(now));
        }
    }

    fn full(&self) -> MutexGuard<'_, HashMap<K, Timestamp>> {
        self.full.lock().unwrap_or_else(PoisonError::into_inner)
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
        rate.limiter.len().max(rate.full().len())
    }

    #[test]
    fn a_million_keys_take_bounded_memory_and_are_forgotten_once_they_are_as_new() {
        let (rate, clock) = rate();
        for key in 0..1_000_000 {
            rate.take(key).ok();
        }
        assert!(remembered(&rate) <= KEYS_MAX);
        assert!(rate.take(1_000_001).is_err(), "who comes when all is full is refused");
        clock.advance(Duration::from_secs(120));
        for key in 0..2 * CLEAN_EVERY {
            rate.take(key).ok();
        }
        assert!(remembered(&rate) <= 2 * CLEAN_EVERY as usize);
    }
}
