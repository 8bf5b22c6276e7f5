//! Attempts at passwords and tokens: how many are looked at, who waits, who is locked out, and who never is.
//!
//! A test that needs several sources asks the domain itself, which is told where a request came from; what
//! comes through the router here comes over no network, from one source.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use keystile::auth::Origin;
use keystile::auth::login::{Credentials, LoginError};
use keystile::auth::model::attempts::{Account, Attempts, Outcome, Permit};
use keystile::auth::model::audit::Event;
use keystile::auth::model::source::Source;
use keystile::auth::policy::Operator;
use keystile::password::Password;
use serde_json::json;

use crate::harness::{
    Answer, NEW_PASSWORD, NOW, PASSWORD, SECOND, TestServer, just_before, throttle,
};

pub const WRONG: &str = "hunter2 somewhere else";
pub const HOME: &str = "192.0.2.1";

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    Right,
    Wrong,
    Later(Duration),
}

impl TestServer {
    /// Tries `password` at `name` from the address `from`.
    pub async fn tried(&self, name: &str, password: &str, from: &str) -> Tried {
        let ip: IpAddr = from.parse().unwrap();
        let origin = Origin { ip: Some(ip), ..Origin::default() };
        let password = Password::new(password.to_owned());
        let credentials = Credentials { username: name.to_owned(), password, scope: None };
        match self.auth.login(credentials, &origin).await {
            Ok(_) => Tried::Right,
            Err(LoginError::InvalidCredentials) => Tried::Wrong,
            Err(LoginError::Later(later)) => Tried::Later(later.0),
            Err(other) => panic!("{other}"),
        }
    }

    /// Fails at `name` `times`, each time from another address.
    pub async fn fail_from_everywhere(&self, name: &str, times: u32) {
        for number in 0..times {
            // Slowly enough for the limit of all together.
            self.wait(SECOND);
            let from = IpAddr::from((0x0a00_0000 + number).to_be_bytes()).to_string();
            assert_eq!(self.tried(name, WRONG, &from).await, Tried::Wrong, "{number}");
        }
    }

    /// How often `event` was noted.
    pub async fn noted(&self, event: Event) -> usize {
        let events = self.store.audit(None, usize::MAX).await.unwrap();
        events.iter().filter(|noted| noted.event == event).count()
    }
}

fn names(answer: &Answer) -> Vec<String> {
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

/// A user with a session who has failed five times at a path, for each path that takes a password.
async fn fail_five_times_at(server: &TestServer, path: &str, bearer: &str) {
    for _ in 0..5 {
        at_path(server, path, bearer, WRONG).await.ok(400);
    }
}

async fn at_path(server: &TestServer, path: &str, bearer: &str, password: &str) -> Answer {
    match path {
        "/user/login" => {
            let body = json!({ "email": "alice", "password": password });
            server.post(path).json(&body).await
        }
        "/users/me/password" => {
            let body = json!({ "current_password": password, "new_password": NEW_PASSWORD });
            server.post(path).bearer(bearer).json(&body).await
        }
        "/users/me" => {
            server.delete(path).bearer(bearer).json(&json!({ "password": password })).await
        }
        _ => server.post(path).form(&[("username", "alice"), ("password", password)]).await,
    }
}

#[tokio::test]
async fn lt_01_a041_each_path_that_takes_a_password_counts_for_all_of_them() {
    let paths = [
        "/token",
        "/authenticate",
        "/auth/token",
        "/user/login",
        "/users/me/password",
        "/users/me",
    ];
    for path in paths {
        let server = TestServer::start().await;
        let alice = server.user("alice").await;
        fail_five_times_at(&server, path, &alice.access).await;
        let hashed = server.hasher.hashed();
        for other in paths {
            let answer = at_path(&server, other, &alice.access, PASSWORD).await;
            answer.refused(429, "too_many_attempts");
        }
        assert_eq!(server.hasher.hashed(), hashed, "{path}");
        server.wait(SECOND);
        server.login("alice").await;
    }
}

#[tokio::test]
async fn lt_02_a037_every_spelling_of_a_name_counts_for_one_account() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for name in ["Alice", "ALICE", "alice", "aLICE", "alicE"] {
        assert_eq!(server.tried(name, WRONG, HOME).await, Tried::Wrong);
    }
    assert_eq!(server.tried("AliCe", PASSWORD, HOME).await, Tried::Later(SECOND));
    // A name that cannot be one is nobody's, in any spelling.
    for name in ["\u{ff41}lice", "\u{ff21}lice", "\u{ff21}LICE", "\u{ff41}liCE", "\u{ff21}LIce"] {
        assert_eq!(server.tried(name, WRONG, HOME).await, Tried::Wrong);
    }
    assert_eq!(server.tried("\u{ff41}LICE", WRONG, HOME).await, Tried::Later(SECOND));
}

#[tokio::test(flavor = "multi_thread")]
async fn lt_03_a034_a_hundred_at_once_cost_a_hundred_and_five_are_looked_at() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for name in ["alice", "nobody"] {
        let hashed = server.hasher.hashed();
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.tried(name, WRONG, HOME).await })
            })
            .collect();
        let mut wrong = 0;
        for task in tasks {
            wrong += u32::from(task.await.unwrap() == Tried::Wrong);
        }
        assert_eq!((wrong, server.hasher.hashed() - hashed), (5, 5), "{name}");
        assert_eq!(server.tried(name, PASSWORD, HOME).await, Tried::Later(SECOND));
    }
}

/// Goal: a client that goes away is neither counted as failed nor keeps its place. Method: at the real cost of a
/// hash, each of more attempts than are free is dropped once it has its place, and gives it back.
#[tokio::test]
async fn lt_03_who_goes_away_before_the_answer_gives_the_place_back() {
    let server = TestServer::with(|settings| {
        settings.hashing.memory_kib = 64 * 1024;
        settings.hashing.iterations = 10;
    });
    let server = server.await;
    server.register("alice").await.ok(201);
    let account = Account::User(server.stored("alice").await.id);
    let limits = throttle().account;
    let mut expected = Attempts::default();
    for _ in 0..20 {
        assert_eq!(expected.reserve(Source::Local, &limits, NOW), Permit::Go);
        tokio::select! {
            biased;
            answer = server.login_with("alice", WRONG) => panic!("{}", answer.text),
            () = comes_to(&server, account, &expected) => {}
        }
        expected.settle(Source::Local, Outcome::Undone, &limits, NOW);
        comes_to(&server, account, &expected).await;
    }
}

/// Waits until the attempts at `account` are as expected.
pub async fn comes_to(server: &TestServer, account: Account, expected: &Attempts) {
    while server.store.attempts(account).await.unwrap() != *expected {
        tokio::task::yield_now().await;
    }
}

/// Nothing was learned of the account, but no hash is to be had for nothing.
#[tokio::test]
async fn lt_04_a035_a_hundred_failures_from_a_hundred_addresses_lock_the_password_until_unlocked() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    server.fail_from_everywhere("alice", 99).await;
    assert_eq!(server.noted(Event::AccountLocked).await, 0);
    server.fail_from_everywhere("alice", 1).await;
    assert_eq!(server.noted(Event::AccountLocked).await, 1);

    let hashed = server.hasher.hashed();
    let locked = server.login_with("alice", PASSWORD).await;
    let unknown = server.login_with("nobody", PASSWORD).await;
    let wrong = server.login_with("alice", WRONG).await;
    locked.refused(400, "invalid_grant");
    for other in [&unknown, &wrong] {
        assert_eq!(locked.constant(), other.constant());
        assert_eq!(names(&locked), names(other));
    }
    assert_eq!(server.hasher.hashed(), hashed + 3);

    let operator = Operator::checked();
    server.auth.unlock_user(&operator, "ALICE").await.unwrap();
    assert_eq!(server.noted(Event::AccountUnlocked).await, 1);
    server.login("alice").await;
}

#[tokio::test]
async fn lt_04_a_password_set_by_an_administrator_is_not_locked_any_more() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    server.register("alice").await.ok(201);
    server.fail_from_everywhere("alice", 100).await;
    server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = async |edit| server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
    edit(json!({ "full_name": "Alice" })).await;
    server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
    edit(json!({ "password": NEW_PASSWORD })).await;
    server.login_with("alice", NEW_PASSWORD).await.pair();
}

#[tokio::test]
async fn lt_05_from_the_sixth_attempt_on_it_is_429_without_hashing() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            server.login_with(name, WRONG).await.refused(400, "invalid_grant");
        }
        for secs in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            let (delay, hashed) = (Duration::from_secs(secs), server.hasher.hashed());
            server.login_with(name, PASSWORD).await.refused(429, "too_many_attempts");
            server.wait(just_before(delay));
            let refused = server.login_with(name, WRONG).await;
            refused.refused(429, "too_many_attempts");
            assert_eq!(refused.header("retry-after"), Some("1"));
            assert_eq!(server.hasher.hashed(), hashed);
            server.wait(SECOND);
            server.login_with(name, WRONG).await.refused(400, "invalid_grant");
        }
    }
    server.wait(Duration::from_secs(900));
    server.login("alice").await;
}

#[tokio::test]
async fn lt_05_successes_count_for_nothing() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for _ in 0..100 {
        assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    }
}

#[tokio::test]
async fn a033_of_two_hundred_in_a_row_five_are_looked_at() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let hashed = server.hasher.hashed();
    for number in 0..200 {
        let answer = server.login_with("alice", WRONG).await;
        if number < 5 {
            answer.refused(400, "invalid_grant");
        } else {
            answer.refused(429, "too_many_attempts");
            assert_eq!(answer.header("retry-after"), Some("1"));
        }
    }
    assert_eq!(server.hasher.hashed(), hashed + 5);
}

#[tokio::test]
async fn lt_08_a060_an_unknown_name_is_answered_exactly_as_a_known_one() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for _ in 0..12 {
        let known = server.login_with("alice", WRONG).await;
        let unknown = server.login_with("nobody", WRONG).await;
        assert_eq!(known.status, unknown.status);
        assert_eq!(known.constant(), unknown.constant());
        assert_eq!(names(&known), names(&unknown));
        assert_eq!(known.header("retry-after"), unknown.header("retry-after"));
        server.wait(Duration::from_millis(700));
    }
}

#[tokio::test]
async fn lt_09_a_success_starts_the_count_of_its_own_account_anew_and_of_no_other() {
    let server = TestServer::start().await;
    for name in ["alice", "bob"] {
        server.register(name).await.ok(201);
        for _ in 0..4 {
            assert_eq!(server.tried(name, WRONG, HOME).await, Tried::Wrong);
        }
    }
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    for (name, last) in [("alice", Tried::Wrong), ("bob", Tried::Later(SECOND))] {
        assert_eq!(server.tried(name, WRONG, HOME).await, Tried::Wrong);
        assert_eq!(server.tried(name, WRONG, HOME).await, last, "{name}");
    }
}

#[tokio::test]
async fn lt_11_nobody_is_made_to_wait_for_a_refusal() {
    let server = TestServer::start().await;
    for _ in 0..30 {
        server.login_with("nobody", WRONG).await;
        server.wait(Duration::from_secs(900));
    }
    server.login_with("nobody", WRONG).await.refused(400, "invalid_grant");
    let asked = Instant::now();
    let refused = server.login_with("nobody", WRONG).await;
    assert!(asked.elapsed() < SECOND);
    refused.refused(429, "too_many_attempts");
    assert_eq!(refused.header("retry-after"), Some("900"));
}

#[tokio::test]
async fn lt_12_a_429_says_when_to_come_back_in_the_words_of_its_endpoint() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for _ in 0..5 {
        server.login_with("alice", WRONG).await.ok(400);
    }
    server.wait(Duration::from_millis(1));
    let oauth = server.login_with("alice", WRONG).await;
    assert_eq!(oauth.refused(429, "too_many_attempts")["error"], "temporarily_unavailable");
    assert_eq!(oauth.header("retry-after"), Some("1"), "rounded up");
    let body = json!({ "email": "alice", "password": WRONG });
    let problem = server.post("/user/login").json(&body).await;
    problem.refused(429, "too_many_attempts");
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lt_13_a040_twenty_right_passwords_at_once_are_twenty_sessions() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for _ in 0..3 {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let server = Arc::clone(&server);
                tokio::spawn(async move { server.login_with("alice", PASSWORD).await.status })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 200);
        }
    }
}

#[tokio::test]
async fn a068_a_wrong_current_password_is_400_five_times_and_then_429() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    fail_five_times_at(&server, "/users/me/password", &alice.access).await;
    let sixth = at_path(&server, "/users/me/password", &alice.access, PASSWORD).await;
    sixth.refused(429, "too_many_attempts");
    assert!(server.accepts(&alice.access).await);
}

#[tokio::test]
async fn without_a_throttle_all_are_looked_at() {
    let server = TestServer::with(|settings| settings.throttle = None).await;
    server.register("alice").await.ok(201);
    for _ in 0..120 {
        assert_eq!(server.tried("alice", WRONG, HOME).await, Tried::Wrong);
    }
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
}
