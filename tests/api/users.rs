//! Users as an administrator sees and changes them.

use serde_json::{Value, json};

use crate::harness::{NEW_PASSWORD, PASSWORD, Pair, TestServer};

async fn administrator(server: &TestServer) -> Pair {
    server.user_with("root", &["admin"]).await
}

async fn names(server: &TestServer, pair: &Pair, query: &str) -> (Vec<String>, Value) {
    let page = server.get(&format!("/users{query}")).bearer(&pair.access).await.ok(200);
    let name = |user: &Value| user["username"].as_str().unwrap().to_owned();
    (page["items"].as_array().unwrap().iter().map(name).collect(), page["next"].clone())
}

#[tokio::test]
async fn users_are_listed_by_name_in_pages() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    for name in ["carol", "alice", "bob", "alan"] {
        server.register(name).await.ok(201);
    }
    let (all, next) = names(&server, &root, "").await;
    assert_eq!(all, ["alan", "alice", "bob", "carol", "root"]);
    assert_eq!(next, Value::Null);
    let (first, next) = names(&server, &root, "?limit=2").await;
    assert_eq!(first, ["alan", "alice"]);
    let after = format!("?limit=2&after={}", next.as_str().unwrap());
    let (second, next) = names(&server, &root, &after).await;
    assert_eq!(second, ["bob", "carol"]);
    let after = format!("?limit=2&after={}", next.as_str().unwrap());
    assert_eq!(names(&server, &root, &after).await, (vec!["root".to_owned()], Value::Null));
    assert_eq!(names(&server, &root, "?q=al").await.0, ["alan", "alice"]);
    assert_eq!(names(&server, &root, "?q=AL&limit=1").await.0, ["alan"]);
    assert_eq!(names(&server, &root, "?q=zz").await, (vec![], Value::Null));
}

#[tokio::test]
async fn twenty_users_make_a_page_unless_asked_otherwise() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    for index in 0..21 {
        server.register(&format!("u{index:02}")).await.ok(201);
    }
    assert_eq!(names(&server, &root, "").await.0.len(), 20);
    assert_eq!(names(&server, &root, "?limit=100").await.0.len(), 22);
}

#[tokio::test]
async fn a_limit_or_cursor_that_is_none_is_refused() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    for query in
        ["limit=0", "limit=101", "limit=-1", "limit=hunter2", "limit=", "after=hunter2%20x"]
    {
        let answer = server.get(&format!("/users?{query}")).bearer(&root.access).await;
        answer.refused(422, "invalid_parameter");
    }
}

#[tokio::test]
async fn a_user_is_made_with_roles_and_may_start_disabled() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let add = |body: Value| server.post("/users").bearer(&root.access).json(&body);
    let body = json!({ "username": "alice", "password": PASSWORD, "roles": ["manager", "user"] });
    let user = add(body).await.ok(201);
    assert_eq!((&user["roles"], &user["disabled"]), (&json!(["manager", "user"]), &json!(false)));
    server.login("alice").await;
    let body = json!({ "username": "bob", "password": PASSWORD, "disabled": true });
    let user = add(body).await.ok(201);
    assert_eq!((&user["roles"], &user["disabled"]), (&json!(["user"]), &json!(true)));
    let refused = server.login_with("bob", PASSWORD).await.refused(400, "invalid_grant");
    assert_eq!(refused["detail"], "Inactive user");
    let reserved = json!({ "username": "system", "password": PASSWORD });
    add(reserved).await.ok(201);
}

#[tokio::test]
async fn a_user_is_not_made_against_the_rules() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    for (member, value, status, code) in [
        ("username", json!("hunter2:x"), 422, "invalid_value"),
        ("username", json!("root"), 409, "username_taken"),
        ("password", json!("hunter2"), 422, "weak_password"),
        ("email", json!("hunter2"), 422, "invalid_value"),
        ("full_name", json!(""), 422, "invalid_value"),
        ("roles", json!(["hunter2"]), 422, "invalid_value"),
        ("roles", json!("user"), 400, "invalid_body"),
        ("disabled", json!("hunter2"), 400, "invalid_body"),
        ("id", json!("hunter2"), 400, "invalid_body"),
    ] {
        let mut body = json!({ "username": "alice", "password": PASSWORD });
        body[member] = value;
        let answer = server.post("/users").bearer(&root.access).json(&body).await;
        answer.refused(status, code);
    }
    assert_eq!(names(&server, &root, "").await.0, ["root"]);
}

#[tokio::test]
async fn who_mistypes_a_role_is_told_which_there_are() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let body = json!({ "username": "alice", "password": PASSWORD, "roles": ["hunter2"] });
    let answer = server.post("/users").bearer(&root.access).json(&body).await;
    let detail = answer.refused(422, "invalid_value")["detail"].as_str().unwrap().to_owned();
    assert!(detail.ends_with(": admin, gateway, manager, user"), "{detail}");
}

#[tokio::test]
async fn a_user_is_found_by_id() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let user = server.register("alice").await.ok(201);
    let path = format!("/users/{}", user["id"].as_str().unwrap());
    assert_eq!(server.get(&path).bearer(&root.access).await.ok(200), user);
}

#[tokio::test]
async fn an_unknown_id_is_not_found_whatever_is_asked_of_it() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    for id in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "hunter2", "01arz3ndektsv4rrffq69g5fav"] {
        let (user, sessions) = (format!("/users/{id}"), format!("/users/{id}/sessions"));
        let answers = [
            server.get(&user).bearer(&root.access).await,
            server.patch(&user).bearer(&root.access).json(&json!({ "disabled": true })).await,
            server.delete(&user).bearer(&root.access).await,
            server.get(&sessions).bearer(&root.access).await,
            server.delete(&sessions).bearer(&root.access).await,
        ];
        for answer in answers {
            answer.refused(404, "not_found");
        }
    }
}

#[tokio::test]
async fn each_member_of_a_user_is_changed_by_itself() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    server.register("alice").await.ok(201);
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = |body: Value| server.patch(&path).bearer(&root.access).json(&body);
    let before = edit(json!({})).await.ok(200);
    for (member, value) in [
        ("email", json!("a@example.com")),
        ("email", json!(null)),
        ("full_name", json!("Alice")),
        ("full_name", json!(null)),
        ("roles", json!(["gateway", "user"])),
        ("roles", json!([])),
        ("roles", json!(["user"])),
        ("disabled", json!(true)),
        ("disabled", json!(false)),
    ] {
        let mut expected = edit(json!({})).await.ok(200);
        expected[member] = value.clone();
        assert_eq!(edit(json!({ member: value })).await.ok(200), expected);
    }
    edit(json!({ "password": NEW_PASSWORD })).await.ok(200);
    assert_eq!(edit(json!({})).await.ok(200), before);
    server.login_with("alice", NEW_PASSWORD).await.pair();
    server.login_with("alice", PASSWORD).await.refused(400, "invalid_grant");
}

#[tokio::test]
async fn an_edit_against_the_rules_changes_nothing() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let alice = server.user("alice").await;
    let path = format!("/users/{}", server.id_of("alice").await);
    for (member, value, status, code) in [
        ("email", json!("hunter2"), 422, "invalid_value"),
        ("full_name", json!("\u{7}"), 422, "invalid_value"),
        ("roles", json!(["hunter2"]), 422, "invalid_value"),
        ("password", json!("alice"), 422, "weak_password"),
        ("username", json!("hunter2"), 400, "invalid_body"),
        ("disabled", json!("hunter2"), 400, "invalid_body"),
    ] {
        let mut body = json!({ "full_name": "hunter2", "disabled": true });
        body[member] = value;
        let answer = server.patch(&path).bearer(&root.access).json(&body).await;
        answer.refused(status, code);
    }
    let user = server.get("/users/me").bearer(&alice.access).await.ok(200);
    assert_eq!((&user["full_name"], &user["disabled"]), (&Value::Null, &json!(false)));
}

#[tokio::test]
async fn disabling_and_a_new_password_end_the_sessions_and_nothing_revives_them() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    server.register("alice").await.ok(201);
    let path = format!("/users/{}", server.id_of("alice").await);
    let edits = [
        [json!({ "disabled": true }), json!({ "disabled": false })],
        [json!({ "password": NEW_PASSWORD }), json!({ "password": PASSWORD })],
    ];
    for edits in edits {
        let pair = server.login("alice").await;
        for edit in edits {
            server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
            assert!(!server.accepts(&pair.access).await);
            server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
        }
    }
}

#[tokio::test]
async fn a_change_of_roles_or_profile_ends_no_session() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let alice = server.user("alice").await;
    let path = format!("/users/{}", server.id_of("alice").await);
    let edit = json!({ "roles": ["gateway"], "full_name": "Alice", "disabled": false });
    server.patch(&path).bearer(&root.access).json(&edit).await.ok(200);
    assert!(server.accepts(&alice.access).await);
    let answer = server.get("/users/me/sessions").bearer(&alice.access).await;
    answer.refused(403, "insufficient_scope");
}

#[tokio::test]
async fn a_users_sessions_are_seen_and_ended() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let (first, second) = (server.user("alice").await, server.login("alice").await);
    let path = format!("/users/{}/sessions", server.id_of("alice").await);
    let sessions = server.get(&path).bearer(&root.access).await.ok(200);
    let ids: Vec<_> = sessions.as_array().unwrap().iter().map(|session| &session["id"]).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.contains(&&first.access_claims()["sid"]));
    assert!(sessions.as_array().unwrap().iter().all(|session| session["current"] == false));
    server.delete(&path).bearer(&root.access).await.ok(204);
    for pair in [first, second] {
        assert!(!server.accepts(&pair.access).await);
        server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
    }
    assert_eq!(server.get(&path).bearer(&root.access).await.ok(200), json!([]));
    assert!(server.accepts(&root.access).await);
}

#[tokio::test]
async fn a_deleted_user_is_gone_with_its_sessions() {
    let server = TestServer::start().await;
    let root = administrator(&server).await;
    let alice = server.user("alice").await;
    let path = format!("/users/{}", server.id_of("alice").await);
    server.delete(&path).bearer(&root.access).await.ok(204);
    assert!(!server.accepts(&alice.access).await);
    server.get(&path).bearer(&root.access).await.refused(404, "not_found");
    server.delete(&path).bearer(&root.access).await.refused(404, "not_found");
    server.user("alice").await;
}
