//! What other services read, how the server is, and which routes the configuration takes away.

use std::sync::Arc;

use keystile::auth::model::scope::{RoleScopes, Scopes};
use keystile::token::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::harness::{ISSUER, PASSWORD, PUBLIC_URL, TestServer};

#[tokio::test]
async fn the_public_key_of_an_asymmetric_algorithm_is_published() {
    let server = TestServer::start().await;
    let set = server.get("/.well-known/jwks.json").await.ok(200);
    let keys = set["keys"].as_array().unwrap();
    assert_eq!(keys.len(), 1);
    let pair = server.user("alice").await;
    assert_eq!(keys[0]["kid"], pair.access_header()["kid"]);
    assert_eq!((&keys[0]["kty"], &keys[0]["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!((&keys[0]["use"], &keys[0]["alg"]), (&json!("sig"), &json!("EdDSA")));
    assert_eq!(keys[0].get("d"), None);
}

#[tokio::test]
async fn a_shared_secret_is_not_published() {
    let server = TestServer::with(|settings| settings.algorithm = Algorithm::Hs256).await;
    let set = server.get("/.well-known/jwks.json").await.ok(200);
    assert_eq!(set, json!({ "keys": [] }));
}

#[tokio::test]
async fn the_metadata_name_what_there_is() {
    let server = TestServer::with(|settings| {
        let rows = [
            ("admin", "introspect me posts:write users:read users:write"),
            ("auditor", "me reports:read"),
        ];
        let rows = rows.map(|(role, scopes)| (role.to_owned(), Scopes::parse(scopes).unwrap()));
        settings.policy.role_scopes = Arc::new(RoleScopes::new(rows.into()));
    })
    .await;
    let metadata = server.get("/.well-known/oauth-authorization-server").await.ok(200);
    let expected = json!({
        "issuer": ISSUER,
        "token_endpoint": format!("{PUBLIC_URL}/token"),
        "revocation_endpoint": format!("{PUBLIC_URL}/revoke"),
        "introspection_endpoint": format!("{PUBLIC_URL}/introspect"),
        "jwks_uri": format!("{PUBLIC_URL}/.well-known/jwks.json"),
        "grant_types_supported": ["password", "refresh_token"],
        "response_types_supported": [],
        "scopes_supported": ["introspect", "me", "posts:write", "reports:read", "users:read", "users:write"],
        "token_endpoint_auth_methods_supported": ["none"],
        "service_documentation": format!("{PUBLIC_URL}/docs"),
    });
    assert_eq!(metadata, expected);
}

#[tokio::test]
async fn without_the_password_grant_only_a_refresh_token_gets_tokens() {
    let server = TestServer::with(|settings| settings.features.password_grant = false).await;
    server.register("alice").await.ok(201);
    let before = server.hasher.hashed();
    for path in ["/token", "/authenticate", "/auth/token"] {
        let form = [("username", "alice"), ("password", PASSWORD)];
        let answer = server.post(path).form(&form).await;
        assert_eq!(
            answer.refused(400, "unsupported_grant_type")["error"],
            "unsupported_grant_type"
        );
    }
    assert_eq!(server.hasher.hashed(), before);
    let form = [("grant_type", "refresh_token"), ("refresh_token", "hunter2")];
    server.post("/token").form(&form).await.refused(400, "invalid_grant");
    let metadata = server.get("/.well-known/oauth-authorization-server").await.ok(200);
    assert_eq!(metadata["grant_types_supported"], json!(["refresh_token"]));
    server.post("/user/login").json(&json!({})).await.refused(404, "not_found");
}

#[tokio::test]
async fn without_the_docs_there_is_no_page_and_no_document() {
    let server = TestServer::with(|settings| settings.features.docs = false).await;
    for path in ["/docs", "/openapi.json", "/favicon.ico", "/docs/"] {
        server.get(path).await.refused(404, "not_found");
    }
    server.get("/").header("accept", "text/html").await.refused(401, "not_authenticated");
    let metadata = server.get("/.well-known/oauth-authorization-server").await.ok(200);
    assert_eq!(metadata.get("service_documentation"), None);
}

#[tokio::test]
async fn without_the_samples_their_routes_are_gone_and_the_others_stay() {
    let server = TestServer::with(|settings| settings.features.samples = false).await;
    let pair = server.user("alice").await;
    for path in
        ["/items/", "/items", "/posts", "/posts/01", "/admin", "/user/login", "/user/signup"]
    {
        server.get(path).bearer(&pair.access).await.refused(404, "not_found");
        server.post(path).bearer(&pair.access).await.refused(404, "not_found");
    }
    let document: Value = server.get("/openapi.json").await.ok(200);
    assert!(document["paths"].get("/posts").is_none() && document["paths"].get("/token").is_some());
    assert!(server.accepts(&pair.access).await);
}

#[tokio::test]
async fn the_docs_page_is_served_with_a_policy_of_its_own() {
    let server = TestServer::start().await;
    let page = server.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let csp = page.header("content-security-policy").unwrap();
    assert!(csp.contains("script-src 'sha256-") && csp.contains("connect-src 'self'"));
    assert_eq!(server.get("/favicon.ico").await.status, 200);
}

#[tokio::test]
async fn a_fresh_server_is_well_and_ready() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(server.get(path).await.ok(200), json!({ "status": "ok" }));
    }
}

#[tokio::test]
async fn a_closed_store_is_a_503_and_never_a_success() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    server.store.close().await;
    let answers = [
        server.get("/users/me").bearer(&pair.access).await,
        server.post("/logout").bearer(&pair.access).await,
        server.post("/revoke").form(&[("token", &pair.refresh)]).await,
        server.refresh(&pair.refresh).await,
        server.login_with("alice", PASSWORD).await,
        server.register("bob").await,
    ];
    for answer in answers {
        answer.refused(503, "unavailable");
    }
    server.get("/healthz").await.ok(200);
}
