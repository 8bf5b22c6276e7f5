//! What a source may do besides trying passwords: present made-up tokens, and register.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use crate::harness::TestServer;

#[tokio::test]
async fn rv_07_made_up_tokens_are_throttled_and_a_real_one_is_revoked_all_the_same() {
    let server = TestServer::start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    server.post("/logout").bearer(&bob.access).await.ok(200);
    for number in 0..1000 {
        let answer = server.post("/revoke").form(&[("token", &format!("a.b.{number}"))]).await;
        if number < 60 {
            answer.ok(200);
        } else {
            answer.refused(429, "too_many_attempts");
        }
    }
    // What was real once is dead, not made up.
    server.post("/revoke").form(&[("token", &bob.access)]).await.ok(200);
    server.post("/revoke").form(&[("token", &alice.refresh)]).await.ok(200);
    assert!(!server.accepts(&alice.access).await);
    server.login("alice").await;
}

#[tokio::test]
async fn a102_a_thousand_random_tokens_are_throttled_and_a_live_one_is_told_of_all_the_same() {
    let server = TestServer::start().await;
    let gateway = server.user_with("gateway", &["gateway"]).await;
    let alice = server.user("alice").await;
    let about =
        |token: &str| server.post("/introspect").bearer(&gateway.access).form(&[("token", token)]);
    for number in 0..1000 {
        let forged = format!("{}{number}", &alice.access[..alice.access.len() - 4]);
        let answer = about(&forged).await;
        if number < 60 {
            assert_eq!(answer.ok(200), json!({ "active": false }));
        } else {
            answer.refused(429, "too_many_attempts");
        }
    }
    assert_eq!(about(&alice.access).await.ok(200)["active"], true);
    assert_eq!(about(&alice.refresh).await.ok(200), json!({ "active": false }));
}

#[tokio::test]
async fn en_05_a_source_registers_so_often_and_no_more_taken_names_included() {
    let server = TestServer::with(|settings| {
        let throttle = settings.throttle.as_mut().unwrap();
        throttle.registrations_per_hour = NonZeroU32::new(200).unwrap();
    });
    let server = server.await;
    server.register("alice").await.ok(201);
    for number in 0..199 {
        let hashed = server.hasher.hashed();
        if number % 2 == 0 {
            server.register("alice").await.refused(409, "username_taken");
        } else {
            server.register(&format!("n{number}")).await.ok(201);
        }
        assert_eq!(server.hasher.hashed(), hashed + 1, "a taken name costs what a free one does");
    }
    let hashed = server.hasher.hashed();
    for name in ["alice", "new"] {
        let refused = server.register(name).await;
        refused.refused(429, "too_many_attempts");
        assert_eq!(refused.header("retry-after"), Some("18"));
    }
    assert_eq!(server.hasher.hashed(), hashed);
    server.register("!").await.refused(422, "invalid_value");
    server.wait(Duration::from_secs(18));
    server.register("new").await.ok(201);
}
