//! Time: the one owner of the wall clock. Everything else is handed a [`Clock`].
//!
//! Knows nothing of tokens, sessions or the store; the store only keeps the high-water mark that
//! [`SystemClock`] never goes below, so that a clock set back cannot revive what has expired.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The last point that RFC 3339 can write: the end of the year 9999.
    pub const LAST: Self = Self(253_402_300_799_999);

    /// The point `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The point `secs` seconds after the epoch, saturating.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: a JWT `NumericDate` (RFC 7519 §2).
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// This point rounded down to a whole second, as a token can carry it.
    #[must_use]
    pub const fn floor_secs(self) -> Self {
        Self::from_secs(self.secs())
    }

    /// The point `span` later, saturating.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The point `span` earlier, saturating.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was, zero when it is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Whether a thing with this deadline is over at `now`: expired means `exp <= now` (RFC 7519 §4.1.4).
    #[must_use]
    pub fn is_past(self, now: Self) -> bool {
        self <= now
    }

    /// Reads RFC 3339 in UTC (`2026-01-31T12:00:00Z`), or a day (`2026-01-31`), which is its first instant.
    #[must_use]
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let midnight = format!("{text}T00:00:00Z");
        let at = humantime::parse_rfc3339(text).or_else(|_| humantime::parse_rfc3339(&midnight));
        let span = at.ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(span.as_millis()).ok().map(Self)
    }

    /// RFC 3339 with milliseconds, UTC: `2026-01-31T12:00:00.000Z`. A later point reads as [`Self::LAST`].
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        let millis = Duration::from_millis(self.min(Self::LAST).0);
        let at = UNIX_EPOCH.checked_add(millis).unwrap_or(UNIX_EPOCH);
        humantime::format_rfc3339_millis(at).to_string()
    }
}

/// Where everything but this module gets the time from.
pub trait Clock: Send + Sync {
    /// The time now, never less than a request before has seen: a clock that is set back makes it stand still.
    /// Only a leap forward that is taken back takes it back, to [`CLOCK_TOLERANCE`] beyond the monotonic clock.
    fn now(&self) -> Timestamp;

    /// The time since some start by a clock that nobody sets: for spans within one process.
    fn steady(&self) -> Timestamp;
}

/// How far a start may fall behind the stored mark, and the wall clock run ahead of the monotonic one
/// before the mark no longer follows.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// 2024-01-01: a clock that shows less has not been set, and what it issued would be dead once it is.
const EPOCH_MIN: Timestamp = Timestamp::from_secs(1_704_067_200);

/// The machine's clock, held at or above a high-water mark that outlives the process.
#[derive(Debug)]
pub struct SystemClock {
    mark: AtomicU64,
    /// What the clock showed when it was made, and when that was on the monotonic clock.
    start: (Timestamp, Instant),
}

/// The wall clock is not one to serve by.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadClock {
    /// It stands too far behind the stored mark.
    #[error(
        "the clock stands {behind_secs} s behind the time this data was last written; set it right, or \
         start once with `serve --accept-clock`"
    )]
    Behind {
        /// How far behind, in seconds.
        behind_secs: u64,
    },
    /// It was never set.
    #[error("the clock shows a time before 2024; set it right")]
    Unset,
}

impl SystemClock {
    /// A clock that never shows less than `mark`.
    ///
    /// # Errors
    /// [`BadClock::Unset`].
    pub fn above(mark: Timestamp) -> Result<Self, BadClock> {
        Self::starting(wall(), mark)
    }

    /// A clock above the stored `mark`.
    ///
    /// # Errors
    /// [`BadClock::Behind`] when the wall clock is more than [`CLOCK_TOLERANCE`] behind `mark`;
    /// [`BadClock::Unset`].
    pub fn resume(mark: Timestamp) -> Result<Self, BadClock> {
        let behind = mark.since(wall());
        if behind > CLOCK_TOLERANCE {
            return Err(BadClock::Behind { behind_secs: behind.as_secs() });
        }
        Self::above(mark)
    }

    fn starting(wall: Timestamp, mark: Timestamp) -> Result<Self, BadClock> {
        if wall < EPOCH_MIN {
            return Err(BadClock::Unset);
        }
        Ok(Self { mark: AtomicU64::new(mark.0), start: (wall.max(mark), Instant::now()) })
    }

    /// Moves the mark towards the wall clock and returns it, to be stored with the heartbeat.
    ///
    /// It gets ahead of the time that has passed since the start by [`CLOCK_TOLERANCE`] at most, so that a
    /// leap of the wall clock cannot carry the mark, and with it every later start, years ahead.
    pub fn advance(&self) -> Timestamp {
        self.advance_to(wall())
    }

    fn show(&self, wall: Timestamp) -> Timestamp {
        wall.max(self.advance_to(wall))
    }

    fn advance_to(&self, wall: Timestamp) -> Timestamp {
        let next = wall.min(self.steady().after(CLOCK_TOLERANCE));
        Timestamp(self.mark.fetch_max(next.0, Ordering::AcqRel).max(next.0))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        self.show(wall())
    }

    fn steady(&self) -> Timestamp {
        let (shown, at) = self.start;
        shown.after(at.elapsed())
    }
}

/// A clock that moves only when told to, for tests.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub const fn at(start: Timestamp) -> Self {
        Self(AtomicU64::new(start.0))
    }

    /// Moves the clock forward by `span`.
    pub fn advance(&self, span: Duration) {
        let now = Timestamp(self.0.load(Ordering::Acquire)).after(span);
        self.0.store(now.0, Ordering::Release);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire))
    }

    fn steady(&self) -> Timestamp {
        self.now()
    }
}

/// The wall clock; a time before the epoch reads as the epoch, by which nobody starts.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall() -> Timestamp {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_past_at_its_own_instant_and_not_before() {
        let deadline = Timestamp::from_secs(100);
        assert!(!deadline.is_past(Timestamp::from_millis(99_999)));
        assert!(deadline.is_past(deadline));
        assert!(deadline.is_past(Timestamp::from_millis(100_001)));
    }

    #[test]
    fn the_clock_never_shows_less_than_its_mark() {
        let ahead = wall().after(Duration::from_secs(200));
        assert_eq!(SystemClock::above(ahead).unwrap().now(), ahead);
    }

    #[test]
    fn a_clock_that_is_set_back_stands_still_and_one_that_has_leapt_comes_back() {
        let clock = SystemClock::above(Timestamp::default()).unwrap();
        let (before, seen) = (wall(), wall().after(Duration::from_secs(60)));
        assert_eq!(clock.show(seen), seen);
        assert_eq!(clock.show(before), seen);
        let leapt = before.after(Duration::from_secs(86_400));
        assert_eq!(clock.show(leapt), leapt);
        assert!(clock.show(before) < before.after(Duration::from_secs(400)));
    }

    #[test]
    fn a_start_far_behind_the_mark_is_refused_and_one_slightly_behind_is_not() {
        let behind = SystemClock::resume(wall().after(Duration::from_secs(400)));
        assert!(matches!(behind, Err(BadClock::Behind { .. })));
        assert!(SystemClock::resume(wall().after(Duration::from_secs(200))).is_ok());
    }

    #[test]
    fn a_clock_that_was_never_set_is_refused() {
        let just_before = Timestamp::from_millis(EPOCH_MIN.millis() - 1);
        let mark = Timestamp::default();
        assert_eq!(SystemClock::starting(just_before, mark).unwrap_err(), BadClock::Unset);
        assert!(SystemClock::starting(EPOCH_MIN, mark).is_ok());
    }

    #[test]
    fn the_mark_follows_the_wall_clock_but_a_leap_carries_it_only_so_far() {
        let steady = SystemClock::above(Timestamp::default()).unwrap();
        assert!(steady.advance() > Timestamp::from_secs(1_700_000_000));
        // Started long ago by the wall clock, a moment ago by the monotonic one: the wall clock leapt.
        let leapt = SystemClock::starting(EPOCH_MIN, Timestamp::default()).unwrap();
        for _ in 0..3 {
            assert!(leapt.advance() < EPOCH_MIN.after(Duration::from_secs(400)));
        }
    }

    #[test]
    fn times_read_as_rfc3339() {
        assert_eq!(Timestamp::from_millis(1_500).to_rfc3339(), "1970-01-01T00:00:01.500Z");
        let last = "9999-12-31T23:59:59.999Z";
        assert_eq!(Timestamp::LAST.to_rfc3339(), last);
        for later in [Timestamp::LAST.after(Duration::from_millis(1)), Timestamp(u64::MAX)] {
            assert_eq!(later.to_rfc3339(), last);
        }
    }
}
