//! The limits of attempts that are kept in memory: per source, for all sources together, and whose turn it is.
//!
//! The limits of one account outlive the process and are the store's ([`Attempts`]); these need not. All are
//! bounded, and go by the clock that is handed in. Knows neither passwords nor HTTP.
//!
//! [`Attempts`]: crate::auth::model::attempts::Attempts

mod rate;
mod turns;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use governor::Quota;

use self::rate::Rate;
pub use self::turns::Turn;
use self::turns::Turns;
use crate::auth::model::attempts::{Account, AccountLimits, STRANGERS};
use crate::auth::model::source::Source;
use crate::clock::Clock;

/// The configured limits.
#[derive(Clone, Copy, Debug)]
pub struct ThrottleSettings {
    /// Of one account.
    pub account: AccountLimits,
    /// How many wrong passwords of one source are looked at in a minute; and how many foreign tokens.
    pub source_failures_per_minute: NonZeroU32,
    /// How many wrong passwords are looked at in a second, wherever they come from.
    pub failures_per_second: NonZeroU32,
    /// How many times a source may register in an hour.
    pub registrations_per_hour: NonZeroU32,
}

/// The limit is reached; there is room again after this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts")]
pub struct Later(pub Duration);

/// The limits, and how far they are used up.
pub struct Throttle {
    limits: AccountLimits,
    names: hmac::Key,
    passwords: Rate<Source>,
    passwords_of_all: Rate<()>,
    tokens: Rate<Source>,
    registrations: Rate<Source>,
    turns: Turns,
}

impl Throttle {
    /// Nothing is used up yet. `name_key` tells names apart that nobody has.
    #[must_use]
    pub fn new(settings: &ThrottleSettings, name_key: &[u8; 32], clock: &Arc<dyn Clock>) -> Self {
        let per_source = Quota::per_minute(settings.source_failures_per_minute);
        let of_all = Quota::per_second(settings.failures_per_second);
        Self {
            limits: settings.account,
            names: hmac::Key::new(hmac::HMAC_SHA256, name_key),
            passwords: Rate::new(per_source, clock),
            passwords_of_all: Rate::new(of_all, clock),
            tokens: Rate::new(per_source, clock),
            registrations: Rate::new(Quota::per_hour(settings.registrations_per_hour), clock),
            turns: Turns::default(),
        }
    }

    /// The limits of one account.
    #[must_use]
    pub const fn limits(&self) -> &AccountLimits {
        &self.limits
    }

    /// Which of the records for names that nobody has is that of `name`. Without the key nobody can tell which
    /// names share one.
    #[must_use]
    pub fn stranger(&self, name: &str) -> Account {
        let tag = hmac::sign(&self.names, name.as_bytes());
        let number = tag.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        Account::Stranger(number % STRANGERS)
    }

    /// Whether one more password of `source` might be looked at now: [`Throttle::admit`], for the cheap refusal.
    ///
    /// # Errors
    /// [`Later`].
    pub fn may_admit(self: &Arc<Self>, source: Source, is_known: bool) -> Result<(), Later> {
        self.admit(source, is_known).map(drop)
    }

    /// Lets one more password of `source` be looked at. It counts from now on, so that many at once are no more
    /// than many in a row, and is given back unless it fails: a right one never counts (LT-05). A source that the
    /// account knows is not kept out by what others do.
    ///
    /// # Errors
    /// [`Later`].
    pub fn admit(self: &Arc<Self>, source: Source, is_known: bool) -> Result<Admission, Later> {
        self.passwords.take(&source)?;
        let throttle = Arc::clone(self);
        let mut admission = Admission { throttle, source, of_all: false, has_failed: false };
        if !is_known {
            self.passwords_of_all.take(&())?;
            admission.of_all = true;
        }
        Ok(admission)
    }

    /// Counts a token of `source` that is none of ours.
    ///
    /// # Errors
    /// [`Later`] when that is one too many.
    pub fn foreign_token(&self, source: Source) -> Result<(), Later> {
        self.tokens.take(&source)
    }

    /// Counts a registration from `source`.
    ///
    /// # Errors
    /// [`Later`] when that is one too many.
    pub fn registration(&self, source: Source) -> Result<(), Later> {
        self.registrations.take(&source)
    }

    /// A place in the queue of those who wait for attempts at `account` to be settled.
    #[must_use]
    pub fn turn(&self, account: Account) -> Turn<'_> {
        self.turns.take(account)
    }

    /// Has the next one of that queue try.
    pub fn next_turn(&self, account: Account) {
        self.turns.next(account);
    }
}

/// A password that is being looked at.
pub struct Admission {
    throttle: Arc<Throttle>,
    source: Source,
    /// Whether it counts among those of all sources, too.
    of_all: bool,
    has_failed: bool,
}

impl Admission {
    /// It was wrong, and counts.
    pub fn failed(mut self) {
        if !self.of_all {
            // Whether that was one too many is for those to hear who are not known.
            self.throttle.passwords_of_all.take(&()).ok();
        }
        self.has_failed = true;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.has_failed {
            return;
        }
        self.throttle.passwords.give_back(self.source);
        if self.of_all {
            self.throttle.passwords_of_all.give_back(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, Timestamp};

    const HERE: Source = Source::Local;
    const THERE: Source = Source::V4([192, 0, 2, 1]);

    fn throttle() -> (Arc<Throttle>, Arc<ManualClock>) {
        let settings = ThrottleSettings {
            account: AccountLimits {
                free_failures: 5,
                first_delay: Duration::from_secs(1),
                max_delay: Duration::from_secs(900),
                lock_after: 100,
                known_for: Duration::from_secs(86_400),
            },
            source_failures_per_minute: NonZeroU32::new(60).unwrap(),
            failures_per_second: NonZeroU32::new(100).unwrap(),
            registrations_per_hour: NonZeroU32::new(2).unwrap(),
        };
        let clock = Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000)));
        let throttle = Throttle::new(&settings, &[1; 32], &(Arc::clone(&clock) as Arc<dyn Clock>));
        (Arc::new(throttle), clock)
    }

    #[test]
    fn sixty_failures_are_looked_at_and_then_one_a_second() {
        let (throttle, clock) = throttle();
        for _ in 0..60 {
            throttle.admit(HERE, true).unwrap().failed();
        }
        for _ in 0..3 {
            assert_eq!(throttle.admit(HERE, true).map(drop), Err(Later(Duration::from_secs(1))));
            assert_eq!(throttle.admit(THERE, true).map(drop), Ok(()));
            clock.advance(Duration::from_millis(999));
            assert_eq!(throttle.admit(HERE, true).map(drop), Err(Later(Duration::from_millis(1))));
            clock.advance(Duration::from_millis(1));
            throttle.admit(HERE, true).unwrap().failed();
        }
    }

    #[test]
    fn many_sources_together_keep_out_all_that_are_not_known() {
        let (throttle, clock) = throttle();
        for number in 0..100_u32 {
            let source = Source::V4(number.to_be_bytes());
            throttle.admit(source, false).unwrap().failed();
        }
        assert_eq!(throttle.admit(THERE, false).map(drop), Err(Later(Duration::from_millis(10))));
        assert_eq!(throttle.admit(THERE, true).map(drop), Ok(()));
        clock.advance(Duration::from_millis(10));
        assert_eq!(throttle.admit(THERE, false).map(drop), Ok(()));
    }

    #[test]
    fn as_many_at_once_as_in_a_row_are_looked_at() {
        let (throttle, _) = throttle();
        let mut begun: Vec<_> = (0..60).map(|_| throttle.admit(HERE, true).unwrap()).collect();
        let later = Err(Later(Duration::from_secs(1)));
        assert_eq!(throttle.admit(HERE, true).map(drop), later);
        // Half of them are right.
        begun.truncate(30);
        begun.extend((0..30).map(|_| throttle.admit(HERE, true).unwrap()));
        assert_eq!(throttle.admit(HERE, true).map(drop), later);
        begun.into_iter().for_each(Admission::failed);
        assert_eq!(throttle.admit(HERE, true).map(drop), later);
    }

    #[test]
    fn registrations_and_foreign_tokens_count_for_themselves() {
        let (throttle, clock) = throttle();
        for _ in 0..2 {
            assert_eq!(throttle.registration(HERE), Ok(()));
        }
        let half_an_hour = Duration::from_secs(1800);
        assert_eq!(throttle.registration(HERE), Err(Later(half_an_hour)));
        assert_eq!(throttle.registration(THERE), Ok(()));
        for _ in 0..60 {
            assert_eq!(throttle.foreign_token(HERE), Ok(()));
        }
        assert!(throttle.foreign_token(HERE).is_err());
        assert_eq!(throttle.admit(HERE, false).map(drop), Ok(()));
        clock.advance(half_an_hour);
        assert_eq!(throttle.registration(HERE), Ok(()));
    }

    #[test]
    fn a_name_has_one_record_and_hardly_any_two_share_theirs() {
        let (throttle, _) = throttle();
        assert_eq!(throttle.stranger("mallory"), throttle.stranger("mallory"));
        let records: std::collections::HashSet<_> =
            (0..100).map(|number| throttle.stranger(&format!("mallory{number}"))).collect();
        assert!(records.len() > 98, "{}", records.len());
    }
}
