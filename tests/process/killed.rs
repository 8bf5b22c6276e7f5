//! `kill -9` right after an answer: whatever was answered is there at the next start.
//!
//! Each round does one thing, kills the server as soon as it has said that it is done, starts it again
//! and looks. At the end everything is looked at once more.

use serde_json::json;
use ureq::http::Method;

use crate::PASSWORD;
use crate::support::Workplace;
use crate::support::client::{Client, Pair};

/// What must hold from an answer on.
type Promise = Box<dyn Fn(&Client)>;
/// Does one thing to the user of this name, who does not exist yet.
type Step = fn(&Client, &str) -> Promise;

const STEPS: [Step; 10] = [
    register,
    login,
    refresh,
    logout,
    revoke,
    change_password,
    give_role,
    disable,
    delete,
    publish,
];

#[test]
fn whatever_was_answered_survives_a_kill() {
    let workplace = Workplace::new();
    workplace.add_user("root-admin", PASSWORD, "admin");
    let mut promises: Vec<Promise> = Vec::new();
    for round in 0..20 {
        let server = workplace.serve();
        if let Some(promise) = promises.last() {
            promise(server.client());
        }
        promises.push(STEPS[round % STEPS.len()](server.client(), &format!("user{round}")));
        server.kill();
    }
    let server = workplace.serve();
    for promise in promises {
        promise(server.client());
    }
}

fn member(client: &Client, name: &str) -> Pair {
    client.register(name, PASSWORD);
    client.login(name, PASSWORD)
}

fn admin(client: &Client) -> String {
    client.login("root-admin", PASSWORD).access
}

fn status_of_login(client: &Client, name: &str, password: &str) -> u16 {
    client.post("/token").form(&[("username", name), ("password", password)]).status
}

fn is_dead(pair: Pair) -> Promise {
    Box::new(move |client| {
        assert_eq!(client.status_with(&pair.access), 401);
        client.post("/refresh").bearer(&pair.refresh).send().expect(401);
    })
}

fn register(client: &Client, name: &str) -> Promise {
    client.register(name, PASSWORD);
    let name = name.to_owned();
    Box::new(move |client| drop(client.login(&name, PASSWORD)))
}

fn login(client: &Client, name: &str) -> Promise {
    let pair = member(client, name);
    Box::new(move |client| assert_eq!(client.status_with(&pair.access), 200))
}

fn refresh(client: &Client, name: &str) -> Promise {
    let first = member(client, name);
    let exchange = move |client: &Client| {
        Pair::of(&client.post("/refresh").bearer(&first.refresh).send().expect(200))
    };
    let next = exchange(client);
    Box::new(move |client| {
        assert_eq!(client.status_with(&next.access), 200);
        assert_eq!(exchange(client), next, "the token was exchanged twice");
    })
}

fn logout(client: &Client, name: &str) -> Promise {
    let pair = member(client, name);
    client.post("/logout").bearer(&pair.access).send().expect(200);
    is_dead(pair)
}

fn revoke(client: &Client, name: &str) -> Promise {
    let pair = member(client, name);
    client.post("/revoke").form(&[("token", &pair.refresh)]).expect(200);
    is_dead(pair)
}

fn change_password(client: &Client, name: &str) -> Promise {
    const NEW: &str = "staple battery horse";
    let (other, own) = (member(client, name), client.login(name, PASSWORD));
    let change = json!({ "current_password": PASSWORD, "new_password": NEW });
    client.post("/users/me/password").bearer(&own.access).json(&change).expect(204);
    let name = name.to_owned();
    Box::new(move |client| {
        assert_eq!(status_of_login(client, &name, PASSWORD), 400);
        assert_eq!(status_of_login(client, &name, NEW), 200);
        assert_eq!(client.status_with(&own.access), 200);
        assert_eq!(client.status_with(&other.access), 401);
    })
}

/// Has the administrator change the user; the user's path.
fn change(client: &Client, name: &str, change: &serde_json::Value) -> String {
    let id = client.register(name, PASSWORD)["id"].as_str().unwrap().to_owned();
    let path = format!("/users/{id}");
    client.call(Method::PATCH, &path).bearer(&admin(client)).json(change).expect(200);
    path
}

fn give_role(client: &Client, name: &str) -> Promise {
    change(client, name, &json!({ "roles": ["admin", "user"] }));
    let name = name.to_owned();
    Box::new(move |client| {
        let access = client.login(&name, PASSWORD).access;
        client.get("/admin").bearer(&access).send().expect(200);
    })
}

fn disable(client: &Client, name: &str) -> Promise {
    change(client, name, &json!({ "disabled": true }));
    let name = name.to_owned();
    Box::new(move |client| assert_eq!(status_of_login(client, &name, PASSWORD), 400))
}

fn delete(client: &Client, name: &str) -> Promise {
    let pair = member(client, name);
    let (me, password) = ("/users/me", json!({ "password": PASSWORD }));
    client.call(Method::DELETE, me).bearer(&pair.access).json(&password).expect(204);
    is_dead(pair)
}

fn publish(client: &Client, name: &str) -> Promise {
    let access = member(client, name).access;
    let post = json!({ "title": name, "content": "text" });
    let post = client.post("/posts").bearer(&access).json(&post).expect(201);
    let path = format!("/posts/{}", post["id"].as_str().unwrap());
    Box::new(move |client| assert_eq!(client.get(&path).send().expect(200), post))
}
