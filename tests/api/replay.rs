//! A refresh token presented twice: the grace, and what is reuse.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use keystile::auth::model::audit::Event;
use serde_json::json;

use crate::harness::{GRACE, Pair, SECOND, TestServer, just_before};

/// Fails unless the session of these pairs has ended.
async fn assert_ended(server: &TestServer, pairs: &[&Pair]) {
    for pair in pairs {
        assert!(!server.accepts(&pair.access).await);
        server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
    }
}

#[tokio::test]
async fn within_the_grace_the_same_token_gets_the_same_pair() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    server.wait(60 * SECOND);
    let next = server.refresh(&first.refresh).await.pair();
    server.wait(just_before(GRACE));
    let again = server.refresh(&first.refresh).await.pair();
    for claim in ["jti", "iat", "exp", "scope", "sid"] {
        assert_eq!(again.access_claims()[claim], next.access_claims()[claim], "{claim}");
    }
    for claim in ["jti", "iat", "exp", "sid"] {
        assert_eq!(again.refresh_claims()[claim], next.refresh_claims()[claim], "{claim}");
    }
    assert_eq!(again.body["expires_in"], 900 - 29);
    assert!(server.accepts(&next.access).await);
}

#[tokio::test]
async fn a_scope_is_ignored_when_the_pair_exists_already() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let form = |scope| {
        let token = ("refresh_token", first.refresh.as_str());
        server.post("/token").form(&[("grant_type", "refresh_token"), token, ("scope", scope)])
    };
    form("me").await.pair();
    for scope in ["posts:write", "users:write", ""] {
        assert_eq!(form(scope).await.pair().scope(), "me");
    }
}

#[tokio::test]
async fn the_grace_ends_with_its_span() {
    for (span, alive) in [(just_before(GRACE), true), (GRACE, false), (GRACE + SECOND, false)] {
        let server = TestServer::start().await;
        let first = server.user("alice").await;
        server.refresh(&first.refresh).await.pair();
        server.wait(span);
        let answer = server.refresh(&first.refresh).await;
        assert_eq!(answer.status, if alive { 200 } else { 401 }, "{span:?}");
    }
}

#[tokio::test]
async fn after_the_grace_it_is_reuse_and_the_whole_session_ends() {
    let server = TestServer::start().await;
    let other = server.user("alice").await;
    let first = server.login("alice").await;
    let next = server.refresh(&first.refresh).await.pair();
    server.wait(GRACE + SECOND);
    assert!(server.accepts(&next.access).await);
    server.refresh(&first.refresh).await.refused(401, "invalid_grant");
    assert_ended(&server, &[&first, &next]).await;
    assert!(server.accepts(&other.access).await, "another session of the user lives on");
    let events = server.store.audit(None, 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.event == Event::RefreshReused).count(), 1);
}

#[tokio::test]
async fn a_token_of_two_exchanges_ago_is_reuse_even_within_the_grace() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let second = server.refresh(&first.refresh).await.pair();
    let third = server.refresh(&second.refresh).await.pair();
    server.refresh(&first.refresh).await.refused(401, "invalid_grant");
    assert_ended(&server, &[&first, &second, &third]).await;
}

#[tokio::test]
async fn replays_do_not_extend_the_grace() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    server.refresh(&first.refresh).await.pair();
    for _ in 0..3 {
        server.wait(9 * SECOND);
        server.refresh(&first.refresh).await.pair();
    }
    server.wait(9 * SECOND);
    server.refresh(&first.refresh).await.refused(401, "invalid_grant");
}

#[tokio::test]
async fn using_the_new_access_token_does_not_end_the_grace() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let next = server.refresh(&first.refresh).await.pair();
    assert!(server.accepts(&next.access).await);
    server.refresh(&first.refresh).await.pair();
}

#[tokio::test]
async fn the_replaced_access_token_is_good_within_the_grace_and_dead_after_it() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    server.refresh(&first.refresh).await.pair();
    server.wait(just_before(GRACE));
    assert!(server.accepts(&first.access).await);
    server.wait(SECOND);
    assert!(!server.accepts(&first.access).await);
}

#[tokio::test]
async fn the_end_of_a_session_kills_the_replaced_access_token_at_once() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let next = server.refresh(&first.refresh).await.pair();
    server.post("/logout").bearer(&next.access).await.ok(200);
    assert_ended(&server, &[&first, &next]).await;
}

#[tokio::test]
async fn without_a_grace_the_second_use_is_reuse() {
    let server = TestServer::with(|settings| settings.policy.refresh_grace = Duration::ZERO).await;
    let first = server.user("alice").await;
    let next = server.refresh(&first.refresh).await.pair();
    assert!(!server.accepts(&first.access).await);
    server.refresh(&first.refresh).await.refused(401, "invalid_grant");
    assert_ended(&server, &[&next]).await;
}

#[tokio::test]
async fn a_replay_carries_the_roles_of_now() {
    let server = TestServer::start().await;
    let admin = server.user_with("root", &["admin"]).await;
    let first = server.user_with("alice", &["user", "gateway"]).await;
    server.refresh(&first.refresh).await.pair();
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "roles": ["user"] });
    server.patch(&path).bearer(&admin.access).json(&edit).await.ok(200);
    let again = server.refresh(&first.refresh).await.pair();
    assert_eq!(again.access_claims()["roles"], json!(["user"]));
}

/// Opens many exchanges of one token at once: all succeed, with one successor between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_refreshes_at_once_have_one_successor() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let (server, token) = (Arc::clone(&server), first.refresh.clone());
            tokio::spawn(async move { server.refresh(&token).await.pair() })
        })
        .collect();
    let (mut access, mut refresh) = (BTreeSet::new(), BTreeSet::new());
    for call in calls {
        let pair = call.await.unwrap();
        access.insert(pair.access_claims()["jti"].to_string());
        refresh.insert(pair.refresh_claims()["jti"].to_string());
    }
    assert_eq!((access.len(), refresh.len()), (1, 1));
    let again = server.login("alice").await;
    let sessions = server.get("/users/me/sessions").bearer(&again.access).await.ok(200);
    assert_eq!(sessions.as_array().unwrap().len(), 2, "one of the refreshes, one to look");
}
