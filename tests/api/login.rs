//! Logging in: who is let in, with what, and what it costs.

use std::sync::Arc;

use keystile::auth::model::user::PasswordHash;
use keystile::password::Password;
use keystile::password::pool::Hasher;
use keystile::password::settings::HashSettings;
use keystile::random::Random;
use keystile::token::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::harness::{ISSUER, NEW_PASSWORD, NOW, PASSWORD, SECOND, TestServer};

#[tokio::test]
async fn an_unknown_user_and_a_wrong_password_get_one_answer_for_one_amount_of_work() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let mut answers = Vec::new();
    for (name, password) in [
        ("alice", "hunter2 wrong"),
        ("nobody", PASSWORD),
        ("al ice", PASSWORD),
        ("/../hunter2", PASSWORD),
    ] {
        let before = server.hasher.hashed();
        let answer = server.login_with(name, password).await;
        let body = answer.refused(400, "invalid_grant");
        assert_eq!(body["error"], "invalid_grant");
        assert_eq!(body["detail"], "Incorrect username or password");
        answers.push((answer.constant(), server.hasher.hashed() - before));
    }
    assert_eq!(answers[0].1, 1);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn a_name_is_one_user_in_any_case() {
    let server = TestServer::start().await;
    server.register("Alice").await.ok(201);
    let pairs = [server.login("alice").await, server.login("ALICE").await];
    assert_eq!(pairs[0].access_claims()["sub"], pairs[1].access_claims()["sub"]);
    let body = server.get("/users/me").bearer(&pairs[1].access).await.ok(200);
    assert_eq!(body["username"], "alice");
}

#[tokio::test]
async fn a_disabled_user_is_told_so_only_with_the_right_password() {
    let server = TestServer::start().await;
    let admin = server.user_with("root", &["admin"]).await;
    server.register("alice").await.ok(201);
    let path = format!("/users/{}", server.id_of("alice").await);
    server.patch(&path).bearer(&admin.access).json(&json!({ "disabled": true })).await.ok(200);
    let right = server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
    assert_eq!(right["detail"], "Inactive user");
    assert_eq!(right["error_description"], "Inactive user");
    let wrong = server.login_with("alice", "hunter2 wrong").await.refused(400, "invalid_grant");
    assert_eq!(wrong["detail"], "Incorrect username or password");
}

#[tokio::test]
async fn scopes_that_are_unknown_or_not_allowed_are_left_out() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for (asked, granted) in [
        ("me", "me"),
        ("posts:write me", "me posts:write"),
        ("me users:write unheard:of", "me"),
        ("users:write", ""),
        ("", "me posts:write"),
    ] {
        let form = [("username", "alice"), ("password", PASSWORD), ("scope", asked)];
        let pair = server.post("/token").form(&form).await.pair();
        assert_eq!(pair.scope(), granted, "{asked:?}");
        assert_eq!(pair.access_claims()["scope"], granted, "{asked:?}");
    }
}

#[tokio::test]
async fn a_malformed_scope_is_refused_before_anything_is_hashed() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let before = server.hasher.hashed();
    let many = ["x"; 65].join(" ");
    for asked in ["me  posts:write", " me", "me ", "me\tx", "m\"e", "m\\e", "mé", many.as_str()] {
        let form = [("username", "alice"), ("password", PASSWORD), ("scope", asked)];
        let body = server.post("/token").form(&form).await.refused(400, "invalid_scope");
        assert_eq!(body["error"], "invalid_scope", "{asked:?}");
    }
    assert_eq!(server.hasher.hashed(), before);
    let most = ["x"; 64].join(" ");
    let form = [("username", "alice"), ("password", PASSWORD), ("scope", &most)];
    server.post("/token").form(&form).await.pair();
}

#[tokio::test]
async fn an_imported_bcrypt_hash_is_replaced_at_login() {
    let server = TestServer::start().await;
    let hash = PasswordHash::new(bcrypt::hash(PASSWORD, 4).unwrap());
    server.import("alice", hash).await;
    server.login_with("alice", "hunter2 wrong").await.refused(400, "invalid_grant");
    assert!(server.stored("alice").await.password_hash.expose().starts_with("$2b$"));
    let pair = server.login("alice").await;
    assert!(server.stored("alice").await.password_hash.expose().starts_with("$argon2id$"));
    server.login("alice").await;
    assert!(server.accepts(&pair.access).await);
}

/// Imports alice with a hash of other parameters than today's.
async fn import_outdated(server: &TestServer) {
    let slower = HashSettings { iterations: 2, ..HashSettings::insecure_fast() };
    let hasher = Hasher::start(&slower, Arc::clone(&server.random) as Arc<dyn Random>).unwrap();
    let hash = hasher.hash(Password::new(PASSWORD.to_owned())).await.unwrap();
    server.import("alice", hash).await;
}

#[tokio::test]
async fn a_hash_of_other_parameters_is_replaced_at_login_and_a_current_one_is_kept() {
    let server = TestServer::start().await;
    import_outdated(&server).await;
    server.login("alice").await;
    let current = server.stored("alice").await.password_hash;
    assert!(current.expose().contains("t=1"));
    server.login("alice").await;
    assert_eq!(server.stored("alice").await.password_hash, current);
}

#[tokio::test]
async fn a_hash_is_not_renewed_for_a_password_that_was_changed_meanwhile() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    import_outdated(&server).await;
    let held = server.watched.hold("update_user");
    let login = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.login_with("alice", PASSWORD).await.status }
    });
    held.reached().await;
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "password": NEW_PASSWORD });
    server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
    held.release();
    assert_eq!(login.await.unwrap(), 400);
    server.login_with("alice", NEW_PASSWORD).await.pair();
}

#[tokio::test]
async fn a_login_beyond_the_limit_ends_the_least_recently_used_session() {
    let server = TestServer::with(|settings| settings.policy.sessions_per_user = 2).await;
    let first = server.user("alice").await;
    server.wait(SECOND);
    let second = server.login("alice").await;
    server.wait(SECOND);
    let first = server.refresh(&first.refresh).await.pair();
    server.wait(SECOND);
    let third = server.login("alice").await;
    assert!(server.accepts(&first.access).await);
    assert!(!server.accepts(&second.access).await);
    assert!(server.accepts(&third.access).await);
}

fn members(value: &Value) -> Vec<&str> {
    let mut members: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    members
}

#[tokio::test]
async fn the_tokens_carry_exactly_the_claims_of_the_contract() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let id = server.id_of("alice").await;
    let (access, refresh) = (pair.access_claims(), pair.refresh_claims());
    let shared = ["aud", "client_id", "exp", "grant", "iat", "iss", "jti", "nbf", "sid", "sub"];
    assert_eq!(members(&refresh), shared);
    assert_eq!(members(&access), [&shared[..7], &["nbf", "roles", "scope", "sid", "sub"]].concat());
    for claims in [&access, &refresh] {
        assert_eq!(claims["iss"], ISSUER);
        assert_eq!(claims["sub"], id);
        assert_eq!(claims["client_id"], "keystile");
        assert_eq!((&claims["iat"], &claims["nbf"]), (&json!(NOW.secs()), &json!(NOW.secs())));
        let (user, hex) = claims["jti"].as_str().unwrap().split_once(':').unwrap();
        assert_eq!((user, hex.len()), (id.as_str(), 32));
        assert!(hex.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')));
    }
    assert_ne!(access["jti"], refresh["jti"]);
    assert_eq!(access["sid"], refresh["sid"]);
    assert_eq!((&access["aud"], &refresh["aud"]), (&json!("keystile"), &json!(ISSUER)));
    assert_eq!((&access["grant"], &refresh["grant"]), (&json!("access"), &json!("refresh")));
    assert_eq!(access["exp"], NOW.secs() + 900);
    assert_eq!(refresh["exp"], NOW.secs() + 7 * 86_400);
    assert_eq!(access["scope"], "me posts:write");
    assert_eq!(access["roles"], json!(["user"]));
}

#[tokio::test]
async fn the_headers_of_the_tokens_name_kind_key_and_algorithm() {
    for (algorithm, name) in [(Algorithm::EdDsa, "EdDSA"), (Algorithm::Hs256, "HS256")] {
        let server = TestServer::with(|settings| settings.algorithm = algorithm).await;
        let pair = server.user("alice").await;
        let (access, refresh) = (pair.access_header(), pair.refresh_header());
        assert_eq!(members(&access), ["alg", "kid", "typ"]);
        assert_eq!(members(&refresh), ["alg", "kid", "typ"]);
        assert_eq!((&access["typ"], &access["alg"]), (&json!("at+jwt"), &json!(name)));
        assert_eq!((&refresh["typ"], &refresh["alg"]), (&json!("rt+jwt"), &json!("HS256")));
        assert_ne!(access["kid"], refresh["kid"]);
        assert!(server.accepts(&pair.access).await);
        server.refresh(&pair.refresh).await.pair();
    }
}

#[tokio::test]
async fn a_login_racing_a_password_change_never_lives_on_after_it() {
    let server = TestServer::start().await;
    let own = server.user("alice").await;
    let logins: Vec<_> = (0..4)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { server.login_with("alice", PASSWORD).await })
        })
        .collect();
    let change = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    server.post("/users/me/password").bearer(&own.access).json(&change).await.ok(204);
    for login in logins {
        let answer = login.await.unwrap();
        if answer.status == 200 {
            assert!(!server.accepts(&answer.pair().access).await);
        } else {
            answer.refused(400, "invalid_grant");
        }
    }
    assert!(server.accepts(&own.access).await);
}
