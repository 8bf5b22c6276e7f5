//! One's own sessions: seeing them, and ending one, the others or all.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, Pair, REFRESH_TTL, SECOND, TestServer};

async fn list(server: &TestServer, pair: &Pair) -> Vec<Value> {
    let body = server.get("/users/me/sessions").bearer(&pair.access).await.ok(200);
    body.as_array().unwrap().clone()
}

fn path(pair: &Pair) -> String {
    format!("/users/me/sessions/{}", pair.access_claims()["sid"].as_str().unwrap())
}

#[tokio::test]
async fn the_sessions_are_listed_with_where_they_came_from() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let login = server.login_with("alice", PASSWORD).header("user-agent", "curl/8.0");
    let own = login.await.pair();
    server.wait(SECOND);
    let other = server.login_with("alice", PASSWORD).header("user-agent", &"x".repeat(200));
    other.await.pair();
    let sessions = list(&server, &own).await;
    assert_eq!(sessions.len(), 2);
    let expected = json!({
        "id": own.access_claims()["sid"],
        "created_at": "2027-01-15T08:00:00.000Z",
        "last_used_at": "2027-01-15T08:00:00.000Z",
        "expires_at": "2027-01-22T08:00:00.000Z",
        "ip": null,
        "user_agent": "curl/8.0",
        "scope": "me posts:write",
        "current": true,
    });
    assert_eq!(sessions[0], expected);
    assert_eq!(sessions[1]["user_agent"].as_str().unwrap().len(), 128);
    assert_eq!(sessions.iter().filter(|session| session["current"] == true).count(), 1);
}

#[tokio::test]
async fn a_refresh_moves_the_last_use_and_the_deadline() {
    let server = TestServer::start().await;
    let own = server.user("alice").await;
    server.wait(3600 * SECOND);
    let own = server.refresh(&own.refresh).await.pair();
    let session = &list(&server, &own).await[0];
    assert_eq!(session["created_at"], "2027-01-15T08:00:00.000Z");
    assert_eq!(session["last_used_at"], "2027-01-15T09:00:00.000Z");
    assert_eq!(session["expires_at"], "2027-01-22T09:00:00.000Z");
}

/// A request notes its time off its own path; the change that follows is written after it.
#[tokio::test]
async fn a_request_moves_the_last_use_at_most_once_a_minute() {
    for (idle, last_used_at) in [(59, "2027-01-15T08:00:00.000Z"), (60, "2027-01-15T08:01:00.000Z")]
    {
        let server = TestServer::start().await;
        let own = server.user("alice").await;
        server.wait(idle * SECOND);
        assert!(server.accepts(&own.access).await);
        server.register("bob").await.ok(201);
        assert_eq!(list(&server, &own).await[0]["last_used_at"], last_used_at);
    }
}

#[tokio::test]
async fn an_expired_session_is_not_listed() {
    let server = TestServer::start().await;
    server.user("alice").await;
    server.wait(REFRESH_TTL);
    let own = server.login("alice").await;
    assert_eq!(list(&server, &own).await.len(), 1);
}

#[tokio::test]
async fn one_session_is_ended_and_it_may_be_the_current_one() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    server.delete(&path(&other)).bearer(&own.access).await.ok(204);
    assert!(!server.accepts(&other.access).await);
    server.delete(&path(&other)).bearer(&own.access).await.refused(404, "not_found");
    server.delete(&path(&own)).bearer(&own.access).await.ok(204);
    assert!(!server.accepts(&own.access).await);
}

#[tokio::test]
async fn another_users_session_looks_like_none() {
    let server = TestServer::start().await;
    let (bob, alice) = (server.user("bob").await, server.user("alice").await);
    let strange = server.delete(&path(&bob)).bearer(&alice.access).await;
    strange.refused(404, "not_found");
    for id in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "hunter2", "%00"] {
        let missing = format!("/users/me/sessions/{id}");
        let missing = server.delete(&missing).bearer(&alice.access).await;
        assert_eq!(missing.constant(), strange.constant());
    }
    assert!(server.accepts(&bob.access).await);
}

#[tokio::test]
async fn all_others_are_ended_or_all() {
    let server = TestServer::start().await;
    let (bob, first) = (server.user("bob").await, server.user("alice").await);
    let (second, own) = (server.login("alice").await, server.login("alice").await);
    server.delete("/users/me/sessions").bearer(&own.access).await.ok(204);
    for other in [&first, &second] {
        assert!(!server.accepts(&other.access).await);
        server.refresh(&other.refresh).await.refused(401, "invalid_grant");
    }
    assert_eq!(list(&server, &own).await.len(), 1);
    server.delete("/users/me/sessions?current=false").bearer(&own.access).await.ok(204);
    assert!(server.accepts(&own.access).await);
    server.delete("/users/me/sessions?current=true").bearer(&own.access).await.ok(204);
    assert!(!server.accepts(&own.access).await);
    assert!(server.accepts(&bob.access).await);
    server.login("alice").await;
}

#[tokio::test]
async fn where_there_are_no_others_ending_them_is_not_written_down() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    let events = async || server.store.audit(None, 100).await.unwrap().len();
    let before = events().await;
    for _ in 0..3 {
        server.delete("/users/me/sessions").bearer(&own.access).await.ok(204);
    }
    assert!(!server.accepts(&other.access).await);
    assert_eq!(events().await, before + 1);
}

#[tokio::test]
async fn a_parameter_that_is_no_truth_value_is_refused() {
    let server = TestServer::start().await;
    let own = server.user("alice").await;
    let answer = server.delete("/users/me/sessions?current=hunter2").bearer(&own.access).await;
    let body = answer.refused(422, "invalid_parameter");
    assert!(body["detail"].as_str().unwrap().contains("current"));
    assert!(server.accepts(&own.access).await);
}
