//! Stack 2, the OAuth2 and JWT tutorial: `/token`, `/users/me`, `/refresh`, `/revoke`, `/admin` for one
//! role, users that are disabled, and Swagger UI's Authorize. It kept its users in memory.

use serde_json::json;
use ureq::http::Method;

use crate::support::Workplace;
use crate::support::client::Client;
use crate::{PASSWORD, assert_dead, assert_refused, assert_user, pair};

fn token(client: &Client, username: &str) -> crate::support::client::Answer {
    client.post("/token").form(&[("username", username), ("password", PASSWORD)])
}

#[test]
fn a_client_logs_in_asks_who_it_is_refreshes_and_revokes() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();

    let first = pair(&token(client, "alice"));
    let me = client.get("/users/me").bearer(&first.access).send().expect(200);
    assert_user(&me, "alice", &["user"]);
    let second = pair(&client.post("/refresh").bearer(&first.refresh).send());
    let revoked = client.post("/revoke").bearer(&second.access).send();
    assert_eq!(revoked.expect(200), json!({ "msg": "Token revoked" }));
    assert_dead(&client.get("/users/me").bearer(&second.access).send());
    client.post("/refresh").bearer(&second.refresh).send().expect(401);
    // What is revoked already is revoked: RFC 7009 §2.2.
    client.post("/revoke").bearer(&second.access).send().expect(200);
    client.post("/revoke").send().expect(400);
}

#[test]
fn only_the_role_admin_gets_what_is_for_admins() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    workplace.add_user("root-admin", PASSWORD, "admin");
    workplace.add_user("alice", PASSWORD, "user");
    let [admin, alice] = ["root-admin", "alice"].map(|name| pair(&token(client, name)).access);
    let answer = client.get("/admin").bearer(&admin).send();
    assert_eq!(answer.expect(200), json!({ "msg": "Admin data" }));
    client.get("/admin").bearer(&alice).send().expect(403);
    client.get("/admin").send().expect(401);
}

#[test]
fn a_disabled_user_is_shut_out_at_once_and_told_so_at_login() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    workplace.add_user("root-admin", PASSWORD, "admin");
    let alice = client.register("alice", PASSWORD);
    let session = pair(&token(client, "alice"));
    let admin = pair(&token(client, "root-admin")).access;

    let path = format!("/users/{}", alice["id"].as_str().unwrap());
    let set = |disabled: bool| {
        let change = json!({ "disabled": disabled });
        client.call(Method::PATCH, &path).bearer(&admin).json(&change).expect(200)
    };
    assert_eq!(set(true)["disabled"], true);
    assert_dead(&client.get("/users/me").bearer(&session.access).send());
    assert_refused(&token(client, "alice"), 400, "Inactive user");
    set(false);
    pair(&token(client, "alice"));
    assert_dead(&client.get("/users/me").bearer(&session.access).send());
}

#[test]
fn what_swagger_ui_sends_is_understood() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();
    let form =
        [("grant_type", "password"), ("username", "alice"), ("password", PASSWORD), ("scope", "")];
    let blank = client.post("/token").header("authorization", "Basic Og==").form(&form);
    let access = pair(&blank).access;
    // As pasted into a field that puts `Bearer` in front by itself.
    let pasted = client.get("/users/me").bearer(&format!("Bearer {access}")).send();
    assert_user(&pasted.expect(200), "alice", &["user"]);
}
