//! Stack 1, the REST auth service: registering with JSON at `/auth/`, logging in with form-data at
//! `/auth/token`, and `/` behind the token. It had a SQL database, and a `.env` that goes on to serve.

use serde_json::json;

use crate::support::Workplace;
use crate::support::client::{Answer, Client};
use crate::support::token::is_signed_with;
use crate::{PASSWORD, assert_refused, assert_user, pair};

const SECRET: &str = "5b1f0a7c9d3e2486fbd1e5a3c7092d4e6f8a1b3c5d7e9f02468ace13579bdf80";

/// Logs in as a browser's `FormData` does.
fn login(client: &Client, username: &str, password: &str) -> Answer {
    let field = |name: &str, value: &str| {
        format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let body = field("username", username) + &field("password", password) + "--X--\r\n";
    client.post("/auth/token").body("multipart/form-data; boundary=X", &body)
}

#[test]
fn a_client_registers_logs_in_and_calls_with_the_dotenv_it_had() {
    let workplace = Workplace::new();
    let dotenv =
        format!("DATABASE_URL=postgresql://u:p@db/auth\nSECRET_KEY={SECRET}\nALGORITHM=HS256\n");
    workplace.write(".env", &dotenv);
    let server = workplace.serve();
    let client = server.client();

    let account = json!({ "username": "alice", "password": PASSWORD });
    let alice = client.post("/auth/").json(&account).expect(201);
    assert_user(&alice, "alice", &["user"]);
    let taken = client.post("/auth/").json(&account);
    assert_eq!(taken.expect(409)["code"], "username_taken");

    let pair = pair(&login(client, "alice", PASSWORD));
    assert!(is_signed_with(&pair.access, SECRET), "another service's check would fail");
    assert_eq!(client.get("/").bearer(&pair.access).send().expect(200), alice);
}

#[test]
fn the_slash_at_the_end_is_a_matter_of_taste() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let account = json!({ "username": "alice", "password": PASSWORD });
    server.client().post("/auth").json(&account).expect(201);
    let answer = server.client().post("/auth/token/").form(&[("username", "alice")]);
    assert_eq!((answer.status, answer.header("location")), (307, Some("/auth/token")));
}

#[test]
fn what_is_wrong_is_told_apart() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    let register = |account| client.post("/auth/").json(&account);
    register(json!({ "username": "alice" })).expect(400);
    register(json!({ "username": "alice", "password": "short" })).expect(422);
    register(json!({ "username": "a b", "password": PASSWORD })).expect(422);
    let refused = login(client, "alice", PASSWORD);
    assert_refused(&refused, 400, "Incorrect username or password");
    let nobody = client.get("/").send();
    nobody.expect(401);
    let challenge = nobody.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer") && !challenge.contains("error"), "{challenge}");
    let browser = client.get("/").header("accept", "text/html").send();
    assert_eq!((browser.status, browser.header("location")), (303, Some("/docs")));
}
