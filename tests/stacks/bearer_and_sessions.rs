//! Stack 0, the bearer and sessions example: `/authenticate` with a form, `/refresh` and `/logout` with a
//! bearer token. It had nginx, a SQL database, and Redis for the jti of each token.

use crate::support::Workplace;
use crate::support::client::{Answer, Client};
use crate::support::token::claims;
use crate::{PASSWORD, assert_dead, assert_refused, is_ulid, pair};

fn authenticate(client: &Client, password: &str) -> Answer {
    client.post("/authenticate").form(&[("username", "alice"), ("password", password)])
}

#[test]
fn a_client_authenticates_refreshes_and_logs_out() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();

    let first = pair(&authenticate(client, PASSWORD));
    for token in [&first.access, &first.refresh] {
        let claims = claims(token);
        let (user, unique) = claims["jti"].as_str().unwrap().split_once(':').unwrap();
        assert_eq!(claims["sub"], user);
        assert!(is_ulid(user), "{user}");
        let is_hex = unique.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        assert!(unique.len() == 32 && is_hex, "{unique}");
    }
    assert_eq!(claims(&first.access)["grant"], "access");
    assert_eq!(claims(&first.refresh)["grant"], "refresh");

    let second = pair(&client.post("/refresh").bearer(&first.refresh).send());
    assert_ne!(claims(&second.access)["jti"], claims(&first.access)["jti"]);
    assert_eq!(client.status_with(&second.access), 200);
    let answer = client.post("/logout").bearer(&second.access).send();
    assert_eq!(answer.expect(200), serde_json::json!({}));
    for token in [&first.access, &second.access] {
        assert_dead(&client.get("/users/me").bearer(token).send());
    }
    for token in [&first.refresh, &second.refresh] {
        client.post("/refresh").bearer(token).send().expect(401);
    }
    assert_dead(&client.post("/logout").bearer(&second.access).send());
}

#[test]
fn each_login_is_a_session_of_its_own() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();
    let [phone, laptop] = [0; 2].map(|_| pair(&authenticate(client, PASSWORD)));
    client.post("/logout").bearer(&phone.access).send().expect(200);
    assert_eq!(client.status_with(&laptop.access), 200);
}

#[test]
fn a_refresh_token_that_was_used_before_ends_the_session() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();
    let refresh = |token: &str| client.post("/refresh").bearer(token).send();
    let first = pair(&authenticate(client, PASSWORD));
    let second = pair(&refresh(&first.refresh));
    let third = pair(&refresh(&second.refresh));
    assert_eq!(refresh(&first.refresh).expect(401)["error"], "invalid_grant");
    assert_dead(&client.get("/users/me").bearer(&third.access).send());
}

#[test]
fn what_is_wrong_is_told_apart() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();
    let wrong = authenticate(client, "not the password");
    assert_refused(&wrong, 400, "Incorrect username or password");
    assert_eq!(wrong.expect(400)["error"], "invalid_grant");
    let pair = pair(&authenticate(client, PASSWORD));
    client.post("/refresh").bearer(&pair.access).send().expect(401);
    assert_dead(&client.post("/logout").bearer(&pair.refresh).send());
    client.post("/logout").send().expect(401);
    assert_eq!(client.status_with(&pair.access), 200, "none of this ended the session");
}
