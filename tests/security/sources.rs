//! Attempts at passwords by where they come from: how many of one source, and of all together, are looked at, and
//! who is not kept out by what others do.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use keystile::auth::model::attempts::{Account, Attempts, Outcome, Permit};
use keystile::auth::model::audit::Event;
use keystile::auth::model::source::Source;

use crate::harness::{NOW, PASSWORD, SECOND, TestServer, throttle};
use crate::throttle::{HOME, Tried, WRONG, comes_to};

#[tokio::test]
async fn lt_06_a039_one_source_at_a_thousand_names_is_stopped_after_sixty() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    // One /64 is one source.
    for number in 0..60 {
        let from = format!("2001:db8::{number:x}");
        assert_eq!(server.tried(&format!("n{number}"), WRONG, &from).await, Tried::Wrong);
    }
    let hashed = server.hasher.hashed();
    for number in 60..1000 {
        let tried = server.tried(&format!("n{number}"), WRONG, "2001:db8::ffff").await;
        assert_eq!(tried, Tried::Later(SECOND));
    }
    assert_eq!(server.hasher.hashed(), hashed);
    assert_eq!(server.tried("alice", PASSWORD, "2001:db8:0:1::1").await, Tried::Right);
    server.wait(SECOND);
    assert_eq!(server.tried("n1000", WRONG, "2001:db8::1").await, Tried::Wrong);
    assert!(matches!(server.tried("n1001", WRONG, "2001:db8::1").await, Tried::Later(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lt_06_as_many_at_once_are_looked_at_as_in_a_row() {
    let server = Arc::new(TestServer::start().await);
    let mut attempts = tokio::task::JoinSet::new();
    let hashed = server.hasher.hashed();
    for number in 0..180 {
        let server = Arc::clone(&server);
        attempts.spawn(async move { server.tried(&format!("n{number}"), WRONG, HOME).await });
    }
    let wrong = attempts.join_all().await.into_iter().filter(|tried| *tried == Tried::Wrong);
    assert_eq!(wrong.count(), 60);
    assert_eq!(server.hasher.hashed(), hashed + 60);
}

#[tokio::test]
async fn lt_06_a039_all_sources_together_are_stopped_and_a_known_one_is_not() {
    let server = TestServer::with(|settings| {
        let throttle = settings.throttle.as_mut().unwrap();
        throttle.failures_per_second = NonZeroU32::new(20).unwrap();
    });
    let server = server.await;
    server.register("alice").await.ok(201);
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    for number in 0..20 {
        let from = format!("198.51.100.{number}");
        assert_eq!(server.tried(&format!("n{number}"), WRONG, &from).await, Tried::Wrong);
    }
    let later = Tried::Later(Duration::from_millis(50));
    assert_eq!(server.tried("nobody", WRONG, "198.51.100.99").await, later);
    assert_eq!(server.tried("alice", PASSWORD, "198.51.100.99").await, later);
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    server.wait(Duration::from_millis(50));
    assert_eq!(server.tried("alice", PASSWORD, "198.51.100.99").await, Tried::Right);
}

#[tokio::test]
async fn lt_07_a036_strangers_lock_no_known_source_out_and_end_no_session() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    server.fail_from_everywhere("alice", 99).await;
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    server.fail_from_everywhere("alice", 100).await;
    assert_eq!(server.noted(Event::AccountLocked).await, 1);
    assert_eq!(server.tried("alice", PASSWORD, "198.51.100.1").await, Tried::Wrong);
    assert_eq!(server.tried("alice", PASSWORD, HOME).await, Tried::Right);
    assert_eq!(server.tried("alice", PASSWORD, "198.51.100.2").await, Tried::Wrong);
    assert!(server.accepts(&alice.access).await);
    let refreshed = server.refresh(&alice.refresh).await.pair();
    assert!(server.accepts(&refreshed.access).await);
}

#[tokio::test]
async fn lt_06_who_goes_away_while_a_password_is_hashed_counts_against_the_source() {
    let server = TestServer::with(|settings| {
        settings.hashing.memory_kib = 64 * 1024;
        settings.hashing.iterations = 10;
        let throttle = settings.throttle.as_mut().unwrap();
        throttle.source_failures_per_minute = NonZeroU32::new(20).unwrap();
    });
    let server = server.await;
    server.register("alice").await.ok(201);
    let account = Account::User(server.stored("alice").await.id);
    let limits = throttle().account;
    let (mut expected, mut gone) = (Attempts::default(), 0);
    let answer = loop {
        assert_eq!(expected.reserve(Source::Local, &limits, NOW), Permit::Go);
        let hashing = async {
            comes_to(&server, account, &expected).await;
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            answer = server.login_with("alice", WRONG) => break answer,
            () = hashing => gone += 1,
        }
        expected.settle(Source::Local, Outcome::Undone, &limits, NOW);
        comes_to(&server, account, &expected).await;
        assert!(gone < 500, "nobody who went away was counted");
    };
    answer.refused(429, "too_many_attempts");
    assert!(gone >= 20, "{gone}");
}
