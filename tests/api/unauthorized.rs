//! Every operation of the document, and what it says to whom it does not know.
//!
//! Goal: no operation is reachable without what it asks for. Method: the table in `SECURITY.md` names each
//! operation with what it takes; one that is in the document and not in the table fails the test.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::access::Needs::{self, Admin, Nothing, Offers, Refresh, Scope, Token};
use crate::harness::access::operations;
use crate::harness::{ACCESS_TTL, Answer, Call, DOCUMENT, PASSWORD, Pair, SECOND, TestServer};

/// The rows of `SECURITY.md`.
fn table() -> impl Iterator<Item = (&'static str, &'static str, Needs)> {
    operations().into_iter().map(|row| (row.method, row.path, row.needs))
}

/// Calls the operation, whose id names nothing, without a body: the token is looked at before either.
#[track_caller]
fn call<'a>(server: &'a TestServer, method: &str, path: &str) -> Call<'a> {
    server.operation(method, path, "01ARZ3NDEKTSV4RRFFQ69G5FAV")
}

fn protected() -> impl Iterator<Item = (&'static str, &'static str, Needs)> {
    table().filter(|(_, _, needs)| !needs.is_public())
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
            let row = table().find(|row| row.0.eq_ignore_ascii_case(method) && row.1 == path);
            let (.., needs) = row.unwrap_or_else(|| panic!("{method} {path} is not in the table"));
            assert_eq!(operation["security"], declared(needs), "{method} {path}");
            documented += 1;
        }
    }
    assert_eq!(table().count(), documented, "the table lists an operation that is not there");
}

#[test]
fn what_the_table_says_of_an_operation_agrees() {
    for row in operations() {
        assert_eq!(row.lets_in[0], row.needs.is_public(), "{} {}", row.method, row.path);
        assert!(row.lets_in.is_sorted(), "{} {} lets in who has less", row.method, row.path);
        let has_object = row.path.contains("{id}");
        assert!(!has_object || row.whose != "-", "{} {}: whose?", row.method, row.path);
    }
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
    for (method, path, _) in table().filter(|(_, _, needs)| needs.is_public()) {
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
        let answer = call.with_example(method, path).await;
        answer.refused(403, "insufficient_scope");
        let expected =
            format!("Bearer realm=\"keystile\", error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!(answer.header("www-authenticate"), Some(expected.as_str()), "{}", answer.what);
    }
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
