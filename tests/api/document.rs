//! The OpenAPI document: equal to the committed one, and complete.

use keystile::http::Features;
use serde_json::{Value, json};

use crate::harness::{DOCUMENT, EVERYTHING, PASSWORD, TestServer, document, schema};

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
    for path in ["/token", "/authenticate", "/auth/token"] {
        let operation = &document["paths"][path]["post"];
        let forms = operation["requestBody"]["content"].as_object().unwrap();
        assert_eq!(forms.len(), 2, "{path}");
        for form in forms.values() {
            let fields = form["schema"]["properties"].as_object().unwrap();
            let names: Vec<_> = fields.keys().collect();
            let expected = ["grant_type", "refresh_token", "scope", "client_id", "client_secret"];
            assert_eq!(names, expected, "{path}");
            assert_eq!(fields["grant_type"]["example"], "refresh_token", "{path}");
            assert_eq!(form["schema"]["required"], json!(["grant_type", "refresh_token"]));
            assert!(!operation.to_string().contains("`password`"), "{path}");
        }
    }
    let texts =
        [&document["info"]["description"], &document["paths"]["/token"]["post"]["description"]];
    for text in texts {
        assert!(!text.as_str().unwrap().contains("username and password"), "{text}");
        assert!(!text.as_str().unwrap().contains("register, press"), "{text}");
    }
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
fn every_example_of_a_body_is_of_its_schema() {
    let mut examples = 0;
    for (path, method, operation) in operations() {
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let Some(reference) = body["$ref"].as_str() else { continue };
        let example = &DOCUMENT.pointer(&reference[1..]).unwrap()["example"];
        assert_eq!(schema::check(&DOCUMENT, body, example), Ok(()), "{method} {path}");
        let wrong = json!({ "hunter2": example });
        assert!(schema::check(&DOCUMENT, body, &wrong).is_err(), "{method} {path}");
        let has_null = example.as_object().unwrap().values().any(Value::is_null);
        assert!(!has_null, "null in the example of {method} {path}");
        examples += 1;
    }
    assert!(examples >= 8);
}

#[test]
fn a_member_that_may_be_null_is_told_from_one_that_may_be_absent() {
    let schemas = &DOCUMENT["components"]["schemas"];
    for (name, member) in
        [("User", "email"), ("User", "full_name"), ("UserPage", "next"), ("Session", "user_agent")]
    {
        assert_eq!(schemas[name]["properties"][member]["nullable"], true, "{name} {member}");
        assert!(schemas[name]["required"].as_array().unwrap().contains(&json!(member)));
    }
    assert_eq!(schemas["UserPatch"]["properties"]["email"]["nullable"], true);
    assert_eq!(schemas["Introspection"]["required"], json!(["active"]));
    assert_eq!(schemas["User"]["properties"]["id"].get("nullable"), None);
}

#[tokio::test]
async fn null_is_taken_for_whatever_a_request_may_leave_out() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    let body =
        json!({ "username": "alice", "password": PASSWORD, "roles": null, "disabled": null });
    let user = server.post("/users").bearer(&root.access).json(&body).await.ok(201);
    let path = format!("/users/{}", user["id"].as_str().unwrap());
    let body = json!({ "disabled": null, "roles": null, "password": null });
    assert_eq!(server.patch(&path).bearer(&root.access).json(&body).await.ok(200), user);
}
