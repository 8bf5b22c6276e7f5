//! How a bearer token is presented, and which spellings of one are none.

use serde_json::json;

use crate::harness::{ISSUER, PASSWORD, TestServer};

#[tokio::test]
async fn a_doubled_prefix_counts_as_one_in_any_case() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for prefix in ["Bearer", "bearer", "BEARER", "Bearer Bearer", "bearer Bearer"] {
        let call = server.get("/users/me");
        call.header("authorization", &format!("{prefix} {}", pair.access)).await.ok(200);
    }
    let next = server.post("/refresh");
    next.header("authorization", &format!("Bearer Bearer {}", pair.refresh)).await.pair();
}

#[tokio::test]
async fn another_scheme_is_no_token() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for value in ["Basic Og==", "Basic aHVudGVyMg==", "hunter2", &pair.access, "Bearer"] {
        let answer = server.get("/users/me").header("authorization", value).await;
        answer.refused(401, "not_authenticated");
        assert!(!answer.header("www-authenticate").unwrap().contains("error"));
    }
}

#[tokio::test]
async fn a_token_anywhere_else_is_nobodys() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let path = format!("/users/me?access_token={}", pair.access);
    server.get(&path).await.refused(401, "not_authenticated");
    for (name, value) in
        [("cookie", format!("session={}", pair.access)), ("x-user-id", "1".to_owned())]
    {
        let answer = server.get("/users/me").header(name, &value).await;
        answer.refused(401, "not_authenticated");
    }
    let form = [("access_token", pair.access.as_str())];
    server.post("/logout").form(&form).await.refused(401, "not_authenticated");
}

#[tokio::test]
async fn two_authorization_headers_are_refused_even_if_equal() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for second in [pair.access.as_str(), "hunter2"] {
        for path in ["/users/me", "/", "/verify", "/items/"] {
            let answer = server.get(path).bearer(&pair.access).bearer(second).await;
            answer.refused(400, "ambiguous_credentials");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_request\""));
        }
        let answer = server.refresh(&pair.refresh).bearer(second).await;
        assert_eq!(answer.refused(400, "ambiguous_credentials")["error"], "invalid_request");
        let answer = server.post("/revoke").bearer(&pair.access).bearer(second).await;
        answer.refused(400, "ambiguous_credentials");
    }
    assert!(server.accepts(&pair.access).await);
}

#[tokio::test]
async fn every_other_spelling_of_a_token_is_refused() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let token = &pair.access;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let payload = head.split('.').nth(1).unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    let wrong = [
        String::new(),
        format!("{token}="),
        format!("{token}."),
        format!("{token}.x"),
        format!(".{token}"),
        format!("{token} x"),
        format!("{head}."),
        head.to_owned(),
        format!("{none}.{payload}."),
        format!("{none}.{payload}.{signature}"),
        token.replace('.', "%2E"),
        format!("{head}.{}", signature.chars().rev().collect::<String>()),
        "x".repeat(4097),
        ".".repeat(10_000),
    ];
    for token in wrong {
        let answer = server.get("/users/me").bearer(&token).await;
        answer.refused(401, "invalid_token");
        assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    }
    assert!(server.accepts(token).await);
}

#[tokio::test]
async fn a_token_of_another_issuer_or_audience_is_refused_though_its_key_is_ours() {
    let ours = TestServer::start().await;
    let pair = ours.user("alice").await;
    assert!(ours.accepts(&pair.access).await);
    for (issuer, audience) in [("https://other.example", "keystile"), (ISSUER, "other")] {
        let other = TestServer::with(|settings| {
            settings.policy.issuer = issuer.to_owned();
            settings.policy.audience = audience.to_owned();
        });
        let other = other.await;
        let same = other.user("alice").await;
        assert_eq!(same.access_header()["kid"], pair.access_header()["kid"]);
        assert!(!ours.accepts(&same.access).await);
        assert!(!other.accepts(&pair.access).await);
    }
}

#[tokio::test]
async fn a_token_dies_with_its_user_though_the_name_lives_on() {
    let server = TestServer::start().await;
    let old = server.user("alice").await;
    let body = json!({ "password": PASSWORD });
    server.delete("/users/me").bearer(&old.access).json(&body).await.ok(204);
    let new = server.user("alice").await;
    assert_ne!(old.access_claims()["sub"], new.access_claims()["sub"]);
    assert!(!server.accepts(&old.access).await);
    server.refresh(&old.refresh).await.refused(401, "invalid_grant");
    assert!(server.accepts(&new.access).await);
}
