//! Stored hashes that came from elsewhere: what is never computed, what is too large, and what a login makes of
//! an old one when it cannot be replaced.

use std::sync::atomic::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use keystile::auth::model::user::PasswordHash;
use keystile::config::log::LogFormat;
use keystile::store::StoreError;
use keystile::telemetry::Captured;
use serde_json::Value;

use crate::harness::{PASSWORD, TestServer};

/// A hash of these costs that nobody knows the password of.
fn phc(costs: &str) -> String {
    let (salt, tag) = (STANDARD_NO_PAD.encode([7; 16]), STANDARD_NO_PAD.encode([9; 32]));
    format!("{costs}${salt}${tag}")
}

/// The lines of the log that have this text.
fn lines(captured: &Captured, text: &str) -> Vec<Value> {
    let log = captured.text();
    let lines = log.lines().filter(|line| line.contains(text));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a056_a_hostile_stored_hash_is_a_wrong_password_and_an_alert_that_names_the_user() {
    let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    let server = TestServer::start().await;
    for (index, hash) in [
        phc("$argon2id$v=19$m=4194304,t=2,p=1"),
        phc("$argon2id$v=19$m=8,t=2147483648,p=1"),
        phc("$argon2id$v=19$m=65536,t=2,p=255"),
        phc("$argon2i$v=19$m=8,t=1,p=1"),
        "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/".to_owned(),
        "$argon2id$v=19$m=8,t=1".to_owned(),
        String::new(),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("user-{index}");
        server.import(&name, PasswordHash::new(hash)).await;
        let before = server.hasher.hashed();
        let refused = server.login_with(&name, PASSWORD).await;
        assert_eq!(
            refused.refused(400, "invalid_grant")["detail"],
            "Incorrect username or password"
        );
        assert_eq!(server.hasher.hashed() - before, 1);
        let alerts = lines(&captured, "password_hash_unusable");
        assert_eq!(alerts.len(), index + 1);
        assert_eq!(alerts[index]["level"], "WARN");
        assert_eq!(alerts[index]["user"], server.id_of(&name).await);
    }
    server.register("alice").await.ok(201);
    server.login_with("alice", "hunter2 wrong").await.refused(400, "invalid_grant");
    assert_eq!(lines(&captured, "password_hash_unusable").len(), 7);
}

#[tokio::test]
async fn pw_03_a_hash_of_over_half_the_memory_is_a_503_and_one_line_with_the_setting() {
    let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
    let _guard = tracing::dispatcher::set_default(&dispatch);
    let server = TestServer::with(|settings| settings.hashing.memory_limit_kib = Some(127)).await;
    server.import("large", PasswordHash::new(phc("$argon2id$v=19$m=64,t=1,p=1"))).await;
    server.import("fitting", PasswordHash::new(phc("$argon2id$v=19$m=63,t=1,p=1"))).await;
    let refused = server.login_with("large", PASSWORD).await;
    refused.refused(503, "unavailable");
    assert_eq!(refused.header("retry-after"), Some("2"));
    let said = lines(&captured, "passwords.memory_kib");
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(said[0]["level"], "ERROR");
    let error = said[0]["error"].as_str().unwrap();
    assert!(error.contains("64 KiB") && error.contains("127 KiB"), "{error}");
    assert_eq!(server.hasher.hashed(), 2, "only the templates were hashed");
    server.login_with("fitting", PASSWORD).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn pw_04_a_login_goes_on_when_the_new_hash_cannot_be_stored() {
    let server = TestServer::start().await;
    let old = PasswordHash::new(bcrypt::hash(PASSWORD, 4).unwrap());
    server.import("alice", old.clone()).await;
    for error in [
        StoreError::Busy,
        StoreError::Conflict,
        StoreError::NotFound,
        StoreError::DiskFull,
        StoreError::Unavailable,
        StoreError::Unknown,
    ] {
        server.watched.fail("update_user", error);
        let pair = server.login("alice").await;
        assert!(server.accepts(&pair.access).await);
        assert_eq!(server.stored("alice").await.password_hash, old);
        server.login_with("alice", "hunter2 wrong").await.refused(400, "invalid_grant");
        server.login("alice").await;
        server.watched.mend("update_user");
    }
    server.login("alice").await;
    assert_ne!(server.stored("alice").await.password_hash, old);
}

#[tokio::test]
async fn pw_04_a_login_goes_on_when_the_new_hash_cannot_be_made() {
    let server = TestServer::start().await;
    let old = PasswordHash::new(bcrypt::hash(PASSWORD, 4).unwrap());
    server.import("alice", old.clone()).await;
    server.random.is_dry_for_hashes.store(true, Ordering::SeqCst);
    let pair = server.login("alice").await;
    assert!(server.accepts(&pair.access).await);
    assert_eq!(server.stored("alice").await.password_hash, old);
    server.random.is_dry_for_hashes.store(false, Ordering::SeqCst);
    server.login("alice").await;
    assert_ne!(server.stored("alice").await.password_hash, old);
}
