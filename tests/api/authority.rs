//! Nobody gives what they do not hold, and nobody governs those who hold more.

use serde_json::{Value, json};

use crate::harness::{NEW_PASSWORD, PASSWORD, Pair, TestServer};

/// A manager may read and write users, and holds neither `introspect` nor the role `admin`.
async fn manager(server: &TestServer) -> Pair {
    server.user_with("manager", &["manager"]).await
}

async fn path_of(server: &TestServer, name: &str) -> String {
    format!("/users/{}", server.id_of(name).await)
}

#[tokio::test]
async fn without_the_scope_no_user_is_read_or_written() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let path = path_of(&server, "alice").await;
    let sessions = format!("{path}/sessions");
    let new = json!({ "username": "bob", "password": PASSWORD });
    let answers = [
        (server.get("/users").bearer(&alice.access).await, "users:read"),
        (server.get(&path).bearer(&alice.access).await, "users:read"),
        (server.get(&sessions).bearer(&alice.access).await, "users:read"),
        (server.post("/users").bearer(&alice.access).json(&new).await, "users:write"),
        (server.patch(&path).bearer(&alice.access).json(&json!({})).await, "users:write"),
        (server.delete(&path).bearer(&alice.access).await, "users:write"),
        (server.delete(&sessions).bearer(&alice.access).await, "users:write"),
    ];
    for (answer, scope) in answers {
        answer.refused(403, "insufficient_scope");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.ends_with(&format!("scope=\"{scope}\"")), "{challenge}");
    }
    assert!(server.accepts(&alice.access).await);
}

#[tokio::test]
async fn a_new_user_gets_no_role_that_its_maker_lacks() {
    let server = TestServer::start().await;
    let (manager, root) = (manager(&server).await, server.user_with("root", &["admin"]).await);
    let add = |pair: &Pair, name: &str, roles: &[&str]| {
        let body = json!({ "username": name, "password": PASSWORD, "roles": roles });
        server.post("/users").bearer(&pair.access).json(&body)
    };
    for (index, roles) in [&["admin"][..], &["gateway"], &["user", "admin"]].iter().enumerate() {
        add(&manager, &format!("m{index}"), roles).await.refused(403, "forbidden");
        add(&root, &format!("r{index}"), roles).await.ok(201);
    }
    for (index, roles) in
        [&[][..], &["user"], &["manager"], &["user", "manager"]].iter().enumerate()
    {
        add(&manager, &format!("n{index}"), roles).await.ok(201);
    }
}

#[tokio::test]
async fn an_existing_user_gets_no_role_that_the_editor_lacks() {
    let server = TestServer::start().await;
    let (manager, root) = (manager(&server).await, server.user_with("root", &["admin"]).await);
    server.register("alice").await.ok(201);
    let path = path_of(&server, "alice").await;
    let give = |pair: &Pair, roles: &[&str]| {
        server.patch(&path).bearer(&pair.access).json(&json!({ "roles": roles }))
    };
    for roles in [&["admin"][..], &["gateway"], &["user", "gateway"]] {
        give(&manager, roles).await.refused(403, "forbidden");
    }
    give(&manager, &["user", "manager"]).await.ok(200);
    give(&manager, &["user"]).await.ok(200);
    give(&root, &["gateway"]).await.ok(200);
    let back = give(&manager, &["user"]).await;
    back.refused(403, "forbidden");
}

#[tokio::test]
async fn nobody_gives_themselves_a_role() {
    let server = TestServer::start().await;
    let manager = manager(&server).await;
    let root = server.user_with("root", &["admin"]).await;
    for (pair, name, roles) in [
        (&manager, "manager", json!(["manager", "admin"])),
        (&manager, "manager", json!(["manager", "user"])),
        (&root, "root", json!(["admin", "user"])),
    ] {
        let path = path_of(&server, name).await;
        let answer =
            server.patch(&path).bearer(&pair.access).json(&json!({ "roles": roles })).await;
        answer.refused(403, "forbidden");
    }
    let path = path_of(&server, "manager").await;
    let less = json!({ "roles": [] });
    server.patch(&path).bearer(&manager.access).json(&less).await.ok(200);
    server.get("/users").bearer(&manager.access).await.refused(403, "insufficient_scope");
}

#[tokio::test]
async fn whoever_holds_more_is_not_governed() {
    let server = TestServer::start().await;
    let manager = manager(&server).await;
    server.add("root", &["admin"]).await;
    server.add("gate", &["gateway"]).await;
    server.register("alice").await.ok(201);
    let edits = [
        json!({ "password": NEW_PASSWORD }),
        json!({ "roles": [] }),
        json!({ "disabled": true }),
        json!({ "disabled": false }),
    ];
    for name in ["root", "gate"] {
        let path = path_of(&server, name).await;
        for edit in &edits {
            let answer = server.patch(&path).bearer(&manager.access).json(edit).await;
            answer.refused(403, "forbidden");
        }
        server.delete(&path).bearer(&manager.access).await.refused(403, "forbidden");
        let (pair, sessions) = (server.login(name).await, format!("{path}/sessions"));
        server.delete(&sessions).bearer(&manager.access).await.refused(403, "forbidden");
        assert!(server.accepts(&pair.access).await);
    }
    let path = path_of(&server, "alice").await;
    for edit in &edits {
        server.patch(&path).bearer(&manager.access).json(edit).await.ok(200);
    }
    server.delete(&format!("{path}/sessions")).bearer(&manager.access).await.ok(204);
    server.delete(&path).bearer(&manager.access).await.ok(204);
}

#[tokio::test]
async fn a_token_of_narrow_scope_gives_and_governs_only_within_it() {
    let server = TestServer::start().await;
    server.add("root", &["admin"]).await;
    server.register("alice").await.ok(201);
    let form = [("username", "root"), ("password", PASSWORD), ("scope", "users:write")];
    let narrow = server.post("/token").form(&form).await.pair();
    let path = path_of(&server, "alice").await;
    let edit = |body: Value| server.patch(&path).bearer(&narrow.access).json(&body);
    edit(json!({ "full_name": "Alice" })).await.ok(200);
    edit(json!({ "disabled": true })).await.refused(403, "forbidden");
    edit(json!({ "roles": ["gateway", "user"] })).await.refused(403, "forbidden");
    server.get(&path).bearer(&narrow.access).await.refused(403, "insufficient_scope");
}
