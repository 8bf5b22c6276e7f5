//! The OpenAPI document: equal to the committed one, and complete.

use keystile::http::Features;
use serde_json::{Value, json};

use crate::harness::{DOCUMENT, EVERYTHING, TestServer, document};

fn operations() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    DOCUMENT["paths"].as_object().unwrap().iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

#[tokio::test]
async fn the_served_document_is_the_committed_one() {
    let server = TestServer::start().await;
    let answer = server.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let committed = include_str!("../../openapi.json");
    assert!(
        answer.text.trim() == committed.trim(),
        "the document has changed; regenerate it with `cargo run -- openapi > openapi.json`"
    );
}

#[test]
fn every_operation_is_described_and_named_once() {
    let mut ids = std::collections::BTreeSet::new();
    for (path, method, operation) in operations() {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id), "{id} names two operations");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(
                !response["description"].as_str().unwrap().is_empty(),
                "{method} {path} {status}"
            );
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    assert!(DOCUMENT.pointer(&reference[1..]).is_some(), "{reference}");
                }
                members.values().for_each(check);
            }
            Value::Array(elements) => elements.iter().for_each(check),
            _ => {}
        }
    }
    check(&DOCUMENT);
}

#[test]
fn whatever_asks_for_a_token_declares_what_it_answers_without() {
    for (path, method, operation) in operations() {
        let responses = operation["responses"].as_object().unwrap();
        let security = operation["security"].as_array();
        let secured = security.is_some_and(|schemes| !schemes.contains(&json!({})));
        assert_eq!(responses.contains_key("401"), secured, "{method} {path}");
        let schemes = operation["security"].as_array().into_iter().flatten();
        let scoped = schemes
            .filter_map(|scheme| scheme["OAuth2"].as_array())
            .any(|scopes| !scopes.is_empty());
        assert!(!scoped || responses.contains_key("403"), "{method} {path}");
        let has_body = operation.get("requestBody").is_some();
        assert_eq!(responses.contains_key("413"), has_body, "{method} {path}");
    }
}

#[test]
fn without_the_password_grant_the_document_does_not_offer_it() {
    let document = document(Features { password_grant: false, ..EVERYTHING });
    let schemes: Vec<_> =
        document["components"]["securitySchemes"].as_object().unwrap().keys().collect();
    assert_eq!(schemes, ["Bearer", "RefreshToken"]);
    assert!(!document.to_string().contains("OAuth2\""));
    let me = &document["paths"]["/users/me"]["get"];
    assert_eq!(me["security"], json!([{ "Bearer": [] }]));
    assert!(document["paths"].get("/user/login").is_none());
}

#[test]
fn without_the_samples_the_document_has_none_of_them() {
    let document = document(Features { samples: false, ..EVERYTHING });
    let paths = document["paths"].as_object().unwrap();
    for path in paths.keys() {
        let is_sample =
            ["/posts", "/items", "/admin", "/user/"].iter().any(|start| path.starts_with(start));
        assert!(!is_sample, "{path}");
    }
    assert!(paths.contains_key("/users/me") && paths.contains_key("/token"));
}

#[test]
fn revoking_takes_a_token_in_the_header_and_asks_for_none() {
    let security = &DOCUMENT["paths"]["/revoke"]["post"]["security"];
    assert_eq!(*security, json!([{ "OAuth2": [] }, { "Bearer": [] }, {}]));
}
