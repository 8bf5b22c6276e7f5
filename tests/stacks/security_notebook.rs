//! Stack 4, the security notebook: `/token` with scopes, `/items/` which echoes the token, `/users/me`, and
//! the document with its page. It kept its users in memory.

use serde_json::json;

use crate::support::Workplace;
use crate::support::client::Client;
use crate::{PASSWORD, assert_user, pair};

fn login(client: &Client, scope: &str) -> crate::support::client::Answer {
    let form = [("username", "alice"), ("password", PASSWORD), ("scope", scope)];
    client.post("/token").form(&form)
}

#[test]
fn a_client_asks_for_scopes_and_gets_its_token_back() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let server = workplace.serve();
    let client = server.client();

    let all = login(client, "");
    assert_eq!(all.expect(200)["scope"], "me posts:write");
    let some = login(client, "me items:buy");
    assert_eq!(some.expect(200)["scope"], "me", "what is not allowed is left out");
    let access = pair(&some).access;
    let echoed = client.get("/items/").bearer(&access).send();
    assert_eq!(echoed.expect(200), json!({ "token": access }));
    let me = client.get("/users/me").bearer(&access).send();
    assert_user(&me.expect(200), "alice", &["user"]);

    let post = json!({ "title": "t", "content": "c" });
    let beyond = client.post("/posts").bearer(&access).json(&post);
    beyond.expect(403);
    assert!(beyond.header("www-authenticate").unwrap().contains("insufficient_scope"));
    assert_eq!(login(client, "a\"b").expect(400)["error"], "invalid_scope");
}

#[test]
fn items_without_its_slash_is_redirected_as_fastapi_does() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let answer = server.client().get("/items?q=1").send();
    assert_eq!((answer.status, answer.header("location")), (307, Some("/items/?q=1")));
    server.client().get("/items/").send().expect(401);
}

#[test]
fn the_document_has_a_page_that_asks_nobody_else() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    let page = client.get("/docs").send();
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");

    let document = client.get("/openapi.json").send().expect(200);
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let token_url = |scheme: &serde_json::Value| scheme["flows"]["password"]["tokenUrl"].clone();
    let urls: Vec<_> = schemes.values().map(token_url).filter(|url| !url.is_null()).collect();
    assert_eq!(urls, [json!("/token")]);
    for path in ["/token", "/items/", "/users/me", "/posts", "/admin"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
}
