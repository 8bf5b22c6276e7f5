//! When an attempt is let in, when it has to wait, and what is kept of it.

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LIMITS: AccountLimits = AccountLimits {
    free_failures: 5,
    first_delay: Duration::from_secs(1),
    max_delay: Duration::from_secs(900),
    lock_after: 100,
    known_for: Duration::from_secs(30 * 86_400),
};
const HOME: Source = Source::V4([192, 0, 2, 1]);

fn stranger(number: u32) -> Source {
    Source::V4(number.to_be_bytes())
}

fn at(secs: u64) -> Timestamp {
    NOW.after(Duration::from_secs(secs))
}

/// An attempt that may be made, and what comes of it; whether it locks the account.
#[track_caller]
fn attempt(of: &mut Attempts, source: Source, outcome: Outcome, now: Timestamp) -> bool {
    assert_eq!(of.reserve(source, &LIMITS, now), Permit::Go);
    of.settle(source, outcome, &LIMITS, now)
}

/// Fails `times` as fast as the limits allow, and says when the last failure was.
fn fail(of: &mut Attempts, source: Source, times: u32, mut now: Timestamp) -> Timestamp {
    for _ in 0..times {
        now = of.blocked_until(source, now).unwrap_or(now);
        assert!(matches!(of.reserve(source, &LIMITS, now), Permit::Go | Permit::Locked));
        of.settle(source, Outcome::Wrong, &LIMITS, now);
    }
    now
}

/// An account that strangers have failed at `times`, none of them twice.
fn failed_by_strangers(times: u32) -> Attempts {
    let mut attempts = Attempts::default();
    for number in 0..times {
        attempt(&mut attempts, stranger(number), Outcome::Wrong, NOW);
    }
    attempts
}

#[test]
fn the_wait_starts_with_the_fifth_failure_doubles_and_ends_at_its_instant() {
    let mut attempts = Attempts::default();
    let mut now = fail(&mut attempts, HOME, 4, NOW);
    assert_eq!(attempts.blocked_until(HOME, now), None);
    for secs in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        assert!(!attempt(&mut attempts, HOME, Outcome::Wrong, now));
        let until = now.after(Duration::from_secs(secs));
        let just_before = now.after(Duration::from_millis(secs * 1000 - 1));
        for early in [now, just_before] {
            assert_eq!(attempts.reserve(HOME, &LIMITS, early), Permit::Wait(until));
        }
        now = until;
        assert_eq!(attempts.blocked_until(HOME, now), None);
    }
}

#[test]
fn a_wait_is_its_sources_own() {
    let mut attempts = Attempts::default();
    let now = fail(&mut attempts, HOME, 5, NOW);
    assert!(attempts.blocked_until(HOME, now).is_some());
    attempt(&mut attempts, stranger(1), Outcome::Wrong, now);
}

#[test]
fn a_success_starts_the_count_anew() {
    let mut attempts = Attempts::default();
    fail(&mut attempts, HOME, 4, NOW);
    attempt(&mut attempts, HOME, Outcome::Right, NOW);
    fail(&mut attempts, HOME, 4, NOW);
    assert_eq!(attempts.blocked_until(HOME, NOW), None);
}

#[test]
fn no_more_are_under_way_than_may_fail_freely() {
    let mut attempts = Attempts::default();
    fail(&mut attempts, HOME, 2, NOW);
    for _ in 0..3 {
        assert_eq!(attempts.reserve(HOME, &LIMITS, NOW), Permit::Go);
    }
    assert_eq!(attempts.reserve(HOME, &LIMITS, NOW), Permit::Turn);
    attempts.settle(HOME, Outcome::Undone, &LIMITS, NOW);
    assert_eq!(attempts.reserve(HOME, &LIMITS, NOW), Permit::Go);
    attempts.settle(HOME, Outcome::Right, &LIMITS, NOW);
    assert_eq!(attempts.reserve(HOME, &LIMITS, NOW), Permit::Go, "two are left of five");
}

#[test]
fn after_the_free_ones_they_go_one_by_one() {
    let mut attempts = Attempts::default();
    let last = fail(&mut attempts, HOME, 9, NOW);
    let now = attempts.blocked_until(HOME, last).unwrap();
    assert_eq!(attempts.reserve(HOME, &LIMITS, now), Permit::Go);
    assert_eq!(attempts.reserve(HOME, &LIMITS, now), Permit::Turn);
}

#[test]
fn the_hundredth_failure_locks_and_no_sooner_one() {
    let mut attempts = failed_by_strangers(99);
    assert!(!attempts.is_locked(&LIMITS));
    assert!(attempt(&mut attempts, stranger(500), Outcome::Wrong, NOW), "it is the one");
    assert_eq!(attempts.reserve(stranger(501), &LIMITS, NOW), Permit::Locked);
    assert!(!attempts.settle(stranger(501), Outcome::Wrong, &LIMITS, NOW), "it was already");
}

#[test]
fn those_under_way_cannot_pass_the_lock() {
    let mut attempts = failed_by_strangers(98);
    for (number, permit) in [(500, Permit::Go), (501, Permit::Go), (502, Permit::Turn)] {
        assert_eq!(attempts.reserve(stranger(number), &LIMITS, NOW), permit);
    }
    attempts.settle(stranger(500), Outcome::Right, &LIMITS, NOW);
    assert_eq!(attempts.reserve(stranger(502), &LIMITS, NOW), Permit::Go);
}

#[test]
fn strangers_cannot_lock_a_known_source_out_and_its_success_lifts_no_lock() {
    let mut attempts = Attempts::default();
    attempt(&mut attempts, HOME, Outcome::Right, NOW);
    for number in 0..100 {
        attempt(&mut attempts, stranger(number), Outcome::Wrong, NOW);
    }
    attempt(&mut attempts, HOME, Outcome::Right, NOW);
    assert_eq!(attempts.reserve(stranger(500), &LIMITS, NOW), Permit::Locked);
    attempts.unlock();
    attempt(&mut attempts, stranger(500), Outcome::Right, NOW);
}

#[test]
fn a_source_is_known_for_its_days() {
    let mut attempts = Attempts::default();
    attempt(&mut attempts, HOME, Outcome::Right, NOW);
    let end = NOW.after(LIMITS.known_for);
    let just_before = Timestamp::from_millis(end.millis() - 1);
    assert!(attempts.knows(HOME, &LIMITS, just_before));
    assert!(!attempts.knows(HOME, &LIMITS, end));
}

#[test]
fn a_known_source_is_locked_out_by_a_hundred_failures_of_its_own() {
    let mut attempts = Attempts::default();
    attempt(&mut attempts, HOME, Outcome::Right, NOW);
    let last = fail(&mut attempts, HOME, 99, NOW);
    attempt(&mut attempts, stranger(1), Outcome::Right, last);
    let now = attempts.blocked_until(HOME, last).unwrap();
    attempt(&mut attempts, HOME, Outcome::Wrong, now);
    let now = attempts.blocked_until(HOME, now).unwrap();
    assert!(attempts.knows(HOME, &LIMITS, now) && !attempts.is_locked(&LIMITS));
    assert_eq!(attempts.reserve(HOME, &LIMITS, now), Permit::Locked);
}

#[test]
fn eight_sources_are_known_and_others_never_push_them_out() {
    let mut attempts = Attempts::default();
    for number in 0..10 {
        attempt(&mut attempts, stranger(number), Outcome::Right, at(number.into()));
    }
    for number in 100..180 {
        attempt(&mut attempts, stranger(number), Outcome::Wrong, at(20));
    }
    let known = |number: &u32| attempts.knows(stranger(*number), &LIMITS, at(20));
    assert_eq!((0..180).filter(known).collect::<Vec<_>>(), (2..10).collect::<Vec<_>>());
    assert_eq!(attempts.rows.len(), SOURCES_MAX);
}

#[test]
fn a_source_under_way_is_not_pushed_out() {
    let mut attempts = Attempts::default();
    for number in 0..16 {
        assert_eq!(attempts.reserve(stranger(number), &LIMITS, NOW), Permit::Go);
    }
    assert_eq!(attempts.reserve(stranger(16), &LIMITS, NOW), Permit::Turn);
    attempts.settle(stranger(3), Outcome::Wrong, &LIMITS, NOW);
    assert_eq!(attempts.reserve(stranger(16), &LIMITS, NOW), Permit::Go);
}

#[test]
fn what_a_crash_left_under_way_has_failed_after_a_minute() {
    let mut attempts = Attempts::default();
    for _ in 0..5 {
        assert_eq!(attempts.reserve(HOME, &LIMITS, NOW), Permit::Go);
    }
    assert_eq!(attempts.reserve(HOME, &LIMITS, at(59)), Permit::Turn);
    assert_eq!(attempts.reserve(HOME, &LIMITS, at(60)), Permit::Go);
    attempts.settle(HOME, Outcome::Undone, &LIMITS, at(60));
    assert_eq!((attempts.failures, attempts.rows[0].failures), (5, 5));
}

#[test]
fn a_source_is_forgotten_after_a_day_and_its_failures_still_count_for_the_lock() {
    let mut attempts = failed_by_strangers(1);
    fail(&mut attempts, HOME, 3, NOW);
    assert_eq!(attempts.reserve(HOME, &LIMITS, at(86_399)), Permit::Go);
    attempts.settle(HOME, Outcome::Undone, &LIMITS, at(86_399));
    assert_eq!(attempts.rows.len(), 2);
    attempts.tidy(&LIMITS, at(86_400));
    assert_eq!((attempts.rows.len(), attempts.failures), (1, 4));
}

#[test]
fn a_known_source_is_remembered_for_as_long_as_it_is_known() {
    let mut attempts = Attempts::default();
    attempt(&mut attempts, HOME, Outcome::Right, NOW);
    attempts.tidy(&LIMITS, at(30 * 86_400 - 1));
    assert!(attempts.knows(HOME, &LIMITS, at(30 * 86_400 - 1)));
    attempts.tidy(&LIMITS, at(30 * 86_400));
    assert_eq!(attempts.rows.len(), 0);
}

#[test]
fn it_fits_a_record() {
    let mut attempts = failed_by_strangers(100);
    fail(&mut attempts, Source::V6([9; 8]), 3, at(1));
    assert!(postcard::to_stdvec(&attempts).unwrap().len() < 1024);
}
