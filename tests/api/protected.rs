//! What any live access token opens: `/verify`, `/`, `/items/`, and `/admin` with its role.

use keystile::auth::model::username::NamePolicy;
use serde_json::json;

use crate::harness::{PASSWORD, TestServer};

#[tokio::test]
async fn a_proxy_is_told_whose_request_it_is() {
    let server = TestServer::start().await;
    let pair = server.user_with("alice", &["user", "manager"]).await;
    let answer = server.get("/verify").bearer(&pair.access).await;
    answer.ok(204);
    let id = server.id_of("alice").await;
    assert_eq!(answer.header("x-auth-subject"), Some(id.as_str()));
    assert_eq!(answer.header("x-auth-user"), Some("alice"));
    assert_eq!(answer.header("x-auth-roles"), Some("manager,user"));
    assert_eq!(answer.header("x-auth-scope"), Some("me posts:write users:read users:write"));
}

#[tokio::test]
async fn a_name_beyond_ascii_is_percent_encoded_for_a_proxy() {
    let server = TestServer::with(|settings| settings.policy.names = NamePolicy::Unicode).await;
    let pair = server.user("Jürgen").await;
    let answer = server.get("/verify").bearer(&pair.access).await;
    assert_eq!(answer.header("x-auth-user"), Some("j%C3%BCrgen"));
}

#[tokio::test]
async fn a_proxy_may_demand_scopes_and_a_role() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let verify = |query: &str| server.get(&format!("/verify?{query}")).bearer(&pair.access);
    for query in ["scope=me", "scope=me%20posts:write", "role=user", "scope=me&role=user"] {
        verify(query).await.ok(204);
    }
    for scope in ["users:read", "me%20users:read", "hunter2"] {
        let answer = verify(&format!("scope={scope}")).await;
        assert_eq!(answer.status, 403, "{scope}");
    }
    let answer = verify("scope=me%20users:read").await;
    answer.refused(403, "insufficient_scope");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"insufficient_scope\", scope=\"me users:read\""));
    verify("role=admin").await.refused(403, "forbidden");
    verify("scope=me&role=admin").await.refused(403, "forbidden");
    verify("scope=me%20%20hunter2").await.refused(400, "invalid_scope");
}

#[tokio::test]
async fn a_demand_of_a_proxy_that_cannot_be_understood_lets_nothing_through() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for query in [
        "scope=me&scope=users:write",
        "scope=me&%73cope=me",
        "role=user&role=admin",
        "roles=admin",
        "Role=user",
        "scope=me&hunter2",
        "scope=%ff",
        "scope=me&role=%",
    ] {
        let answer = server.get(&format!("/verify?{query}")).bearer(&pair.access).await;
        answer.refused(400, "invalid_request");
    }
    server.get("/verify?role=").bearer(&pair.access).await.refused(403, "forbidden");
    server.get("/verify?scope").bearer(&pair.access).await.refused(400, "invalid_scope");
    server.get("/verify?scope=me&&role=user&").bearer(&pair.access).await.ok(204);
}

#[tokio::test]
async fn a_role_taken_away_is_gone_at_the_next_request() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let pair = server.user_with("alice", &["admin"]).await;
    let asks = ["/admin", "/verify?role=admin", "/verify?scope=users:read", "/users"];
    for path in asks {
        assert!(server.get(path).bearer(&pair.access).await.status < 300, "{path}");
    }
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "roles": ["user"] });
    server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
    for path in asks {
        assert_eq!(server.get(path).bearer(&pair.access).await.status, 403, "{path}");
    }
    assert!(server.accepts(&pair.access).await);
    let edit = json!({ "roles": ["admin"] });
    server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
    server.get("/admin").bearer(&pair.access).await.ok(200);
}

#[tokio::test]
async fn a_role_given_later_needs_a_new_token() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let pair = server.user("alice").await;
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "roles": ["user", "admin"] });
    server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
    server.get("/admin").bearer(&pair.access).await.refused(403, "forbidden");
    let pair = server.refresh(&pair.refresh).await.pair();
    server.get("/admin").bearer(&pair.access).await.ok(200);
}

#[tokio::test]
async fn home_is_the_account_for_a_token_and_the_docs_for_a_browser() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let home = server.get("/").bearer(&pair.access).header("accept", "text/html").await.ok(200);
    assert_eq!(home, server.get("/users/me").bearer(&pair.access).await.ok(200));
    let browser = server.get("/").header("accept", "text/html,application/xhtml+xml").await;
    assert_eq!((browser.status, browser.header("location")), (303, Some("/docs")));
    server.get("/").await.refused(401, "not_authenticated");
    server.get("/").header("accept", "application/json").await.refused(401, "not_authenticated");
    let dead = server.get("/").header("accept", "text/html").bearer("hunter2").await;
    dead.refused(401, "invalid_token");
}

#[tokio::test]
async fn items_echoes_the_token_and_nothing_but_the_token() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let items = server.get("/items/").bearer(&pair.access).await.ok(200);
    assert_eq!(items, json!({ "token": pair.access }));
    server.get("/items/").await.refused(401, "not_authenticated");
}

#[tokio::test]
async fn admin_takes_the_role_and_no_scope_makes_up_for_it() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let body = server.get("/admin").bearer(&root.access).await.ok(200);
    assert_eq!(body, json!({ "msg": "Admin data" }));
    let manager = server.user_with("manager", &["manager"]).await;
    let answer = server.get("/admin").bearer(&manager.access).await;
    answer.refused(403, "forbidden");
    assert_eq!(answer.header("www-authenticate"), None);
    server.get("/admin").await.refused(401, "not_authenticated");
}

#[tokio::test]
async fn a_token_without_any_scope_opens_what_needs_none() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let form = [("username", "alice"), ("password", PASSWORD), ("scope", "none")];
    let pair = server.post("/token").form(&form).await.pair();
    for path in ["/users/me", "/", "/items/"] {
        server.get(path).bearer(&pair.access).await.ok(200);
    }
    let verified = server.get("/verify").bearer(&pair.access).await;
    assert_eq!((verified.status, verified.header("x-auth-scope")), (204, Some("")));
    server.post("/logout").bearer(&pair.access).await.ok(200);
}
