//! Who may do what: each line of the table in `SECURITY.md`, tried.

use std::sync::Arc;

use keystile::auth::model::user::User;
use keystile::auth::policy::Registration;
use serde_json::json;

use crate::harness::access::{Needs, Operation, operations};
use crate::harness::{Answer, PASSWORD, Pair, TestServer, roles};

/// Names nothing.
const NOBODY: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// The answer to an operation with the document's example as its body.
async fn call(server: &TestServer, row: &Operation, id: &str, pair: Option<&Pair>) -> Answer {
    let call = server.operation(row.method, row.path, id).with_example(row.method, row.path);
    let Some(pair) = pair else { return call.await };
    let token = if row.needs == Needs::Refresh { &pair.refresh } else { &pair.access };
    call.bearer(token).await
}

#[tokio::test]
async fn az_09_each_role_is_let_in_where_the_table_says() {
    let server = TestServer::start().await;
    server.add("root", &["admin"]).await;
    for (index, row) in operations().iter().enumerate() {
        // Each of them may log out or leave.
        let user = server.user_with(&format!("user-{index}"), &["user"]).await;
        let admin = server.user_with(&format!("admin-{index}"), &["admin"]).await;
        for (pair, expected) in [None, Some(&user), Some(&admin)].into_iter().zip(row.lets_in) {
            let answer = call(&server, row, NOBODY, pair).await;
            assert!(answer.status < 500, "{}", answer.what);
            assert_eq!(![401, 403].contains(&answer.status), expected, "{}", answer.text);
        }
    }
}

/// What the operations with an id are tried on: bob is a user with a post, root an administrator.
struct Scene {
    server: Arc<TestServer>,
    alice: Pair,
    admin: Pair,
    manager: Pair,
    bob: Pair,
}

impl Scene {
    async fn new() -> Self {
        let server = TestServer::start().await;
        server.add("root", &["admin"]).await;
        Self {
            alice: server.user("alice").await,
            admin: server.user_with("other-root", &["admin"]).await,
            manager: server.user_with("manager", &["manager"]).await,
            bob: server.user("bob").await,
            server,
        }
    }

    async fn session(&self, pair: &Pair) -> String {
        let list = self.server.get("/users/me/sessions").bearer(&pair.access).await.ok(200);
        list[0]["id"].as_str().unwrap().to_owned()
    }

    async fn post(&self) -> String {
        let body = json!({ "title": "Low tide", "content": "At six." });
        let post = self.server.post("/posts").bearer(&self.bob.access).json(&body).await.ok(201);
        post["id"].as_str().unwrap().to_owned()
    }

    /// Whether an operation on this id is let in, where 404 says what 403 would.
    async fn lets(&self, row: &Operation, id: &str, pair: &Pair) -> bool {
        let answer = call(&self.server, row, id, Some(pair)).await;
        if answer.status == 404 {
            let missing = call(&self.server, row, NOBODY, Some(pair)).await;
            assert_eq!(answer.constant(), missing.constant(), "{}", answer.what);
        }
        assert!(matches!(answer.status, 200 | 204 | 403 | 404), "{}", answer.text);
        answer.status < 300
    }
}

#[tokio::test]
async fn az_09_what_is_whose_is_as_the_table_says() {
    let mut tried = 0;
    for row in operations().iter().filter(|row| row.path.contains("{id}")) {
        let scene = Scene::new().await;
        let server = &scene.server;
        let (bob, root) = (server.id_of("bob").await, server.id_of("root").await);
        match row.whose {
            "own" => {
                let id = scene.session(&scene.bob).await;
                assert!(!scene.lets(row, &id, &scene.alice).await, "{}", row.path);
                assert!(!scene.lets(row, &id, &scene.admin).await, "{}", row.path);
                assert!(scene.lets(row, &id, &scene.bob).await, "{}", row.path);
            }
            "own; role `admin`: any" => {
                let id = scene.post().await;
                assert!(!scene.lets(row, &id, &scene.alice).await, "{}", row.path);
                assert!(!scene.lets(row, &id, &scene.manager).await, "{}", row.path);
                assert!(scene.lets(row, &id, &scene.admin).await, "{}", row.path);
                let id = scene.post().await;
                assert!(scene.lets(row, &id, &scene.bob).await, "{}", row.path);
            }
            "whoever holds no more" => {
                assert!(!scene.lets(row, &root, &scene.manager).await, "{}", row.path);
                assert!(scene.lets(row, &bob, &scene.manager).await, "{}", row.path);
            }
            "any; password, roles, `disabled`: whoever holds no more" => {
                assert!(scene.lets(row, &root, &scene.manager).await, "{}", row.path);
                for (id, expected) in [(&root, 403), (&bob, 200)] {
                    let call = server.patch(&format!("/users/{id}")).bearer(&scene.manager.access);
                    let answer = call.json(&json!({ "disabled": true })).await;
                    assert_eq!(answer.status, expected, "{}", answer.text);
                }
            }
            "any" if row.path.starts_with("/users") => {
                assert!(scene.lets(row, &root, &scene.manager).await, "{}", row.path);
            }
            "any" => assert!(scene.lets(row, &scene.post().await, &scene.alice).await),
            other => panic!("{} {}: nothing tries {other}", row.method, row.path),
        }
        tried += 1;
    }
    assert_eq!(tried, 9);
}

/// Where registration is closed, the default roles are nobody's by right.
#[tokio::test]
async fn az_05_default_roles_are_given_as_if_they_were_named() {
    for registration in [Registration::Closed, Registration::Open] {
        let server = TestServer::with(|settings| {
            settings.policy.registration = registration;
            settings.policy.default_roles = roles(&["gateway"]);
        })
        .await;
        let manager = server.user_with("manager", &["manager"]).await;
        let root = server.user_with("root", &["admin"]).await;
        for (index, named) in [None, Some(["gateway"])].iter().enumerate() {
            let name = format!("gate-{index}");
            let mut body = json!({ "username": name, "password": PASSWORD });
            if let Some(named) = named {
                body["roles"] = json!(named);
            }
            let answer = server.post("/users").bearer(&manager.access).json(&body).await;
            match registration {
                Registration::Closed => drop(answer.refused(403, "forbidden")),
                Registration::Open => drop(answer.ok(201)),
            }
        }
        let body = json!({ "username": "gate", "password": PASSWORD });
        let added = server.post("/users").bearer(&root.access).json(&body).await.ok(201);
        assert_eq!(added["roles"], json!(["gateway"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn az_05_of_administrators_who_remove_each_other_one_is_left() {
    let server = TestServer::start().await;
    let mut admins = Vec::new();
    for index in 0..6 {
        let name = format!("root-{index}");
        let pair = server.user_with(&name, &["admin"]).await;
        admins.push((server.id_of(&name).await, pair));
    }
    let tasks: Vec<_> = (0..admins.len() * admins.len())
        .map(|turn| {
            let (server, admins) = (Arc::clone(&server), admins.clone());
            tokio::spawn(async move {
                let (victim, by) = (&admins[turn % 6].0, &admins[turn / 6].1.access);
                let path = format!("/users/{victim}");
                let call = match turn % 3 {
                    0 => server.delete(&path).bearer(by),
                    1 => server.patch(&path).bearer(by).json(&json!({ "disabled": true })),
                    _ => server.patch(&path).bearer(by).json(&json!({ "roles": ["user"] })),
                };
                let answer = call.await;
                assert!(answer.status < 500, "{}", answer.text);
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let users = server.store.users(String::new(), None, 100).await.unwrap();
    assert!(users.items.iter().any(User::is_active_admin), "nobody is left");
}

/// The law of every answer is in `tests/api/harness/laws.rs`; here is every operation that hands one out.
#[tokio::test]
async fn at_17_an_answer_with_a_token_is_kept_by_no_cache() {
    let server = TestServer::start().await;
    let pair = server.user("ann").await;
    let blog = json!({ "email": "ann@x", "password": PASSWORD });
    let form = [("username", "ann"), ("password", PASSWORD)];
    let signup = json!({ "fullname": "Ann", "email": "ann@x", "password": PASSWORD });
    for call in [
        server.post("/token").form(&form),
        server.post("/authenticate").form(&form),
        server.post("/auth/token").form(&form),
        server.refresh(&pair.refresh),
        server.post("/user/signup").json(&signup),
        server.post("/user/login").json(&blog),
        server.get("/items/").bearer(&pair.access),
    ] {
        let answer = call.await;
        answer.ok(200);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.what);
        assert_eq!(answer.header("pragma"), Some("no-cache"), "{}", answer.what);
    }
}

#[tokio::test]
async fn at_16_a030_a_token_in_the_header_is_nowhere_else() {
    let server = TestServer::start().await;
    let pair = server.user_with("ann", &["admin"]).await;
    let access = pair.access.as_str();
    for place in ["access_token=x", "a=1&access%5Ftoken=x", "access_token", "=&access_token=&%"] {
        for path in ["/users/me", "/users", "/verify", "/items/", "/"] {
            let answer = server.get(&format!("{path}?{place}")).bearer(access).await;
            answer.refused(400, "ambiguous_credentials");
            let challenge = answer.header("www-authenticate").unwrap();
            assert!(challenge.contains("error=\"invalid_request\""), "{challenge}");
        }
        for path in ["/refresh", "/logout", "/revoke", "/introspect"] {
            for media in
                ["application/x-www-form-urlencoded", "Application/X-WWW-Form-UrlEncoded ;x=y"]
            {
                let token = if path == "/refresh" { &pair.refresh } else { access };
                let answer = server.post(path).bearer(token).body(media, place).await;
                answer.refused(400, "ambiguous_credentials");
            }
        }
    }
    assert!(server.accepts(access).await);
    server.refresh(&pair.refresh).await.pair();
}

/// What only looks like a token elsewhere, and a token elsewhere alone, which is nobody's.
#[tokio::test]
async fn at_16_a030_other_parameters_beside_the_header_are_none() {
    let server = TestServer::start().await;
    let pair = server.user_with("ann", &["admin"]).await;
    let (access, refresh) = (pair.access.as_str(), pair.refresh.as_str());
    for query in ["token=x", "Access_Token=x", "access_token2=x", "x=access_token"] {
        server.get(&format!("/users/me?{query}")).bearer(access).await.ok(200);
    }
    let alone = || server.get(&format!("/users/me?access_token={access}"));
    for call in [alone(), alone().header("authorization", "Basic Og==")] {
        let answer = call.await;
        answer.refused(401, "not_authenticated");
        assert!(!answer.header("www-authenticate").unwrap().contains("error"));
    }
    let form = [("access_token", access)];
    server.post("/logout").form(&form).await.refused(401, "not_authenticated");
    let form = [("token", access), ("x", "access_token")];
    server.post("/introspect").bearer(access).form(&form).await.ok(200);
    server
        .patch("/users/me")
        .bearer(access)
        .json(&json!({ "full_name": "access_token=x" }))
        .await
        .ok(200);
    server.post("/revoke").bearer(access).form(&[("token", refresh)]).await.ok(200);
    assert!(!server.accepts(access).await);
}
