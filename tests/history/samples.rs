//! Histories made by hand: the checker accepts the good ones and catches each bad one.

use std::time::Duration;

use crate::record::{Answer, Call, Operation, Token};
use crate::report::check;

/// What the samples' server grants.
const GRACE: Duration = Duration::from_secs(1);
/// Well beyond the grace, in microseconds.
const LATER: u64 = 2_000_000;

const REGISTERED: Option<Answer> = Some(Answer::User(0));
const YES: Option<Answer> = Some(Answer::Done);
const OTHER: Option<Answer> = Some(Answer::Pair { user: 0, session: 1, pair: 9 });
const NO: Option<Answer> = Some(Answer::Refused);

fn token(pair: u32) -> Token {
    Token { session: 0, pair }
}

#[expect(clippy::unnecessary_wraps, reason = "an answer, where there may be none")]
fn pair(pair: u32) -> Option<Answer> {
    Some(Answer::Pair { user: 0, session: 0, pair })
}

fn operation(call: Call, answer: Option<Answer>, invoked: u64, returned: u64) -> Operation {
    Operation { client: 0, call, answer, invoked, returned }
}

/// A registration and a login, which got pair 0, and then what follows.
fn after_a_login(rest: &[(Call, Option<Answer>, u64, u64)]) -> Vec<Operation> {
    let begin = [(Call::Register, REGISTERED, 1, 2), (Call::Login, pair(0), 3, 4)];
    let all = begin.iter().chain(rest);
    all.map(|&(call, answer, from, to)| operation(call, answer, from, to)).collect()
}

fn check_all(operations: &[Operation]) -> bool {
    check(operations, Some(0), &[], GRACE).is_ok()
}

fn is_sound(rest: &[(Call, Option<Answer>, u64, u64)], kills: &[u64]) -> bool {
    check(&after_a_login(rest), Some(0), kills, GRACE).is_ok()
}

#[test]
fn a_token_has_one_successor() {
    let twice = |second| {
        [
            (Call::Refresh(token(0)), pair(1), 10, 20),
            (Call::Refresh(token(0)), pair(second), 11, 21),
        ]
    };
    assert!(is_sound(&twice(1), &[]));
    assert!(!is_sound(&twice(2), &[]));
}

#[test]
fn a_replay_is_answered_until_the_successor_is_exchanged_or_the_grace_is_over() {
    let rotated = (Call::Refresh(token(0)), pair(1), 10, 20);
    let exchanged = (Call::Refresh(token(1)), pair(2), 30, 40);
    let replay = |answer, at| (Call::Refresh(token(0)), answer, at, at + 10);
    assert!(is_sound(&[rotated, replay(pair(1), 50)], &[]));
    assert!(!is_sound(&[rotated, replay(NO, 50)], &[]));
    assert!(!is_sound(&[rotated, exchanged, replay(pair(1), 50)], &[]));
    assert!(!is_sound(&[rotated, replay(pair(1), LATER)], &[]));
    assert!(is_sound(&[rotated, replay(NO, LATER)], &[]));
    let at_the_end = 1_000_000;
    for answer in [pair(1), NO] {
        assert!(is_sound(&[rotated, replay(answer, at_the_end)], &[]));
    }
}

#[test]
fn reuse_ends_the_session() {
    let reused = [
        (Call::Refresh(token(0)), pair(1), 10, 20),
        (Call::Refresh(token(0)), NO, LATER, LATER + 10),
    ];
    let then = |answer| {
        let [rotated, reused] = reused;
        [rotated, reused, (Call::Check(token(1)), answer, LATER + 20, LATER + 30)]
    };
    assert!(is_sound(&then(NO), &[]));
    assert!(!is_sound(&then(YES), &[]));
}

#[test]
fn a_session_that_has_ended_stays_dead_also_after_a_kill() {
    let endings = [
        Call::Logout(token(0)),
        Call::RevokeAccess(token(0)),
        Call::RevokeRefresh(token(0)),
        Call::End(0),
        Call::Disable(0),
        Call::Delete(0),
    ];
    for ending in endings {
        for kills in [&[][..], &[25]] {
            let then = |answer| [(ending, YES, 10, 20), (Call::Check(token(0)), answer, 30, 40)];
            assert!(is_sound(&then(NO), kills), "{ending}");
            assert!(!is_sound(&then(YES), kills), "{ending}");
        }
    }
}

#[test]
fn a_session_dies_of_nothing() {
    assert!(is_sound(&[(Call::Check(token(0)), YES, 10, 20)], &[]));
    assert!(!is_sound(&[(Call::Check(token(0)), NO, 10, 20)], &[15]));
    assert!(is_sound(&[(Call::Listed(0), YES, 10, 20)], &[]));
    assert!(!is_sound(&[(Call::Listed(0), NO, 10, 20)], &[]));
}

#[test]
fn two_logouts_at_once_may_both_be_let_in_and_the_second_of_two_may_not() {
    let two =
        |from| [(Call::Logout(token(0)), YES, 10, 20), (Call::Logout(token(0)), YES, from, 40)];
    assert!(is_sound(&two(15), &[]));
    assert!(!is_sound(&two(21), &[]));
}

#[test]
fn a_registration_that_was_answered_is_not_lost() {
    let again = |answer| [(Call::Register, answer, 30, 40)];
    for kills in [&[][..], &[25]] {
        assert!(is_sound(&again(NO), kills));
        assert!(!is_sound(&again(Some(Answer::User(1))), kills));
    }
    let freed = [(Call::Delete(0), YES, 10, 20), (Call::Register, Some(Answer::User(1)), 30, 40)];
    assert!(is_sound(&freed, &[]));
}

#[test]
fn what_was_not_answered_happened_before_the_kill_or_never() {
    let logout = (Call::Logout(token(0)), None, 10, 50);
    let check = |answer, at| (Call::Check(token(0)), answer, at, at + 10);
    for answer in [YES, NO] {
        assert!(is_sound(&[logout, check(answer, 60)], &[50]), "{answer:?}");
    }
    assert!(!is_sound(&[logout, check(YES, 60), check(NO, 80)], &[50]));
    // Seen on its way to the disk, and taken back by the kill.
    assert!(is_sound(&[logout, check(NO, 20), check(YES, 60)], &[50]));
    assert!(!is_sound(&[logout, check(NO, 20), check(YES, 40)], &[50]));
}

#[test]
fn an_answer_makes_all_that_came_before_it_last() {
    let logout = (Call::Logout(token(0)), None, 10, 50);
    let revoke = (Call::RevokeRefresh(token(0)), YES, 20, 30);
    assert!(!is_sound(&[logout, revoke, (Call::Check(token(0)), YES, 60, 70)], &[50]));
}

#[test]
fn a_pair_whose_answer_was_lost_is_given_to_a_replay_and_to_no_other() {
    let lost = (Call::Refresh(token(0)), None, 10, 50);
    let replay = |answer, at| (Call::Refresh(token(0)), answer, at, at + 10);
    assert!(is_sound(&[lost, replay(pair(1), 60), replay(pair(1), 80)], &[50]));
    assert!(!is_sound(&[lost, replay(pair(1), 60), replay(pair(2), 80)], &[50]));
    assert!(!is_sound(&[lost, replay(pair(1), 60), replay(pair(1), LATER)], &[50]));
}

#[test]
fn enabling_revives_nothing() {
    let toggled = [(Call::Disable(0), YES, 10, 20), (Call::Enable(0), YES, 30, 40)];
    let check = |answer| [&toggled[..], &[(Call::Check(token(0)), answer, 50, 60)]].concat();
    assert!(is_sound(&check(NO), &[]));
    assert!(!is_sound(&check(YES), &[]));
    let login = |answer| [&toggled[..1], &[(Call::Login, answer, 22, 28)]].concat();
    assert!(is_sound(&login(NO), &[]));
    assert!(!is_sound(&login(OTHER), &[]));
}

#[test]
fn of_an_enabling_and_a_disabling_at_once_either_may_come_last() {
    let both = [(Call::Disable(0), YES, 10, 20), (Call::Enable(0), YES, 15, 25)];
    for login in [OTHER, NO] {
        assert!(is_sound(&[both[0], both[1], (Call::Login, login, 30, 40)], &[]));
    }
    let two = |second| [both[0], both[1], (Call::Login, NO, 30, 40), (Call::Login, second, 50, 60)];
    assert!(is_sound(&two(NO), &[]));
    assert!(!is_sound(&two(OTHER), &[]));
}

#[test]
fn a_session_opened_while_its_user_is_disabled_does_not_outlive_that() {
    let rest = |answer| {
        let disabled = operation(Call::Disable(0), YES, 3, 20);
        let login = operation(Call::Login, pair(0), 5, 15);
        let register = operation(Call::Register, REGISTERED, 1, 2);
        let check = operation(Call::Check(token(0)), answer, 30, 40);
        check_all(&[register, disabled, login, check])
    };
    assert!(rest(NO));
    assert!(!rest(YES));
}
