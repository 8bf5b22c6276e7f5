//! The sample blog's way in: an e-mail address for a name, and JSON.

use serde_json::{Value, json};

use crate::harness::{PASSWORD, TestServer};

fn ann(member: &str, value: &str) -> Value {
    let mut body = json!({ "fullname": "Ann", "email": "ann@example.com", "password": PASSWORD });
    body[member] = value.into();
    body
}

#[tokio::test]
async fn signing_up_makes_a_user_named_by_the_address_and_a_session() {
    let server = TestServer::start().await;
    let pair = server.post("/user/signup").json(&ann("email", "Ann@example.com")).await.pair();
    let user = server.get("/users/me").bearer(&pair.access).await.ok(200);
    assert_eq!(user["username"], "ann@example.com");
    assert_eq!((&user["email"], &user["full_name"]), (&json!("Ann@example.com"), &json!("Ann")));
    server.refresh(&pair.refresh).await.pair();
    server.login("ann@example.com").await;
}

#[tokio::test]
async fn signing_up_is_refused_as_registering_is() {
    let server = TestServer::start().await;
    for (member, bad, status, code) in [
        ("email", "hunter2", 422, "invalid_value"),
        ("email", "-@x", 422, "invalid_value"),
        ("fullname", "", 422, "invalid_value"),
        ("password", "hunter2", 422, "weak_password"),
        ("roles", "admin", 400, "invalid_body"),
    ] {
        server.post("/user/signup").json(&ann(member, bad)).await.refused(status, code);
    }
    let missing = json!({ "email": "ann@example.com", "password": PASSWORD });
    server.post("/user/signup").json(&missing).await.refused(400, "invalid_body");
    server.post("/user/signup").json(&ann("fullname", "Ann")).await.pair();
    let taken = server.post("/user/signup").json(&ann("fullname", "Ann")).await;
    taken.refused(409, "username_taken");
}

#[tokio::test]
async fn logging_in_is_refused_as_at_the_token_endpoint() {
    let server = TestServer::start().await;
    server.post("/user/signup").json(&ann("fullname", "Ann")).await.pair();
    let login = |email: &str, password: &str| {
        server.post("/user/login").json(&json!({ "email": email, "password": password }))
    };
    login("ann@example.com", PASSWORD).await.pair();
    login("ANN@example.com", PASSWORD).await.pair();
    let before = server.hasher.hashed();
    let wrong = login("ann@example.com", "hunter2 wrong").await;
    let unknown = login("bob@example.com", PASSWORD).await;
    assert_eq!(server.hasher.hashed(), before + 2);
    assert_eq!(wrong.refused(400, "invalid_grant")["detail"], "Incorrect username or password");
    assert_eq!(wrong.constant(), unknown.constant());
    let extra = json!({ "email": "ann@example.com", "password": PASSWORD, "scope": "me" });
    server.post("/user/login").json(&extra).await.refused(400, "invalid_body");
}
