//! The examples of the document work as they stand, one after the other, as "Try it out" sends them.

use std::collections::BTreeSet;
use std::sync::Arc;

use poem::http::Method;
use serde_json::Value;

use crate::harness::{Answer, DOCUMENT, PASSWORD, TestServer};

/// Sends documented requests and notes which.
struct Visitor {
    server: Arc<TestServer>,
    sent: BTreeSet<(String, String)>,
}

impl Visitor {
    /// Sends the example of an operation, `{id}` replaced.
    async fn send(&mut self, operation: (&str, &str), id: &str, token: Option<&str>) -> Value {
        let (method, template) = operation;
        self.sent.insert((method.to_lowercase(), template.to_owned()));
        let path = template.replace("{id}", id);
        let body = &DOCUMENT["paths"][template][method.to_lowercase()]["requestBody"];
        let mut call = self.server.call(method.parse::<Method>().unwrap(), &path);
        if let Some(token) = token {
            call = call.bearer(token);
        }
        let json = &body["content"]["application/json"]["schema"]["$ref"];
        let answer: Answer = if let Some(reference) = json.as_str() {
            call.json(&DOCUMENT.pointer(&reference[1..]).unwrap()["example"]).await
        } else {
            let form = &body["content"]["application/x-www-form-urlencoded"]["schema"];
            let fields: Vec<(&str, &str)> = form["properties"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, field)| (name.as_str(), field["example"].as_str().unwrap()))
                .collect();
            call.form(&fields).await
        };
        assert!(answer.status < 300, "{}: {}", answer.what, answer.text);
        if answer.text.is_empty() { Value::Null } else { answer.json() }
    }
}

fn id_of(value: &Value) -> String {
    value["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_example_of_a_body_works_in_its_turn() {
    let server = TestServer::start().await;
    let admin = server.user_with("operator", &["admin"]).await.access;
    let mut visitor = Visitor { server, sent: BTreeSet::new() };
    let send = &mut visitor;

    send.send(("POST", "/auth/"), "", None).await;
    let mut token = String::new();
    for path in ["/token", "/authenticate", "/auth/token"] {
        let pair = send.send(("POST", path), "", None).await;
        pair["access_token"].as_str().unwrap().clone_into(&mut token);
    }
    send.send(("PATCH", "/users/me"), "", Some(&token)).await;
    let post = id_of(&send.send(("POST", "/posts"), "", Some(&token)).await);
    send.send(("PUT", "/posts/{id}"), &post, Some(&token)).await;
    send.send(("POST", "/user/signup"), "", None).await;
    send.send(("POST", "/user/login"), "", None).await;
    let user = id_of(&send.send(("POST", "/users"), "", Some(&admin)).await);
    send.send(("PATCH", "/users/{id}"), &user, Some(&admin)).await;
    send.send(("POST", "/introspect"), "", Some(&admin)).await;
    send.send(("POST", "/revoke"), "", None).await;
    send.send(("DELETE", "/users/me"), "", Some(&token)).await;
    send.send(("POST", "/auth/"), "", None).await;
    let pair = send.send(("POST", "/token"), "", None).await;
    let token = pair["access_token"].as_str().unwrap();
    send.send(("POST", "/users/me/password"), "", Some(token)).await;

    let mut documented = BTreeSet::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation.get("requestBody").is_some() {
                documented.insert((method.clone(), path.clone()));
            }
        }
    }
    assert_eq!(visitor.sent, documented, "every operation with a body has its turn");
}

#[test]
fn no_example_is_a_password_of_these_tests() {
    assert!(!DOCUMENT.to_string().contains(PASSWORD));
}
