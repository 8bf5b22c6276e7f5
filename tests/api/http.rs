//! Paths and methods: what is not there, what is there in another spelling, what is too large.

use poem::http::Method;
use serde_json::json;

use crate::harness::{DOCUMENT, PASSWORD, TestServer};

/// The methods a client may know.
const METHODS: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];

#[tokio::test]
async fn an_unknown_path_is_not_found() {
    let server = TestServer::start().await;
    let paths = [
        "/hunter2",
        "/users/me/hunter2",
        "/docs/hunter2",
        "//hunter2",
        "/Token",
        "/token%2f",
        "/../token",
    ];
    for path in paths {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            server.call(method, path).await.refused(404, "not_found");
        }
    }
}

#[tokio::test]
async fn every_path_answers_another_method_with_those_it_has() {
    let server = TestServer::start().await;
    let documented = DOCUMENT["paths"].as_object().unwrap().iter().map(|(path, operations)| {
        (
            path.as_str(),
            operations
                .as_object()
                .unwrap()
                .keys()
                .map(|key| key.to_uppercase())
                .collect::<Vec<_>>(),
        )
    });
    let pages =
        ["/docs", "/openapi.json", "/favicon.ico"].map(|path| (path, vec!["GET".to_owned()]));
    for (template, mut methods) in documented.chain(pages) {
        let path = template.replace("{id}", "01ARZ3NDEKTSV4RRFFQ69G5FAV");
        if methods.contains(&"GET".to_owned()) {
            methods.push("HEAD".to_owned());
        }
        methods.sort_unstable();
        for method in METHODS {
            if !methods.contains(&method.to_string()) {
                let answer = server.call(method, &path).await;
                assert_eq!(answer.status, 405, "{}", answer.what);
                assert_eq!(answer.header("allow"), Some(&*methods.join(", ")), "{}", answer.what);
            }
        }
    }
}

#[tokio::test]
async fn a_method_in_a_header_changes_nothing() {
    let server = TestServer::start().await;
    for path in ["/token", "/revoke", "/introspect", "/logout"] {
        let call = server.get(path).header("x-http-method-override", "POST");
        call.await.refused(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn a_slash_too_many_or_too_few_is_redirected_with_its_query() {
    let server = TestServer::start().await;
    for (method, from, to) in [
        (Method::POST, "/token/", "/token"),
        (Method::POST, "/authenticate/", "/authenticate"),
        (Method::POST, "/auth/token/", "/auth/token"),
        (Method::GET, "/users/me/", "/users/me"),
        (Method::GET, "/users/?limit=2&q=%C3%A9", "/users?limit=2&q=%C3%A9"),
        (Method::GET, "/items", "/items/"),
        (Method::GET, "/items?x=1", "/items/?x=1"),
        (Method::GET, "/posts/", "/posts"),
        (Method::DELETE, "/posts/01/", "/posts/01"),
        (Method::GET, "/docs/", "/docs"),
        (Method::GET, "/.well-known/jwks.json/", "/.well-known/jwks.json"),
    ] {
        let answer = server.call(method, from).await;
        assert_eq!((answer.status, answer.header("location")), (307, Some(to)), "{}", answer.what);
    }
    server.get("//evil.example/").await.refused(404, "not_found");
    server.get("/hunter2/").await.refused(404, "not_found");
}

#[tokio::test]
async fn registering_works_with_and_without_the_slash() {
    let server = TestServer::start().await;
    for (path, name) in [("/auth/", "alice"), ("/auth", "bob")] {
        let body = json!({ "username": name, "password": PASSWORD });
        server.post(path).json(&body).await.ok(201);
        server.get(path).await.refused(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let server = TestServer::start().await;
    let mut many = server.get("/healthz");
    for index in 0..65 {
        many = many.header(&format!("x-{index}"), "hunter2");
    }
    many.await.refused(431, "headers_too_large");
    let large = server.get("/healthz").header("x-large", &"hunter2".repeat(3000));
    large.await.refused(431, "headers_too_large");
    let token = server.get("/users/me").bearer(&"x".repeat(100 * 1024));
    token.await.refused(431, "headers_too_large");
    server.get("/healthz").header("x-large", &"x".repeat(16_000)).await.ok(200);
}

#[tokio::test]
async fn a_head_answers_as_a_get_without_its_body() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    for path in ["/users/me", "/healthz", "/posts", "/docs", "/openapi.json"] {
        let head = server.call(Method::HEAD, path).bearer(&alice.access).await;
        assert_eq!(head.status, 200, "{path}");
    }
    let head = server.call(Method::HEAD, "/users/me").await;
    assert_eq!(head.status, 401);
}

#[tokio::test]
async fn a_parameter_comes_once_and_in_url_coding() {
    let server = TestServer::start().await;
    let root = server.user_with("root", &["admin"]).await;
    for path in [
        "/posts?limit=1&limit=0",
        "/posts?limit=1&limi%74=1",
        "/posts?after=%ff",
        "/users?q=a&q=b",
        "/users?q=%",
    ] {
        server.get(path).bearer(&root.access).await.refused(422, "invalid_parameter");
    }
    let twice = "/users/me/sessions?current=false&current=true";
    server.delete(twice).bearer(&root.access).await.refused(422, "invalid_parameter");
    server.get("/posts?limit=1&x=1&x=2").await.ok(200);
    server.get("/users?q=r%6Fot&limit=1").bearer(&root.access).await.ok(200);
}

#[tokio::test]
async fn a_request_id_is_the_servers_own() {
    let server = TestServer::start().await;
    let theirs = server.get("/hunter2").header("x-request-id", "hunter2").await;
    theirs.refused(404, "not_found");
    let again = server.get("/hunter2").await;
    assert_ne!(theirs.header("x-request-id"), again.header("x-request-id"));
}
