//! Logout and revocation: a session ends, whichever of its tokens is presented.

use serde_json::json;

use crate::harness::{ACCESS_TTL, Pair, TestServer};

async fn assert_dead(server: &TestServer, pair: &Pair) {
    assert!(!server.accepts(&pair.access).await);
    server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
}

#[tokio::test]
async fn logging_out_ends_the_whole_session_and_no_other() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    let answer = server.post("/logout").bearer(&own.access).await;
    assert_eq!(answer.ok(200), json!({}));
    assert_dead(&server, &own).await;
    assert!(server.accepts(&other.access).await);
    server.post("/logout").bearer(&own.access).await.refused(401, "invalid_token");
}

#[tokio::test]
async fn logging_out_takes_no_notice_of_a_body() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    let body = json!({ "sid": other.access_claims()["sid"] });
    server.post("/logout").bearer(&own.access).json(&body).await.ok(200);
    assert!(server.accepts(&other.access).await);
}

#[tokio::test]
async fn a_live_token_of_either_kind_is_revoked_with_its_session() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for hint in [None, Some("access_token"), Some("refresh_token"), Some("xyz"), Some("")] {
        for kind in ["access", "refresh"] {
            let pair = server.login("alice").await;
            let token = if kind == "access" { &pair.access } else { &pair.refresh };
            let mut form = vec![("token", token.as_str()), ("unknown", "x")];
            form.extend(hint.map(|hint| ("token_type_hint", hint)));
            let body = server.post("/revoke").form(&form).await.ok(200);
            assert_eq!(body, json!({ "msg": "Token revoked" }), "{kind} {hint:?}");
            assert_dead(&server, &pair).await;
        }
    }
}

#[tokio::test]
async fn without_a_body_the_bearer_token_is_revoked() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for kind in ["access", "refresh"] {
        let pair = server.login("alice").await;
        let token = if kind == "access" { &pair.access } else { &pair.refresh };
        let body = server.post("/revoke").bearer(token).await.ok(200);
        assert_eq!(body["msg"], "Token revoked");
        assert_dead(&server, &pair).await;
    }
}

#[tokio::test]
async fn the_token_of_the_form_goes_before_the_bearer_token() {
    let server = TestServer::start().await;
    let (named, bearer) = (server.user("alice").await, server.login("alice").await);
    let form = [("token", named.access.as_str())];
    server.post("/revoke").bearer(&bearer.access).form(&form).await.ok(200);
    assert_dead(&server, &named).await;
    assert!(server.accepts(&bearer.access).await);
}

#[tokio::test]
async fn an_unexpired_replaced_refresh_token_is_revoked_too() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let second = server.refresh(&first.refresh).await.pair();
    let third = server.refresh(&second.refresh).await.pair();
    server.post("/revoke").form(&[("token", &first.refresh)]).await.ok(200);
    assert_dead(&server, &third).await;
}

#[tokio::test]
async fn what_is_dead_or_never_lived_is_revoked_already_and_nothing_else_ends() {
    let server = TestServer::start().await;
    let foreign = TestServer::with(|settings| settings.seed = 2).await.user("alice").await;
    let ended = server.user("alice").await;
    server.post("/logout").bearer(&ended.access).await.ok(200);
    let live = server.login("alice").await;
    let expired = live.access.clone();
    server.wait(ACCESS_TTL);
    let live = server.refresh(&live.refresh).await.pair();
    let dead = ["hunter2", "a.b.c", &foreign.access, &foreign.refresh, &ended.access, &expired];
    for token in dead {
        let body = server.post("/revoke").form(&[("token", token)]).await.ok(200);
        assert_eq!(body, json!({ "msg": "Token revoked" }));
    }
    assert!(server.accepts(&live.access).await);
}

#[tokio::test]
async fn revoking_without_a_token_or_with_two_is_refused() {
    let server = TestServer::start().await;
    let form = "application/x-www-form-urlencoded";
    server.post("/revoke").await.refused(400, "invalid_request");
    for body in ["token=", "token_type_hint=access_token", "token=hunter2&token=hunter2"] {
        server.post("/revoke").body(form, body).await.refused(400, "invalid_request");
    }
    server.post("/revoke").json(&json!({ "token": "x" })).await.refused(400, "invalid_request");
    server
        .post("/revoke")
        .header("authorization", "Basic Og==")
        .await
        .refused(400, "invalid_request");
}
