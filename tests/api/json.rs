//! How JSON bodies are read, by every operation that takes one.

use poem::Body;
use poem::http::Method;
use serde_json::{Value, json};

use crate::harness::{Call, DOCUMENT, PASSWORD, TestServer};

/// An operation that takes JSON.
struct Operation {
    method: Method,
    path: String,
    example: Value,
    body_bytes_max: usize,
}

impl Operation {
    fn call<'a>(&self, server: &'a TestServer, token: &str) -> Call<'a> {
        server.call(self.method.clone(), &self.path).bearer(token)
    }
}

/// Every operation of the document that takes JSON, on records that `server` has.
async fn operations(server: &TestServer, token: &str) -> Vec<Operation> {
    let text = json!({ "title": "t", "content": "c" });
    let post = server.post("/posts").bearer(token).json(&text).await.ok(201);
    let user = server.add("somebody", &["user"]).await;
    let mut operations = Vec::new();
    for (path, methods) in DOCUMENT["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let Some(reference) = schema["$ref"].as_str() else { continue };
            let id = match path.split('/').nth(1) {
                Some("posts") => post["id"].as_str().unwrap().to_owned(),
                _ => user.id.to_string(),
            };
            let schema = DOCUMENT.pointer(&reference[1..]).unwrap();
            operations.push(Operation {
                method: method.to_uppercase().parse().unwrap(),
                path: path.replace("{id}", &id),
                example: schema["example"].clone(),
                body_bytes_max: if schema.to_string().contains("\"password\"") { 16 } else { 64 }
                    * 1024,
            });
        }
    }
    assert_eq!(operations.len(), 10, "the document has as many operations that take JSON");
    operations
}

async fn server_and_token() -> (std::sync::Arc<TestServer>, String) {
    let server = TestServer::start().await;
    let token = server.user_with("root", &["admin"]).await.access;
    (server, token)
}

#[tokio::test]
async fn an_unknown_member_is_refused_by_every_operation() {
    let (server, token) = server_and_token().await;
    for operation in operations(&server, &token).await {
        let mut body = operation.example.clone();
        body["hunter2"] = json!("hunter2");
        let answer = operation.call(&server, &token).json(&body).await;
        answer.refused(400, "invalid_body");
    }
}

#[tokio::test]
async fn what_is_not_the_one_object_described_is_refused_by_every_operation() {
    let (server, token) = server_and_token().await;
    for operation in operations(&server, &token).await {
        let example = operation.example.to_string();
        let (first, _) = operation.example.as_object().unwrap().iter().next().unwrap();
        let deep = format!("{{\"{first}\":{}1{}}}", "[".repeat(17), "]".repeat(17));
        let wrong = [
            String::new(),
            "hunter2".to_owned(),
            "null".to_owned(),
            "[]".to_owned(),
            format!("[{example}]"),
            format!("{example} {example}"),
            format!("\u{feff}{example}"),
            example.replacen('{', &format!("{{\"{first}\":\"hunter2\","), 1),
            example.replacen(": \"", ": \"\\ud800", 1).replacen(":\"", ":\"\\ud800", 1),
            example.replace('"', "'"),
            format!("{example}//"),
            deep,
        ];
        for body in wrong {
            let answer = operation.call(&server, &token).body("application/json", body).await;
            answer.refused(400, "invalid_body");
        }
    }
}

#[tokio::test]
async fn a_member_of_another_type_is_refused_by_every_operation() {
    let (server, token) = server_and_token().await;
    for operation in operations(&server, &token).await {
        for member in operation.example.as_object().unwrap().keys() {
            let mut wrong = vec![json!(7), json!({ "hunter2": 1 })];
            let is_flag = member == "disabled";
            wrong.push(if is_flag { json!("true") } else { json!(true) });
            if member != "roles" {
                wrong.push(json!(["hunter2"]));
            }
            for value in wrong {
                let mut body = operation.example.clone();
                body[member] = value;
                let answer = operation.call(&server, &token).json(&body).await;
                answer.refused(400, "invalid_body");
            }
        }
    }
}

#[tokio::test]
async fn another_media_type_is_refused_by_every_operation() {
    let (server, token) = server_and_token().await;
    let media = [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/hunter2+json",
        "application/json; charset=utf-16",
    ];
    for operation in operations(&server, &token).await {
        for media in media {
            let body = operation.example.to_string();
            let answer = operation.call(&server, &token).body(media, body).await;
            answer.refused(415, "unsupported_media_type");
        }
        let none = operation.call(&server, &token).await;
        none.refused(415, "unsupported_media_type");
        let coded = operation.call(&server, &token).header("content-encoding", "gzip");
        coded.json(&operation.example).await.refused(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn a_body_above_the_limit_is_refused_by_every_operation_however_it_is_framed() {
    let (server, token) = server_and_token().await;
    for operation in operations(&server, &token).await {
        let padded = |bytes: usize| {
            let body = operation.example.to_string();
            format!("{}{}", " ".repeat(bytes - body.len()), body)
        };
        let limit = operation.body_bytes_max;
        let call = || operation.call(&server, &token);
        let answer = call().body("application/json", padded(limit + 1)).await;
        answer.refused(413, "body_too_large");
        assert_eq!(answer.header("connection"), Some("close"));
        let chunked = Body::from_async_read(std::io::Cursor::new(padded(limit + 1)));
        call().body("application/json", chunked).await.refused(413, "body_too_large");
        let announced = call().header("content-length", &(64 * 1024 + 1).to_string());
        announced.body("application/json", "{}").await.refused(413, "body_too_large");
        let at_limit = call().body("application/json", padded(limit)).await;
        assert_ne!(at_limit.status, 413, "{}", at_limit.what);
    }
}

#[tokio::test]
async fn a_form_above_the_limit_is_refused_by_every_form_endpoint() {
    let (server, token) = server_and_token().await;
    let form = "application/x-www-form-urlencoded";
    let filler = |bytes: usize| format!("x={}", "x".repeat(bytes - 2));
    for path in ["/token", "/authenticate", "/auth/token", "/revoke", "/introspect"] {
        let call = || server.post(path).bearer(&token);
        let answer = call().body(form, filler(16 * 1024 + 1)).await;
        answer.refused(413, "body_too_large");
        let chunked = Body::from_async_read(std::io::Cursor::new(filler(16 * 1024 + 1)));
        call().body(form, chunked).await.refused(413, "body_too_large");
        call().body(form, filler(16 * 1024)).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_media_type_may_name_its_charset() {
    let server = TestServer::start().await;
    let body = json!({ "username": "alice", "password": PASSWORD }).to_string();
    let call = server.post("/auth/").body("Application/JSON; charset=UTF-8", body);
    call.await.ok(201);
}
