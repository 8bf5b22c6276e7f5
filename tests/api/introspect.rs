//! Introspection (RFC 7662): who may ask, and what is said of which token.

use serde_json::{Value, json};

use crate::harness::{ACCESS_TTL, ISSUER, NOW, Pair, SECOND, TestServer, just_before};

async fn ask(server: &TestServer, asker: &Pair, token: &str) -> Value {
    let call = server.post("/introspect").bearer(&asker.access).form(&[("token", token)]);
    call.await.ok(200)
}

#[tokio::test]
async fn a_live_access_token_is_described() {
    let server = TestServer::start().await;
    let (asker, pair) = (server.user_with("gate", &["gateway"]).await, server.user("alice").await);
    let claims = pair.access_claims();
    let expected = json!({
        "active": true,
        "scope": "me posts:write",
        "client_id": "keystile",
        "username": "alice",
        "token_type": "Bearer",
        "exp": NOW.secs() + 900,
        "iat": NOW.secs(),
        "nbf": NOW.secs(),
        "sub": claims["sub"],
        "aud": "keystile",
        "iss": ISSUER,
        "jti": claims["jti"],
        "sid": claims["sid"],
    });
    assert_eq!(ask(&server, &asker, &pair.access).await, expected);
    let form = [("token", pair.access.as_str()), ("token_type_hint", "refresh_token"), ("x", "y")];
    let hinted = server.post("/introspect").bearer(&asker.access).form(&form).await.ok(200);
    assert_eq!(hinted, expected, "a hint is a hint");
}

#[tokio::test]
async fn anything_but_a_live_access_token_is_inactive_and_no_more_is_said() {
    let server = TestServer::start().await;
    let gate = server.user_with("gate", &["gateway"]).await;
    let foreign = TestServer::with(|settings| settings.seed = 2).await.user("alice").await;
    let (live, ended) = (server.user("alice").await, server.login("alice").await);
    server.post("/logout").bearer(&ended.access).await.ok(200);
    let disabled = server.user("bob").await;
    let admin = server.user_with("root", &["admin"]).await;
    let path = format!("/users/{}", server.id_of("bob").await);
    server.patch(&path).bearer(&admin.access).json(&json!({ "disabled": true })).await.ok(200);
    let claims = live.access_claims();
    let dead = [
        "hunter2",
        "a.b.c",
        &foreign.access,
        &foreign.refresh,
        &ended.access,
        &disabled.access,
        &live.refresh,
        claims["jti"].as_str().unwrap(),
    ];
    for token in dead {
        assert_eq!(ask(&server, &gate, token).await, json!({ "active": false }), "{token}");
    }
    assert_eq!(ask(&server, &gate, &live.access).await["active"], true);
}

#[tokio::test]
async fn an_expired_access_token_is_inactive_from_its_deadline_on() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    server.wait(just_before(ACCESS_TTL));
    let gate = server.user_with("gate", &["gateway"]).await;
    assert_eq!(ask(&server, &gate, &pair.access).await["active"], true);
    server.wait(SECOND);
    assert_eq!(ask(&server, &gate, &pair.access).await, json!({ "active": false }));
}

#[tokio::test]
async fn the_scope_that_is_told_is_what_the_user_still_has() {
    let server = TestServer::start().await;
    let admin = server.user_with("root", &["admin"]).await;
    let pair = server.user_with("alice", &["user", "gateway"]).await;
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "roles": ["user"] });
    server.patch(&path).bearer(&admin.access).json(&edit).await.ok(200);
    assert_eq!(ask(&server, &admin, &pair.access).await["scope"], "me posts:write");
}

#[tokio::test]
async fn asking_takes_the_scope_and_a_form_with_one_token() {
    let server = TestServer::start().await;
    let (gate, alice) = (server.user_with("gate", &["gateway"]).await, server.user("alice").await);
    let form = [("token", alice.access.as_str())];
    let refused = server.post("/introspect").bearer(&alice.access).form(&form).await;
    assert_eq!(refused.refused(403, "insufficient_scope")["error"], "insufficient_scope");
    server.post("/introspect").form(&form).await.refused(401, "not_authenticated");
    for body in ["", "token=", "token_type_hint=x", "token=hunter2&token=hunter2"] {
        let call = server.post("/introspect").bearer(&gate.access);
        let answer = call.body("application/x-www-form-urlencoded", body).await;
        answer.refused(400, "invalid_request");
    }
    let json = json!({ "token": "hunter2" });
    let answer = server.post("/introspect").bearer(&gate.access).json(&json).await;
    answer.refused(400, "invalid_request");
}
