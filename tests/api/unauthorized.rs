//! Every operation of the document, and what it says to whom it does not know.
//!
//! Goal: no operation is reachable without what it asks for. Method: the table names each operation with
//! what it takes; an operation that is in the document and not in the table fails the test.

use std::sync::Arc;

use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{ACCESS_TTL, Answer, Call, DOCUMENT, PASSWORD, Pair, SECOND, TestServer};

/// What an operation asks of whoever calls it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Nothing.
    Nothing,
    /// Nothing, but a bearer token in place of the body is taken.
    Offers,
    /// Any live access token.
    Token,
    /// A live access token with this scope.
    Scope(&'static str),
    /// A live access token of an administrator.
    Admin,
    /// A refresh token.
    Refresh,
}

use Needs::{Admin, Nothing, Offers, Refresh, Scope, Token};

impl Needs {
    fn is_public(self) -> bool {
        matches!(self, Nothing | Offers)
    }
}

const TABLE: [(&str, &str, Needs); 37] = [
    ("POST", "/token", Nothing),
    ("POST", "/authenticate", Nothing),
    ("POST", "/auth/token", Nothing),
    ("POST", "/refresh", Refresh),
    ("POST", "/revoke", Offers),
    ("POST", "/introspect", Scope("introspect")),
    ("POST", "/auth/", Nothing),
    ("GET", "/users/me", Token),
    ("PATCH", "/users/me", Scope("me")),
    ("DELETE", "/users/me", Scope("me")),
    ("POST", "/users/me/password", Scope("me")),
    ("POST", "/logout", Token),
    ("GET", "/users/me/sessions", Scope("me")),
    ("DELETE", "/users/me/sessions", Scope("me")),
    ("DELETE", "/users/me/sessions/{id}", Scope("me")),
    ("GET", "/users", Scope("users:read")),
    ("POST", "/users", Scope("users:write")),
    ("GET", "/users/{id}", Scope("users:read")),
    ("PATCH", "/users/{id}", Scope("users:write")),
    ("DELETE", "/users/{id}", Scope("users:write")),
    ("GET", "/users/{id}/sessions", Scope("users:read")),
    ("DELETE", "/users/{id}/sessions", Scope("users:write")),
    ("GET", "/", Token),
    ("GET", "/verify", Token),
    ("GET", "/.well-known/jwks.json", Nothing),
    ("GET", "/.well-known/oauth-authorization-server", Nothing),
    ("GET", "/healthz", Nothing),
    ("GET", "/readyz", Nothing),
    ("GET", "/items/", Token),
    ("GET", "/admin", Admin),
    ("GET", "/posts", Nothing),
    ("POST", "/posts", Scope("posts:write")),
    ("GET", "/posts/{id}", Nothing),
    ("PUT", "/posts/{id}", Scope("posts:write")),
    ("DELETE", "/posts/{id}", Scope("posts:write")),
    ("POST", "/user/signup", Nothing),
    ("POST", "/user/login", Nothing),
];

/// Calls the operation, whose id names nothing, without a body: the token is looked at before either.
#[track_caller]
fn call<'a>(server: &'a TestServer, method: &str, path: &str) -> Call<'a> {
    let path = path.replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
    server.call(method.parse::<Method>().unwrap(), &path)
}

fn protected() -> impl Iterator<Item = (&'static str, &'static str, Needs)> {
    TABLE.into_iter().filter(|(_, _, needs)| !needs.is_public())
}

/// Refused for a bad token, with the challenge that says so.
#[track_caller]
fn assert_bad_token(answer: &Answer, needs: Needs) {
    let code = if needs == Refresh { "invalid_grant" } else { "invalid_token" };
    answer.refused(401, code);
    let challenge = "Bearer realm=\"keystile\", error=\"invalid_token\"";
    assert_eq!(answer.header("www-authenticate"), Some(challenge), "{}", answer.what);
}

/// The requirement as the document says it.
fn declared(needs: Needs) -> Value {
    match needs {
        Nothing => Value::Null,
        Offers => json!([{ "OAuth2": [] }, { "Bearer": [] }, {}]),
        Refresh => json!([{ "RefreshToken": [] }]),
        Token | Admin => json!([{ "OAuth2": [] }, { "Bearer": [] }]),
        Scope(scope) => json!([{ "OAuth2": [scope] }, { "Bearer": [] }]),
    }
}

#[test]
fn the_table_lists_every_operation_of_the_document_with_what_it_declares() {
    let mut documented = 0;
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let row = TABLE.iter().find(|row| row.0.eq_ignore_ascii_case(method) && row.1 == path);
            let (.., needs) = row.unwrap_or_else(|| panic!("{method} {path} is not in the table"));
            assert_eq!(operation["security"], declared(*needs), "{method} {path}");
            documented += 1;
        }
    }
    assert_eq!(TABLE.len(), documented, "the table lists an operation that is not there");
}

#[tokio::test]
async fn without_a_token_the_challenge_names_no_error() {
    let server = TestServer::start().await;
    for (method, path, _) in protected() {
        let answer = call(&server, method, path).await;
        answer.refused(401, "not_authenticated");
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, Some("Bearer realm=\"keystile\""), "{}", answer.what);
    }
}

#[tokio::test]
async fn what_is_public_asks_for_no_token_and_minds_no_bad_one() {
    let server = TestServer::start().await;
    for (method, path, _) in TABLE.into_iter().filter(|(_, _, needs)| needs.is_public()) {
        for answer in
            [call(&server, method, path).await, call(&server, method, path).bearer("hunter2").await]
        {
            assert!(![401, 403].contains(&answer.status), "{}", answer.what);
        }
    }
}

#[tokio::test]
async fn a_malformed_foreign_or_mistaken_token_opens_nothing() {
    let server = TestServer::start().await;
    let pair = server.user_with("root", &["admin"]).await;
    let foreign = TestServer::with(|settings| settings.seed = 2).await;
    let foreign = foreign.user_with("root", &["admin"]).await;
    for (method, path, needs) in protected() {
        let (other, mistaken) = match needs {
            Refresh => (&foreign.refresh, &pair.access),
            _ => (&foreign.access, &pair.refresh),
        };
        for token in ["hunter2", "a.b.c", other, mistaken] {
            assert_bad_token(&call(&server, method, path).bearer(token).await, needs);
        }
    }
    assert!(server.accepts(&pair.access).await, "and none of it harmed the session");
    server.refresh(&pair.refresh).await.pair();
}

async fn assert_all_refuse(server: &TestServer, pair: &Pair) {
    for (method, path, needs) in protected() {
        let token = if needs == Refresh { &pair.refresh } else { &pair.access };
        assert_bad_token(&call(server, method, path).bearer(token).await, needs);
    }
}

#[tokio::test]
async fn an_expired_token_opens_nothing() {
    let server = TestServer::start().await;
    let pair = server.user_with("root", &["admin"]).await;
    server.wait(ACCESS_TTL);
    for (method, path, needs) in protected().filter(|(_, _, needs)| *needs != Refresh) {
        assert_bad_token(&call(&server, method, path).bearer(&pair.access).await, needs);
    }
    server.wait(30 * 86_400 * SECOND);
    assert_all_refuse(&server, &pair).await;
}

#[tokio::test]
async fn a_token_of_an_ended_session_opens_nothing() {
    let server = TestServer::start().await;
    let pair = server.user_with("root", &["admin"]).await;
    server.post("/logout").bearer(&pair.access).await.ok(200);
    assert_all_refuse(&server, &pair).await;
}

#[tokio::test]
async fn two_authorization_headers_open_nothing() {
    let server = TestServer::start().await;
    let pair = server.user_with("root", &["admin"]).await;
    for (method, path, needs) in protected() {
        let token = if needs == Refresh { &pair.refresh } else { &pair.access };
        let answer = call(&server, method, path).bearer(token).bearer(token).await;
        answer.refused(400, "ambiguous_credentials");
    }
}

/// A pair of an administrator that was granted nothing.
async fn without_scopes(server: &Arc<TestServer>) -> Pair {
    server.add("root", &["admin"]).await;
    let form = [("username", "root"), ("password", PASSWORD), ("scope", "none")];
    server.post("/token").form(&form).await.pair()
}

#[tokio::test]
async fn a_token_that_lacks_the_scope_is_told_which() {
    let server = TestServer::start().await;
    let pair = without_scopes(&server).await;
    for (method, path, needs) in protected() {
        let Scope(scope) = needs else { continue };
        let call = call(&server, method, path).bearer(&pair.access);
        let answer = with_example(call, method, path).await;
        answer.refused(403, "insufficient_scope");
        let expected =
            format!("Bearer realm=\"keystile\", error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()), "{}", answer.what);
    }
}

/// The call with the body that the document shows, if it takes one: a body that cannot be read is
/// refused before the scope is.
fn with_example<'a>(call: Call<'a>, method: &str, path: &str) -> Call<'a> {
    let content = &DOCUMENT["paths"][path][method.to_lowercase()]["requestBody"]["content"];
    if let Some(reference) = content["application/json"]["schema"]["$ref"].as_str() {
        return call.json(&DOCUMENT.pointer(&reference[1..]).unwrap()["example"]);
    }
    if content.is_object() { call.form(&[("token", "x")]) } else { call }
}

#[tokio::test]
async fn a_token_that_lacks_the_role_is_forbidden() {
    let server = TestServer::start().await;
    let pair = server.user_with("manager", &["manager", "gateway"]).await;
    for (method, path, _) in protected().filter(|(_, _, needs)| *needs == Admin) {
        let answer = call(&server, method, path).bearer(&pair.access).await;
        answer.refused(403, "forbidden");
        assert_eq!(answer.header("www-authenticate"), None);
    }
}
