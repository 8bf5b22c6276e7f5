//! Logging in: what an answer gives away, and what a password may be.

use std::time::Duration;

use keystile::auth::model::id::UserId;
use keystile::auth::model::user::{PasswordHash, User};
use keystile::auth::model::username::{NamePolicy, Username};
use serde_json::json;

use crate::harness::{Answer, NOW, PASSWORD, TestServer};

/// Everything of an answer but its id.
fn shape(answer: &Answer) -> (u16, Vec<String>, String) {
    let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
    names.sort_unstable();
    (answer.status, names, answer.constant().to_string())
}

/// An unknown name, and users who are well, disabled and deleted, all with a wrong password; the deleted one
/// with the right one too.
#[tokio::test]
async fn a031_every_failed_login_has_one_answer() {
    let server = TestServer::with(|settings| settings.throttle = None).await;
    let root = server.user_with("root", &["admin"]).await;
    for name in ["alice", "disabled", "deleted"] {
        server.register(name).await.ok(201);
    }
    let path = format!("/users/{}", server.id_of("disabled").await);
    server.patch(&path).bearer(&root.access).json(&json!({ "disabled": true })).await.ok(200);
    let path = format!("/users/{}", server.id_of("deleted").await);
    server.delete(&path).bearer(&root.access).await.ok(204);
    for path in ["/token", "/authenticate", "/auth/token"] {
        let mut shapes = Vec::new();
        for (name, password) in [
            ("alice", "hunter2 wrong"),
            ("nobody", "hunter2 wrong"),
            ("nobody", PASSWORD),
            ("disabled", "hunter2 wrong"),
            ("deleted", "hunter2 wrong"),
            ("deleted", PASSWORD),
        ] {
            let hashed = server.hasher.hashed();
            let answer =
                server.post(path).form(&[("username", name), ("password", password)]).await;
            answer.refused(400, "invalid_grant");
            shapes.push((shape(&answer), server.hasher.hashed() - hashed));
        }
        shapes.dedup();
        assert_eq!(shapes.len(), 1, "{shapes:#?}");
    }
}

#[tokio::test]
async fn en_05_a_taken_name_costs_the_hash_that_a_free_one_does() {
    let server = TestServer::start().await;
    let mut costs = Vec::new();
    for (name, status) in [("alice", 201), ("alice", 409), ("ALICE", 409), ("bob", 201)] {
        let hashed = server.hasher.hashed();
        assert_eq!(server.register(name).await.status, status, "{name}");
        costs.push(server.hasher.hashed() - hashed);
    }
    assert_eq!(costs, [1; 4]);
}

#[tokio::test]
async fn en_05_a_taken_address_is_no_conflict() {
    let server = TestServer::start().await;
    for name in ["alice", "bob"] {
        let body = json!({ "username": name, "password": PASSWORD, "email": "a@example.com" });
        server.post("/auth/").json(&body).await.ok(201);
    }
}

/// Until there are clients, what Basic says changes nothing, well formed or not.
#[tokio::test]
async fn a050_client_credentials_of_every_kind_are_passed_over() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let (right, wrong) = (PASSWORD, "hunter2 wrong");
    for value in [
        "Basic Og==",
        "Basic",
        "Basic hunter2!",
        "Basic aHVudGVyMg==",
        "Basic aWQ6d3Jvbmc=",
        "Basic dW5rbm93bjp4",
        "Basic YSUyMGI6eA==",
    ] {
        for secret in [None, Some(("client_secret", "hunter2"))] {
            let form = |password| {
                let fields = [("username", "alice"), ("password", password)].into_iter();
                let fields: Vec<_> = fields.chain(secret).collect();
                server.post("/token").header("authorization", value).form(&fields)
            };
            form(right).await.pair();
            form(wrong).await.refused(400, "invalid_grant");
        }
    }
}

/// Sizes at both sides of each limit, at registration and at login.
#[tokio::test]
async fn a051_a_password_of_any_size_is_answered_before_it_costs_more_than_one_hash() {
    let server = TestServer::start().await;
    for (index, (length, status)) in
        [(1_usize, 422), (7, 422), (8, 201), (14, 201), (64, 201), (1024, 201), (1025, 422)]
            .into_iter()
            .enumerate()
    {
        let name = format!("user-{index}");
        let password = "q7-w".repeat(length.div_ceil(4))[..length].to_owned();
        let hashed = server.hasher.hashed();
        let body = json!({ "username": name, "password": password });
        let answer = server.post("/auth/").json(&body).await;
        assert_eq!(answer.status, status, "{length}: {}", answer.text);
        let expected = u64::from(status == 201);
        assert_eq!(server.hasher.hashed() - hashed, expected, "{length}");
        if status == 201 {
            server.login_with(&name, &password).await.pair();
        } else {
            server.login_with(&name, &password).await.refused(400, "invalid_grant");
        }
    }
    for length in [1025, 16_000] {
        let hashed = server.hasher.hashed();
        let wrong = "x".repeat(length);
        server.login_with("user-2", &wrong).await.refused(400, "invalid_grant");
        assert!(server.hasher.hashed() - hashed <= 1, "{length}");
    }
    let hashed = server.hasher.hashed();
    for length in [17 << 10, 64 << 20] {
        let long = "x".repeat(length);
        server.login_with("user-2", &long).await.refused(413, "body_too_large");
        let body = json!({ "username": "long", "password": long });
        server.post("/auth/").json(&body).await.refused(413, "body_too_large");
    }
    assert_eq!(server.hasher.hashed(), hashed);
}

/// What an attacker who can write to the database, or an import, may have left.
#[tokio::test]
async fn a056_a_hostile_stored_hash_fails_like_a_wrong_password() {
    let server = TestServer::with(|settings| settings.throttle = None).await;
    let template = server.add("template", &["user"]).await;
    for (index, hash) in [
        "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZXRhZ3NvbWV0YWc",
        "$argon2id$v=19$m=19456,t=2147483648,p=1$c29tZXNhbHRzb21lc2FsdA$c29tZXRhZ3NvbWV0YWc",
        "$argon2id$v=19$m=19456,t=2,p=255$c29tZXNhbHRzb21lc2FsdA$c29tZXRhZ3NvbWV0YWc",
        "$2b$31$abcdefghijklmnopqrstuuWJbVKkKS4Y0cYPzW1ZqzXuWn0c1K9uG",
        "$1$salt$5f4dcc3b5aa765d61d8327deb882cf99",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        "$argon2id$v=19$m=19456",
        "",
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user-{index}");
        let user = User {
            id: UserId::new(NOW, server.random.as_ref()).unwrap(),
            username: Username::parse(&name, NamePolicy::Ascii).unwrap(),
            password_hash: PasswordHash::new(hash.to_owned()),
            ..template.clone()
        };
        server.store.create_user(user, None, vec![]).await.unwrap();
        let unknown = server.login_with("nobody", PASSWORD).await;
        let answer = server.login_with(&name, PASSWORD).await;
        answer.refused(400, "invalid_grant");
        assert_eq!(shape(&answer), shape(&unknown), "{hash}");
    }
}

#[tokio::test]
async fn pw_10_a_password_is_as_good_after_years() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    server.wait(Duration::from_secs(10 * 365 * 86_400));
    let pair = server.login("alice").await;
    let me = server.get("/users/me").bearer(&pair.access).await.ok(200);
    let members: Vec<_> = me.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["id", "username", "email", "full_name", "disabled", "roles", "created_at"];
    assert_eq!(members, expected, "neither a hint nor a question nor a date");
}

/// Whatever a form or a body claims besides.
#[tokio::test]
async fn se_01_no_client_chooses_its_session() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let sid = first.access_claims()["sid"].as_str().unwrap().to_owned();
    let cookie = format!("session={sid}");
    for name in ["sid", "session_id", "session", "jti"] {
        let form = [("username", "alice"), ("password", PASSWORD), (name, sid.as_str())];
        let call = server.post("/token").header("cookie", &cookie).form(&form);
        assert_ne!(call.await.pair().access_claims()["sid"], sid, "{name}");
    }
    assert!(server.accepts(&first.access).await);
}
