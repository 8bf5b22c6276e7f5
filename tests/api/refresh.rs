//! Exchanging refresh tokens, at `/refresh` and at `/token`: rotation, deadlines, scopes, roles.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Call, NEW_PASSWORD, NOW, PASSWORD, REFRESH_TTL, SECOND, SESSION_TTL, TestServer, just_before,
};

/// Exchanges `token` at `/token`.
#[track_caller]
fn at_token<'a>(server: &'a TestServer, token: &str, more: &[(&str, &str)]) -> Call<'a> {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    fields.extend_from_slice(more);
    server.post("/token").form(&fields)
}

#[tokio::test]
async fn a_refresh_replaces_both_tokens_and_keeps_the_session() {
    let server = TestServer::start().await;
    let mut pair = server.user("alice").await;
    for at_refresh in [true, false] {
        server.wait(60 * SECOND);
        let call = if at_refresh {
            server.refresh(&pair.refresh)
        } else {
            at_token(&server, &pair.refresh, &[])
        };
        let next = call.await.pair();
        let (was, is) = (pair.access_claims(), next.access_claims());
        assert_ne!(was["jti"], is["jti"]);
        assert_ne!(pair.refresh_claims()["jti"], next.refresh_claims()["jti"]);
        assert_eq!(was["sid"], is["sid"]);
        assert_eq!(is["iat"], was["iat"].as_u64().unwrap() + 60);
        assert_eq!(next.body["expires_in"], 900);
        assert!(server.accepts(&next.access).await);
        pair = next;
    }
}

#[tokio::test]
async fn a_dead_or_foreign_refresh_token_is_refused_at_both() {
    let server = TestServer::start().await;
    let foreign = TestServer::with(|settings| settings.seed = 2).await.user("alice").await;
    let own = server.user("alice").await;
    let mut tampered = own.refresh.clone();
    tampered.replace_range(..1, "f");
    server.post("/logout").bearer(&own.access).await.ok(200);
    for token in ["hunter2", "a.b.c", &foreign.refresh, &tampered, &own.refresh] {
        let body = server.refresh(token).await.refused(401, "invalid_grant");
        assert_eq!(body["error"], "invalid_grant");
        let body = at_token(&server, token, &[]).await.refused(400, "invalid_grant");
        assert_eq!(body["error"], "invalid_grant");
    }
}

#[tokio::test]
async fn an_access_token_is_no_refresh_token_and_its_session_lives_on() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    at_token(&server, &pair.access, &[]).await.refused(400, "invalid_grant");
    server.refresh(&pair.access).await.refused(401, "invalid_grant");
    assert!(server.accepts(&pair.access).await);
    server.refresh(&pair.refresh).await.pair();
}

#[tokio::test]
async fn a_session_ends_at_its_idle_deadline_and_not_before() {
    for (late, alive) in
        [(just_before(REFRESH_TTL), true), (REFRESH_TTL, false), (REFRESH_TTL + SECOND, false)]
    {
        let server = TestServer::start().await;
        let pair = server.user("alice").await;
        server.wait(late);
        let answer = server.refresh(&pair.refresh).await;
        assert_eq!(answer.status, if alive { 200 } else { 401 }, "{late:?}");
    }
}

#[tokio::test]
async fn a_refresh_moves_the_idle_deadline() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    server.wait(just_before(REFRESH_TTL));
    let pair = server.refresh(&pair.refresh).await.pair();
    server.wait(just_before(REFRESH_TTL));
    server.refresh(&pair.refresh).await.pair();
}

#[tokio::test]
async fn a_session_ends_at_its_absolute_deadline_however_used_it_is() {
    for (left, alive) in [(SECOND, true), (Duration::ZERO, false)] {
        let server = TestServer::start().await;
        let mut pair = server.user("alice").await;
        for _ in 0..4 {
            server.wait(just_before(REFRESH_TTL));
            pair = server.refresh(&pair.refresh).await.pair();
        }
        let end = pair.access_claims()["iat"].as_u64().unwrap();
        let elapsed = Duration::from_secs(end - NOW.secs());
        server.wait(SESSION_TTL.checked_sub(elapsed + left).unwrap());
        let answer = server.refresh(&pair.refresh).await;
        assert_eq!(answer.status, if alive { 200 } else { 401 }, "{left:?}");
        if alive {
            let last = answer.pair();
            assert_eq!(last.body["expires_in"], 1, "no token outlives its session");
        }
    }
}

#[tokio::test]
async fn an_access_token_expires_at_its_deadline_and_not_before() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    server.wait(899 * SECOND);
    assert!(server.accepts(&pair.access).await);
    server.wait(SECOND);
    assert!(!server.accepts(&pair.access).await);
    server.refresh(&pair.refresh).await.pair();
}

#[tokio::test]
async fn a_narrower_scope_binds_one_access_token_and_not_the_session() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let narrow = at_token(&server, &pair.refresh, &[("scope", "me")]).await.pair();
    assert_eq!(narrow.scope(), "me");
    let write = json!({ "title": "t", "content": "c" });
    let refused = server.post("/posts").bearer(&narrow.access).json(&write).await;
    refused.refused(403, "insufficient_scope");
    let wide = at_token(&server, &narrow.refresh, &[]).await.pair();
    assert_eq!(wide.scope(), "me posts:write");
}

#[tokio::test]
async fn a_wider_or_malformed_scope_is_refused_and_uses_nothing_up() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let form = [("username", "alice"), ("password", PASSWORD), ("scope", "me")];
    let pair = server.post("/token").form(&form).await.pair();
    for scope in ["me posts:write", "users:read", "me  me", " me"] {
        let answer = at_token(&server, &pair.refresh, &[("scope", scope)]).await;
        answer.refused(400, "invalid_scope");
    }
    assert!(server.accepts(&pair.access).await);
    assert_eq!(server.refresh(&pair.refresh).await.pair().scope(), "me");
}

#[tokio::test]
async fn a_refresh_gives_the_roles_of_now() {
    let server = TestServer::start().await;
    let admin = server.user_with("root", &["admin"]).await;
    let pair = server.user_with("alice", &["user", "gateway"]).await;
    assert_eq!(pair.scope(), "introspect me posts:write");
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "roles": ["user"] });
    server.patch(&path).bearer(&admin.access).json(&edit).await.ok(200);
    let next = server.refresh(&pair.refresh).await.pair();
    assert_eq!(next.access_claims()["roles"], json!(["user"]));
    assert_eq!(next.scope(), "me posts:write");
}

#[tokio::test]
async fn after_a_disabling_the_old_tokens_are_dead_for_good() {
    let server = TestServer::start().await;
    let admin = server.user_with("root", &["admin"]).await;
    let pair = server.user("alice").await;
    let path = format!("/users/{}", server.id_of("alice").await);
    for disabled in [true, false] {
        let edit = json!({ "disabled": disabled });
        server.patch(&path).bearer(&admin.access).json(&edit).await.ok(200);
        at_token(&server, &pair.refresh, &[]).await.refused(400, "invalid_grant");
        assert!(!server.accepts(&pair.access).await);
    }
    server.login("alice").await;
}

#[tokio::test]
async fn after_a_password_change_other_sessions_are_dead_for_good() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    let change = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    server.post("/users/me/password").bearer(&own.access).json(&change).await.ok(204);
    at_token(&server, &other.refresh, &[]).await.refused(400, "invalid_grant");
    assert!(!server.accepts(&other.access).await);
    server.refresh(&own.refresh).await.pair();
}
