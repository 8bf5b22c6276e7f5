//! How many dates of use are written a second: a bound on what they take from everybody else.
//!
//! Each is a write to a random leaf of the tree. Without a bound, a server whose many sessions all come back at
//! once spends half of its time on them, and waits for the disk wherever it reads what was just written.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Timestamp;

/// Milliseconds of one write: 500 a second, so that 30,000 sessions in steady use keep the minute.
const STEP_MS: u64 = 2;
/// Milliseconds that may be saved up: 50 writes.
const BURST_MS: u64 = 100;
/// Milliseconds that requests of the same time may differ: each takes its own at its beginning.
const APART_MS: u64 = 1000;

/// Deals out the writes.
#[derive(Default)]
pub(super) struct Touches {
    /// From when on the next is free, in milliseconds.
    free_from: AtomicU64,
}

impl Touches {
    /// Whether one more may be written at `now`.
    pub(super) fn admit(&self, now: Timestamp) -> bool {
        let now = now.millis();
        let next = |free_from: u64| {
            // Much further ahead it stands only if the clock went back.
            let is_free = free_from <= now || free_from > now.saturating_add(APART_MS);
            let saved = now.saturating_sub(BURST_MS);
            is_free.then(|| free_from.min(now).max(saved).saturating_add(STEP_MS))
        };
        self.free_from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(touches: &Touches, ms: u64) -> usize {
        let now = Timestamp::from_millis(ms);
        (0..1000).filter(|_| touches.admit(now)).count()
    }

    #[test]
    fn many_at_once_are_fifty_and_then_one_every_two_milliseconds() {
        let touches = Touches::default();
        assert_eq!(admitted(&touches, 1_000_000), 51);
        assert_eq!(admitted(&touches, 1_000_001), 0);
        assert_eq!(admitted(&touches, 1_000_002), 1);
        assert_eq!(admitted(&touches, 1_000_012), 5);
        assert_eq!(admitted(&touches, 2_000_000), 51);
    }

    #[test]
    fn requests_that_overtake_each_other_gain_nothing() {
        let touches = Touches::default();
        let (mut admitted, begun) = (0, 1_000_000);
        for ms in begun..begun + 1000 {
            for late in [0, 1, 9] {
                admitted += usize::from(touches.admit(Timestamp::from_millis(ms - late)));
            }
        }
        assert!(admitted <= 551, "{admitted}");
    }

    #[test]
    fn a_clock_that_goes_back_holds_nothing_up() {
        let touches = Touches::default();
        assert_eq!(admitted(&touches, 2_000_000), 51);
        assert_eq!(admitted(&touches, 1_000_000), 1);
        assert_eq!(admitted(&touches, 1_000_002), 1);
    }
}
