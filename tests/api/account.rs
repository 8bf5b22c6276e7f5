//! One's own account: seeing it, changing it, a new password, and leaving.

use serde_json::{Value, json};

use crate::harness::{NEW_PASSWORD, PASSWORD, Pair, TestServer};

/// A pair of the user `name` whose token lacks the scope `me`.
async fn without_scope_me(server: &TestServer, name: &str) -> Pair {
    let form = [("username", name), ("password", PASSWORD), ("scope", "posts:write")];
    server.post("/token").form(&form).await.pair()
}

#[tokio::test]
async fn a_profile_member_is_set_left_or_removed() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let change = |body: Value| server.patch("/users/me").bearer(&pair.access).json(&body);
    let user = change(json!({ "email": "a@example.com", "full_name": "Alice" })).await.ok(200);
    assert_eq!((&user["email"], &user["full_name"]), (&json!("a@example.com"), &json!("Alice")));
    let user = change(json!({ "email": "b@example.com" })).await.ok(200);
    assert_eq!((&user["email"], &user["full_name"]), (&json!("b@example.com"), &json!("Alice")));
    let user = change(json!({ "email": null })).await.ok(200);
    assert_eq!((&user["email"], &user["full_name"]), (&Value::Null, &json!("Alice")));
    // What changes nothing is no event.
    let events = server.store.audit(None, usize::MAX).await.unwrap();
    assert_eq!(change(json!({})).await.ok(200), user);
    assert_eq!(change(json!({ "full_name": "Alice" })).await.ok(200), user);
    assert_eq!(server.store.audit(None, usize::MAX).await, Ok(events));
    assert_eq!(server.get("/users/me").bearer(&pair.access).await.ok(200), user);
}

#[tokio::test]
async fn nothing_but_the_profile_can_be_changed() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for member in ["roles", "role", "Roles", "username", "disabled", "password", "epoch", "hunter2"]
    {
        let body = json!({ "full_name": "hunter2", member: ["admin"] });
        let answer = server.patch("/users/me").bearer(&pair.access).json(&body).await;
        answer.refused(400, "invalid_body");
    }
    let user = server.get("/users/me").bearer(&pair.access).await.ok(200);
    assert_eq!((&user["full_name"], &user["roles"]), (&Value::Null, &json!(["user"])));
}

#[tokio::test]
async fn a_profile_member_that_breaks_its_rule_changes_nothing() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for body in [
        json!({ "full_name": "Alice", "email": "hunter2" }),
        json!({ "full_name": "hunter2\n", "email": "a@example.com" }),
        json!({ "full_name": "" }),
    ] {
        let answer = server.patch("/users/me").bearer(&pair.access).json(&body).await;
        answer.refused(422, "invalid_value");
    }
    let user = server.get("/users/me").bearer(&pair.access).await.ok(200);
    assert_eq!((&user["full_name"], &user["email"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_new_password_ends_every_other_session_and_spares_this_one() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
    server.post("/users/me/password").bearer(&own.access).json(&body).await.ok(204);
    assert!(server.accepts(&own.access).await);
    server.refresh(&own.refresh).await.pair();
    assert!(!server.accepts(&other.access).await);
    server.refresh(&other.refresh).await.refused(401, "invalid_grant");
    server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
    server.login_with("alice", NEW_PASSWORD).await.pair();
}

#[tokio::test]
async fn a_wrong_current_password_or_a_weak_new_one_changes_nothing() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    for (current, new, status, code) in [
        ("hunter2 wrong", NEW_PASSWORD, 400, "invalid_password"),
        ("", NEW_PASSWORD, 400, "invalid_password"),
        (PASSWORD, "hunter2", 422, "weak_password"),
        (PASSWORD, "password123", 422, "weak_password"),
        (PASSWORD, "alice", 422, "weak_password"),
    ] {
        let body = json!({ "current_password": current, "new_password": new });
        let answer = server.post("/users/me/password").bearer(&own.access).json(&body).await;
        answer.refused(status, code);
    }
    let missing = json!({ "new_password": NEW_PASSWORD });
    let answer = server.post("/users/me/password").bearer(&own.access).json(&missing).await;
    answer.refused(400, "invalid_body");
    assert!(server.accepts(&other.access).await);
    server.login("alice").await;
}

#[tokio::test]
async fn leaving_frees_the_name_and_ends_every_session() {
    let server = TestServer::start().await;
    let (other, own) = (server.user("alice").await, server.login("alice").await);
    let post = json!({ "title": "Hello", "content": "It is me." });
    let post = server.post("/posts").bearer(&own.access).json(&post).await.ok(201);
    let body = json!({ "password": PASSWORD });
    server.delete("/users/me").bearer(&own.access).json(&body).await.ok(204);
    for pair in [&own, &other] {
        assert!(!server.accepts(&pair.access).await);
        server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
    }
    server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
    let again = server.user("alice").await;
    let path = format!("/posts/{}", post["id"].as_str().unwrap());
    server.get(&path).await.refused(404, "not_found");
    let sessions = server.get("/users/me/sessions").bearer(&again.access).await.ok(200);
    assert_eq!(sessions.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn leaving_takes_the_password() {
    let server = TestServer::start().await;
    let own = server.user("alice").await;
    for wrong in ["hunter2 wrong", ""] {
        let body = json!({ "password": wrong });
        let answer = server.delete("/users/me").bearer(&own.access).json(&body).await;
        answer.refused(400, "invalid_password");
    }
    let answer = server.delete("/users/me").bearer(&own.access).json(&json!({})).await;
    answer.refused(400, "invalid_body");
    server.delete("/users/me").bearer(&own.access).await.refused(415, "unsupported_media_type");
    assert!(server.accepts(&own.access).await);
}

#[tokio::test]
async fn changes_take_the_scope_me_and_looking_does_not() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let pair = without_scope_me(&server, "alice").await;
    assert!(server.accepts(&pair.access).await);
    let answers = [
        server.patch("/users/me").bearer(&pair.access).json(&json!({})).await,
        server
            .delete("/users/me")
            .bearer(&pair.access)
            .json(&json!({ "password": PASSWORD }))
            .await,
        server
            .post("/users/me/password")
            .bearer(&pair.access)
            .json(&json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD }))
            .await,
    ];
    for answer in answers {
        answer.refused(403, "insufficient_scope");
        assert!(answer.header("www-authenticate").unwrap().ends_with("scope=\"me\""));
    }
}
