//! Sessions: how many there are, and everything that ends one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use keystile::auth::model::audit::Event;
use serde_json::{Value, json};
use ureq::http::Method;

use crate::harness::{SECOND, TestServer};
use crate::support::client::{Client, Pair};
use crate::support::{Server, Workplace};

const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "correct horse charger";
const SECRET: &str = "9c7d1f3a5b8e2460c1d3f5a7b9e0d2c4f6a8b0c2d4e6f80123456789abcdef42";

/// Twenty are the default; however many logins there are, there are never more.
#[tokio::test]
async fn a078_the_twenty_first_session_ends_the_least_recently_used() {
    let server = TestServer::start().await;
    let mut pairs = vec![server.user("alice").await];
    for _ in 1..20 {
        server.wait(SECOND);
        pairs.push(server.login("alice").await);
    }
    let gives_way = pairs.remove(1);
    // The first was used since, the second was not.
    pairs[0] = server.refresh(&pairs[0].refresh).await.pair();
    server.wait(SECOND);
    pairs.push(server.login("alice").await);
    assert!(!server.accepts(&gives_way.access).await);
    for pair in &pairs {
        assert!(server.accepts(&pair.access).await);
    }
    let events = server.store.audit(None, 1000).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.event == Event::SessionEvicted).count(), 1);

    let mut last = server.login("alice").await;
    for _ in 0..200 {
        last = server.login("alice").await;
    }
    let sessions = server.get("/users/me/sessions").bearer(&last.access).await.ok(200);
    assert_eq!(sessions.as_array().unwrap().len(), 20);
}

/// One connection that is kept alive.
pub struct Line(BufReader<TcpStream>);

impl Line {
    /// A new connection to `server`.
    pub fn new(server: &Server) -> Self {
        Self(BufReader::new(TcpStream::connect(server.address()).unwrap()))
    }

    /// The status of a GET with this token.
    pub fn status(&mut self, path: &str, access: &str) -> u16 {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {access}\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            let start = head.len();
            assert!(self.0.read_line(&mut head).unwrap() > 0, "hung up after {head}");
            let line = head[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        self.0.read_exact(&mut vec![0; length]).unwrap();
        head.split(' ').nth(1).unwrap().parse().unwrap()
    }
}

/// Everything that ends a session or takes a right, and the very next request of a connection that was there
/// before. A dump that is restored needs another process (`tests/process/dump.rs`); keys
/// stand below and in `keys`.
#[test]
fn a105_what_has_ended_is_dead_at_the_next_request_of_the_same_connection() {
    let workplace = Workplace::new();
    workplace.add_user("root", PASSWORD, "admin");
    let server = workplace.serve();
    let client = server.client();
    let root = client.login("root", PASSWORD);
    let mut line = Line::new(&server);
    let endings: [fn(&Client, &Pair, &Pair, &str); 7] = [
        |client, _, pair, _| drop(client.post("/logout").bearer(&pair.access).send().expect(200)),
        |client, _, pair, _| {
            drop(client.post("/revoke").form(&[("token", &pair.access)]).expect(200));
        },
        |client, _, pair, _| {
            drop(client.post("/revoke").form(&[("token", &pair.refresh)]).expect(200));
        },
        |client, _, _, name| {
            let other = client.login(name, PASSWORD);
            let body = json!({ "current_password": PASSWORD, "new_password": NEW_PASSWORD });
            client.post("/users/me/password").bearer(&other.access).json(&body).expect(204);
        },
        |client, root, _, id| edit(client, root, id, &json!({ "disabled": true })),
        |client, root, _, id| edit(client, root, id, &json!({ "password": NEW_PASSWORD })),
        |client, root, _, id| {
            let path = format!("/users/{id}");
            client.call(Method::DELETE, &path).bearer(&root.access).send().expect(204);
        },
    ];
    for (index, end) in endings.into_iter().enumerate() {
        let name = format!("user-{index}");
        let id = client.register(&name, PASSWORD)["id"].as_str().unwrap().to_owned();
        let pair = client.login(&name, PASSWORD);
        assert_eq!(line.status("/users/me", &pair.access), 200);
        // A change of password names its user, an administrator's steps the id.
        end(client, &root, &pair, if index == 3 { &name } else { &id });
        assert_eq!(line.status("/users/me", &pair.access), 401, "ending {index}");
    }
    workplace.add_user("other", PASSWORD, "admin");
    let other = client.login("other", PASSWORD);
    let me = client.get("/users/me").bearer(&other.access).send().expect(200);
    assert_eq!(line.status("/admin", &other.access), 200);
    edit(client, &root, me["id"].as_str().unwrap(), &json!({ "roles": ["user"] }));
    assert_eq!(line.status("/admin", &other.access), 403);
    assert_eq!(line.status("/users/me", &other.access), 200);
}

fn edit(client: &Client, root: &Pair, id: &str, change: &Value) {
    let path = format!("/users/{id}");
    client.call(Method::PATCH, &path).bearer(&root.access).json(change).expect(200);
}

#[test]
fn a105_a_token_lives_as_long_as_its_key() {
    let workplace = Workplace::new();
    let configure = |secrets: &str| workplace.write("config.toml", &format!("[tokens]\n{secrets}"));
    configure(&format!("secret = '{SECRET}'"));
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    let pair = server.client().login("alice", PASSWORD);
    server.stop();

    let new: String = SECRET.chars().rev().collect();
    configure(&format!("secret = '{new}'\nprevious_secrets = ['{SECRET}']"));
    let server = workplace.serve();
    assert_eq!(server.client().status_with(&pair.access), 200);
    server.stop();

    configure(&format!("secret = '{new}'"));
    let server = workplace.serve();
    assert_eq!(server.client().status_with(&pair.access), 401);
    server.client().post("/refresh").bearer(&pair.refresh).send().expect(401);
    server.client().login("alice", PASSWORD);
}
