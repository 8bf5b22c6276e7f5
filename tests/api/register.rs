//! Registering: each rule, and that a name is taken once.

use std::sync::Arc;

use keystile::auth::policy::Registration;
use serde_json::{Value, json};

use crate::harness::{CANARY, PASSWORD, TestServer};

/// A registration with one member set.
fn with(member: &str, value: impl Into<Value>) -> Value {
    let mut body = json!({ "username": "alice", "password": PASSWORD });
    body[member] = value.into();
    body
}

#[tokio::test]
async fn a_stranger_registers_under_both_names_of_the_path() {
    let server = TestServer::start().await;
    for (path, name) in [("/auth/", "Alice"), ("/auth", "bob")] {
        let body = json!({
            "username": name,
            "password": PASSWORD,
            "email": "Alice@Example.com",
            "full_name": "Alice Example",
        });
        let user = server.post(path).json(&body).await.ok(201);
        assert_eq!(user["username"], name.to_lowercase());
        assert_eq!(user["email"], "Alice@Example.com", "not unique, kept as it was given");
        assert_eq!(user["full_name"], "Alice Example");
        assert_eq!((&user["disabled"], &user["roles"]), (&json!(false), &json!(["user"])));
        assert_eq!(user["created_at"], "2027-01-15T08:00:00.000Z");
        assert_eq!(user["id"].as_str().unwrap().len(), 26);
        assert_eq!(user.as_object().unwrap().len(), 7, "and never a hash: {user}");
    }
}

#[tokio::test]
async fn the_optional_members_may_be_absent_or_null() {
    let server = TestServer::start().await;
    let user = server.register("alice").await.ok(201);
    assert_eq!((&user["email"], &user["full_name"]), (&Value::Null, &Value::Null));
    let body = json!({ "username": "bob", "password": PASSWORD, "email": null, "full_name": null });
    server.post("/auth/").json(&body).await.ok(201);
}

#[tokio::test]
async fn each_rule_of_a_username_is_named() {
    let server = TestServer::start().await;
    let long = "x".repeat(64);
    for good in ["a", "0", "a.b_c-d@e+f", long.as_str(), "administrator"] {
        server.post("/auth/").json(&with("username", good)).await.ok(201);
    }
    let longer = "x".repeat(65);
    for (bad, rule) in [
        ("", "1 to 64"),
        (longer.as_str(), "1 to 64"),
        ("al ice", "consists of"),
        ("a:b", "consists of"),
        ("a/../b", "consists of"),
        ("ålice", "consists of"),
        ("hunter2\u{0}", "consists of"),
        (".", "starts with"),
        ("-hunter2", "starts with"),
        ("@x", "starts with"),
    ] {
        let body = server.post("/auth/").json(&with("username", bad)).await;
        let body = body.refused(422, "invalid_value");
        assert!(body["detail"].as_str().unwrap().contains(rule), "{bad:?}: {body}");
    }
}

#[tokio::test]
async fn reserved_names_are_nobodys() {
    let server = TestServer::start().await;
    for name in ["admin", "root", "Root", "system", "anonymous", "id.example.com"] {
        let body = server.register(name).await.refused(422, "invalid_value");
        assert!(body["detail"].as_str().unwrap().contains("reserved"), "{name}");
    }
    server.register("roots").await.ok(201);
}

#[tokio::test]
async fn an_email_address_or_full_name_that_is_none_is_refused() {
    let server = TestServer::start().await;
    let long_mail = format!("hunter2@{}", "x".repeat(250));
    for bad in ["", "hunter2", "@x", "hunter2@", "a b@hunter2", long_mail.as_str()] {
        let answer = server.post("/auth/").json(&with("email", bad)).await;
        let body = answer.refused(422, "invalid_value");
        assert!(body["detail"].as_str().unwrap().contains("e-mail"), "{bad}");
    }
    let long_name = "x".repeat(129);
    for bad in ["", " ", "hunter2\n", long_name.as_str()] {
        let answer = server.post("/auth/").json(&with("full_name", bad)).await;
        let body = answer.refused(422, "invalid_value");
        assert!(body["detail"].as_str().unwrap().contains("full name"), "{bad}");
    }
    server.post("/auth/").json(&with("full_name", "x".repeat(128))).await.ok(201);
}

#[tokio::test]
async fn each_rule_of_a_password_is_named() {
    let server = TestServer::start().await;
    let longest = "y ".repeat(512);
    for (name, good) in [("a1", "qx7 vz2k"), ("a2", longest.as_str()), ("a3", "Пароль чайника")]
    {
        let body = json!({ "username": name, "password": good });
        server.post("/auth/").json(&body).await.ok(201);
        server.login_with(name, good).await.pair();
    }
    let longer = format!("{longest}y");
    for (bad, rule) in [
        ("", "not empty"),
        ("qx7 vz2", "8 characters"),
        ("hunter2\u{0}at the harbour", "control characters"),
        (longer.as_str(), "1024"),
        ("password123", "common"),
        ("alice-the-great", "username"),
        ("Alice-The-Great", "username"),
        ("keystile", "service"),
    ] {
        let body = json!({ "username": "alice-the-great", "password": bad });
        let body = server.post("/auth/").json(&body).await.refused(422, "weak_password");
        assert!(body["detail"].as_str().unwrap().contains(rule), "{bad:?}: {body}");
    }
    assert_eq!(server.login_with("alice-the-great", "password123").await.status, 400);
}

#[tokio::test]
async fn a_password_counts_to_its_last_byte() {
    let server = TestServer::start().await;
    let long = "y ".repeat(511) + "a";
    server.post("/auth/").json(&with("password", long.as_str())).await.ok(201);
    server.login_with("alice", &long).await.pair();
    let other = "y ".repeat(511) + "b";
    server.login_with("alice", &other).await.refused(400, "invalid_grant");
    server.login_with("alice", &long[..72]).await.refused(400, "invalid_grant");
    let beyond = "y ".repeat(2000);
    server.login_with("alice", &beyond).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn a_taken_name_is_a_conflict_in_any_case() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for name in ["alice", "ALICE"] {
        server.register(name).await.refused(409, "username_taken");
    }
    server.login("alice").await;
}

#[tokio::test]
async fn members_that_only_the_server_sets_are_refused() {
    let server = TestServer::start().await;
    for member in ["roles", "id", "disabled", "password_hash", "created_at", "Username", CANARY] {
        let answer = server.post("/auth/").json(&with(member, json!(["admin"]))).await;
        answer.refused(400, "invalid_body");
    }
    server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn closed_registration_is_refused_before_anything_is_looked_at() {
    let closed = Registration::Closed;
    let server = TestServer::with(|settings| settings.policy.registration = closed).await;
    server.add("taken", &["user"]).await;
    for name in ["alice", "taken", "", "root"] {
        server.register(name).await.refused(403, "registration_closed");
    }
    let body = json!({ "fullname": "A", "email": "a@example.com", "password": PASSWORD });
    server.post("/user/signup").json(&body).await.refused(403, "registration_closed");
    server.login("taken").await;
}

/// Registers one name from many tasks at once: exactly one of them is told that it has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_that_register_one_name_one_wins() {
    let server = TestServer::start().await;
    let calls: Vec<_> = (0..50)
        .map(|index| {
            let server = Arc::clone(&server);
            let name = ["Bob", "bob", "BOB"][index % 3];
            tokio::spawn(async move { server.register(name).await })
        })
        .collect();
    let mut won = 0;
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 201 {
            won += 1;
        } else {
            answer.refused(409, "username_taken");
        }
    }
    assert_eq!(won, 1);
    server.login("bob").await;
}
