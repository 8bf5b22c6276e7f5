//! The attempts at one account's password: the pure rules of who may try, who waits and who is locked out.
//!
//! Knows neither passwords nor hashes. Everything is judged by the time it is handed. What it keeps of one
//! account has a bound: so many sources, of which the known ones give way to no others.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::UserId;
use super::source::Source;
use crate::clock::Timestamp;

/// How many sources of one account are remembered.
const SOURCES_MAX: usize = 16;
/// How many of them may be known.
const KNOWN_MAX: usize = 8;
/// An attempt that was not settled by then never will be, because its process has ended.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// A source that is not known and has not tried for so long is forgotten. Names that nobody has share their
/// records: without this, somebody who tries many of them would in time find each with failures of its own.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many records there are for names that nobody has (LT-08).
pub const STRANGERS: u32 = 100_000;

/// Whose password is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// A user's.
    User(UserId),
    /// Nobody's: one of [`STRANGERS`] records that such names share.
    Stranger(u32),
}

/// The configured limits of one account.
#[derive(Clone, Copy, Debug)]
pub struct AccountLimits {
    /// How often a source may fail before it has to wait.
    pub free_failures: u32,
    /// The first wait; each further failure doubles it.
    pub first_delay: Duration,
    /// The longest wait.
    pub max_delay: Duration,
    /// How many failures in a row lock the password.
    pub lock_after: u32,
    /// How long after a success a source is known.
    pub known_for: Duration,
}

/// One attempt, as the steps of the store take it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// At whose password.
    pub account: Account,
    /// From where.
    pub source: Source,
    /// By which limits.
    pub limits: AccountLimits,
}

/// Whether an attempt may be made. One that may is counted already, and has to be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Permit {
    /// It may.
    Go,
    /// It may, and fails whatever the password: after so many failures it counts no more.
    Locked,
    /// Not before others that are under way are settled: they might be the last that are free.
    Turn,
    /// Not before then.
    Wait(Timestamp),
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The password was right.
    Right,
    /// It was wrong.
    Wrong,
    /// It was not looked at.
    Undone,
}

/// What is remembered of the attempts at one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Failures since the last success, from wherever.
    failures: u32,
    rows: Vec<Row>,
}

/// What is remembered of one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    source: Source,
    /// Failures since its last success.
    failures: u32,
    /// Attempts under way.
    pending: u32,
    /// When it last tried.
    tried_at: Timestamp,
    blocked_until: Timestamp,
    succeeded_at: Option<Timestamp>,
}

impl Attempts {
    /// Whether `source` has logged in lately: strangers cannot keep it out (LT-07).
    #[must_use]
    pub fn knows(&self, source: Source, limits: &AccountLimits, now: Timestamp) -> bool {
        self.row(source).is_some_and(|row| row.is_known(limits, now))
    }

    /// Until when `source` has to wait, if it has to.
    #[must_use]
    pub fn blocked_until(&self, source: Source, now: Timestamp) -> Option<Timestamp> {
        self.row(source).map(|row| row.blocked_until).filter(|until| !until.is_past(now))
    }

    /// Whether somebody who was never here is locked out.
    #[must_use]
    pub const fn is_locked(&self, limits: &AccountLimits) -> bool {
        self.failures >= limits.lock_after
    }

    /// Takes a place for an attempt, before anything is hashed (LT-03).
    pub fn reserve(&mut self, source: Source, limits: &AccountLimits, now: Timestamp) -> Permit {
        self.tidy(limits, now);
        if let Some(until) = self.blocked_until(source, now) {
            return Permit::Wait(until);
        }
        let is_known = self.knows(source, limits, now);
        let row = self.row(source);
        let failures = row.map_or(0, |row| row.failures);
        let pending = row.map_or(0, |row| row.pending);
        let is_locked = failures >= limits.lock_after || (!is_known && self.is_locked(limits));
        let is_free = pending < limits.free_failures.saturating_sub(failures).max(1);
        // All that are under way may fail, and the lock must not be passed by that.
        let reaches_lock = !is_known
            && self.failures.saturating_add(self.pending(limits, now)) >= limits.lock_after;
        if !is_free || (reaches_lock && !is_locked) {
            return Permit::Turn;
        }
        let Some(row) = self.row_for(source, limits, now) else { return Permit::Turn };
        row.pending = row.pending.saturating_add(1);
        row.tried_at = now;
        if is_locked { Permit::Locked } else { Permit::Go }
    }

    /// Notes what became of an attempt that had its place; whether the account is locked by it.
    pub fn settle(
        &mut self,
        source: Source,
        outcome: Outcome,
        limits: &AccountLimits,
        now: Timestamp,
    ) -> bool {
        let was_locked = self.is_locked(limits);
        let Some(row) = self.rows.iter_mut().find(|row| row.source == source) else {
            return false;
        };
        row.pending = row.pending.saturating_sub(1);
        match outcome {
            Outcome::Undone => {}
            Outcome::Wrong => {
                row.fail(1, limits, now);
                self.failures = self.failures.saturating_add(1);
            }
            Outcome::Right => {
                row.failures = 0;
                row.blocked_until = Timestamp::default();
                row.succeeded_at = Some(now);
                // A lock that is set is the operator's to lift (LT-05).
                self.failures = if was_locked { self.failures } else { 0 };
            }
        }
        self.tidy(limits, now);
        self.is_locked(limits) && !was_locked
    }

    /// Lifts the lock and every wait; who is known stays so.
    pub fn unlock(&mut self) {
        self.failures = 0;
        for row in &mut self.rows {
            row.failures = 0;
            row.blocked_until = Timestamp::default();
        }
    }

    fn row(&self, source: Source) -> Option<&Row> {
        self.rows.iter().find(|row| row.source == source)
    }

    /// Attempts under way from sources that are not known.
    fn pending(&self, limits: &AccountLimits, now: Timestamp) -> u32 {
        let strangers = self.rows.iter().filter(|row| !row.is_known(limits, now));
        strangers.fold(0, |sum, row| sum.saturating_add(row.pending))
    }

    /// The row of `source`; a new one takes the place of that which has not tried for longest. None is left
    /// when attempts from too many sources are under way.
    fn row_for(
        &mut self,
        source: Source,
        limits: &AccountLimits,
        now: Timestamp,
    ) -> Option<&mut Row> {
        if self.row(source).is_none() {
            if self.rows.len() >= SOURCES_MAX {
                let idle = self.rows.iter().enumerate();
                let idle = idle.filter(|(_, row)| row.pending == 0 && !row.is_known(limits, now));
                let (index, _) = idle.min_by_key(|(_, row)| row.tried_at)?;
                self.rows.swap_remove(index);
            }
            self.rows.push(Row::new(source, now));
        }
        self.rows.iter_mut().find(|row| row.source == source)
    }

    /// Counts what was never settled as failed, and forgets what need not be remembered.
    fn tidy(&mut self, limits: &AccountLimits, now: Timestamp) {
        for row in &mut self.rows {
            if row.pending > 0 && row.tried_at.after(SETTLED_WITHIN).is_past(now) {
                let lost = std::mem::take(&mut row.pending);
                row.fail(lost, limits, row.tried_at);
                self.failures = self.failures.saturating_add(lost);
            }
        }
        let mut known: Vec<_> = self.rows.iter().filter(|row| row.is_known(limits, now)).collect();
        known.sort_by_key(|row| std::cmp::Reverse(row.succeeded_at));
        let beyond: Vec<_> = known.iter().skip(KNOWN_MAX).map(|row| row.source).collect();
        for row in self.rows.iter_mut().filter(|row| beyond.contains(&row.source)) {
            row.succeeded_at = None;
        }
        self.rows.retain(|row| {
            let is_old = row.tried_at.after(FORGOTTEN_AFTER).is_past(now);
            !is_old || row.pending > 0 || row.is_known(limits, now)
        });
    }
}

impl Row {
    const fn new(source: Source, now: Timestamp) -> Self {
        Self {
            source,
            failures: 0,
            pending: 0,
            tried_at: now,
            blocked_until: Timestamp::from_millis(0),
            succeeded_at: None,
        }
    }

    fn is_known(&self, limits: &AccountLimits, now: Timestamp) -> bool {
        self.succeeded_at.is_some_and(|at| !at.after(limits.known_for).is_past(now))
    }

    fn fail(&mut self, times: u32, limits: &AccountLimits, now: Timestamp) {
        self.failures = self.failures.saturating_add(times);
        if let Some(delay) = limits.delay(self.failures) {
            self.blocked_until = self.blocked_until.max(now.after(delay));
        }
    }
}

impl AccountLimits {
    /// How long a source waits after that many failures: not at all while they are free.
    fn delay(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(self.free_failures)?;
        let factor = 2_u32.checked_pow(doublings);
        let delay = factor.and_then(|factor| self.first_delay.checked_mul(factor));
        Some(delay.map_or(self.max_delay, |delay| delay.min(self.max_delay)))
    }
}

#[cfg(test)]
mod tests;
