//! Every answer as a client gets it: its headers, its shape, and the line in the log.
//!
//! Has the client that other modules test their operations with, too.

use poem::EndpointExt;
use poem::endpoint::BoxEndpoint;
use poem::test::{TestClient, TestResponse};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::{Json, PlainText};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::Value;

use super::*;
use crate::auth::model::id::UserId;
use crate::clock::{ManualClock, Timestamp};
use crate::config::log::LogFormat;
use crate::http::admit::{HEADER_BYTES_MAX, HEADERS_MAX};
use crate::http::document;
use crate::http::fail::{Conflict, Fail};
use crate::http::routes::Slashed;
use crate::http::site::{Settings, Site, site};
use crate::random::SeededRandom;
use crate::telemetry::Captured;

/// `api` behind everything that stands before it in the server, but for the gate.
pub(in crate::http) fn behind<T: OpenApi + 'static>(
    api: T,
    https: bool,
) -> Edge<Site<BoxEndpoint<'static>>> {
    let service = OpenApiService::new(api, "demo", "1");
    let spec = service.spec();
    let settings = Settings {
        clock: Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000))),
        random: Arc::new(SeededRandom::new(7)),
        https,
        allowed_hosts: vec![],
        trust: Arc::new(Trust::nobody()),
        cors: Cors::default(),
        docs: true,
    };
    let routes = Routes::of(&T::meta(), SLASHED);
    site(service, routes, SLASHED, move || document::finish(&spec, SLASHED, true), settings)
}

/// A client of `api` behind everything that stands before it in the server.
pub(in crate::http) fn client(api: impl OpenApi + 'static) -> TestClient<BoxEndpoint<'static>> {
    TestClient::new(behind(api, false).boxed()).default_header("host", "demo")
}

/// The status and code of a refusal, whose shape and headers are checked on the way.
pub(in crate::http) async fn refusal(response: TestResponse) -> (u16, String) {
    let TestResponse(mut response) = response;
    let status = response.status().as_u16();
    let id = response.header("x-request-id").unwrap().to_owned();
    let media = response.content_type().unwrap().to_owned();
    let text = response.take_body().into_string().await.unwrap();
    assert!(!text.contains("hunter2"), "the answer echoes what was sent: {text}");
    let body: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], id);
    assert_eq!(body.get("error").is_some(), media == "application/json");
    assert!(["application/json", "application/problem+json"].contains(&&*media), "{media}");
    assert_eq!(response.headers().contains_key("www-authenticate"), status == 401);
    (status, body["code"].as_str().unwrap().to_owned())
}

const SLASHED: &[Slashed] = &[
    Slashed { path: "/things/", bare_serves: false },
    Slashed { path: "/both/", bare_serves: true },
];

struct Api;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
impl Api {
    #[oai(path = "/things/:id", method = "get")]
    async fn find(&self, id: Path<u32>, size: Query<Option<u8>>) -> PlainText<String> {
        PlainText(format!("{}{:?}", id.0, size.0))
    }

    #[oai(path = "/things/:id", method = "delete")]
    async fn delete(&self, id: Path<u32>) -> Result<Json<u32>, Fail<Conflict>> {
        if id.0 == 1 { Err(Code::LastAdmin.into()) } else { Ok(Json(id.0)) }
    }

    #[oai(path = "/things/", method = "post")]
    async fn add(&self, exchange: &Exchange) -> PlainText<String> {
        exchange.note_caller(UserId::from_bytes([0; 16]));
        PlainText(exchange.id().to_string())
    }

    #[oai(path = "/both/", method = "get")]
    async fn both(&self) -> PlainText<&'static str> {
        PlainText("here")
    }

    #[oai(path = "/token", method = "post")]
    async fn token(&self) -> PlainText<&'static str> {
        PlainText("never read")
    }

    #[oai(path = "/broken", method = "get")]
    async fn broken(&self) -> Result<(), Fail<Conflict>> {
        Err(Problem::internal(std::io::Error::other("the disk says hunter2")).into())
    }

    #[oai(path = "/panic", method = "get")]
    async fn panic(&self) {
        panic!("hunter2");
    }
}

async fn get(path: &str) -> TestResponse {
    client(Api).get(path).send().await
}

#[tokio::test]
async fn every_answer_carries_an_id_and_the_security_headers() {
    for path in ["/things/2", "/nowhere", "/panic", "/things"] {
        let response = get(path).await;
        assert_eq!(response.0.header("x-request-id").map(str::len), Some(26), "{path}");
        response.assert_header("x-content-type-options", "nosniff");
        response.assert_header("referrer-policy", "no-referrer");
        response.assert_header("cache-control", "no-store");
        let csp = "default-src 'none'; frame-ancestors 'none'";
        response.assert_header("content-security-policy", csp);
        response.assert_header_is_not_exist("server");
        response.assert_header_is_not_exist("strict-transport-security");
    }
}

#[tokio::test]
async fn browsers_are_told_to_stay_with_https_when_it_is_there() {
    let response =
        TestClient::new(behind(Api, true)).get("/things/2").header("host", "demo").send().await;
    response.assert_header("strict-transport-security", "max-age=31536000");
}

#[tokio::test]
async fn ids_differ_and_the_handler_sees_its_own() {
    let client = client(Api);
    let (first, second) =
        (client.post("/things/").send().await, client.post("/things/").send().await);
    let id = first.0.header("x-request-id").unwrap().to_owned();
    assert_ne!(Some(&*id), second.0.header("x-request-id"));
    first.assert_text(id).await;
}

#[tokio::test]
async fn an_unknown_path_or_id_is_404() {
    for path in ["/nowhere", "/things/hunter2", "/things/1/2", "//evil.example/"] {
        assert_eq!(refusal(get(path).await).await, (404, "not_found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_parameter_that_cannot_be_read_is_422_and_named() {
    let response = get("/things/2?size=hunter2").await;
    assert_eq!(refusal(response).await, (422, "invalid_parameter".to_owned()));
    get("/things/2?size=3").await.assert_text("2Some(3)").await;
}

#[tokio::test]
async fn a_method_the_path_does_not_have_is_405_with_those_it_has() {
    let client = client(Api);
    let response = client.patch("/things/2").send().await;
    response.assert_header("allow", "DELETE, GET, HEAD");
    assert_eq!(refusal(response).await, (405, "method_not_allowed".to_owned()));
    let response = client.get("/token").send().await;
    response.assert_header("allow", "POST");
    response.assert_content_type("application/json");
    assert_eq!(refusal(response).await.0, 405);
    for method in [Method::TRACE, Method::OPTIONS, Method::CONNECT] {
        let response = client.request(method, "/docs").send().await;
        response.assert_header("allow", "GET, HEAD");
    }
    let tunnel = client.request(Method::CONNECT, "hunter2:443").send().await;
    tunnel.assert_header("allow", "");
    assert_eq!(refusal(tunnel).await, (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn a_declared_refusal_arrives_as_it_was_made() {
    let client = client(Api);
    let response = client.delete("/things/1").send().await;
    assert_eq!(refusal(response).await, (409, "last_admin".to_owned()));
    client.delete("/things/2").send().await.assert_status_is_ok();
}

#[tokio::test]
async fn a_slash_missing_or_too_many_is_redirected_with_the_query() {
    let client = client(Api);
    for (path, location) in
        [("/things?a=1&b=%2F", "/things/?a=1&b=%2F"), ("/things/2/", "/things/2")]
    {
        let response = client.post(path).send().await;
        response.assert_status(StatusCode::TEMPORARY_REDIRECT);
        response.assert_header("location", location);
    }
}

#[tokio::test]
async fn a_path_published_with_a_slash_is_served_there() {
    let client = client(Api);
    for path in ["/both/", "/both"] {
        client.get(path).send().await.assert_text("here").await;
        let response = client.post(path).send().await;
        response.assert_header("allow", "GET, HEAD");
    }
    client.post("/things/?a=1").send().await.assert_status_is_ok();
    assert_eq!(logged("/both/", Method::GET).await["route"], "/both/");
    assert_eq!(logged("/both/", Method::PUT).await["route"], "/both/");
}

#[tokio::test]
async fn a_header_section_too_large_is_431_and_one_at_the_limit_is_not() {
    let client = client(Api);
    let padded = |bytes: usize| {
        let rest = bytes - "hostdemo".len() - "x".len();
        client.get("/things/2").header("x", "y".repeat(rest))
    };
    padded(HEADER_BYTES_MAX).send().await.assert_status_is_ok();
    let response = padded(HEADER_BYTES_MAX + 1).send().await;
    assert_eq!(refusal(response).await, (431, "headers_too_large".to_owned()));
    let many = |count: usize| {
        (1..count).fold(client.get("/things/2"), |request, n| request.header(format!("x{n}"), n))
    };
    many(HEADERS_MAX).send().await.assert_status_is_ok();
    assert_eq!(refusal(many(HEADERS_MAX + 1).send().await).await.0, 431);
}

#[tokio::test]
async fn a_panic_is_a_constant_500_and_the_next_request_is_served() {
    let client = client(Api);
    let response = client.get("/panic").send().await;
    assert_eq!(refusal(response).await, (500, "internal_error".to_owned()));
    client.get("/things/2").send().await.assert_status_is_ok();
}

async fn logged(path: &str, method: Method) -> Value {
    let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
    let guard = tracing::dispatcher::set_default(&dispatch);
    client(Api).request(method, path).send().await;
    drop(guard);
    let written = captured.text();
    assert_eq!(written.lines().count(), 1, "{written}");
    serde_json::from_str(&written).unwrap()
}

#[tokio::test]
async fn a_request_is_one_line_without_its_path_and_query() {
    let line = logged("/things/4111222333?size=hunter2", Method::GET).await;
    assert_eq!((&line["level"], &line["status"]), (&"INFO".into(), &422.into()));
    assert_eq!(line["route"], "/things/{id}");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["code"], "invalid_parameter");
    assert_eq!(line["message"], "GET /things/{id} 422");
    assert!(line["duration_ms"].as_f64().unwrap() >= 0.0);
    assert_eq!(line["request_id"].as_str().map(str::len), Some(26));
    assert!(!line.to_string().contains("hunter2") && !line.to_string().contains("4111222333"));
    assert_eq!(logged("/hunter2", Method::GET).await["route"], "-");
}

#[tokio::test]
async fn the_line_names_the_caller_once_known() {
    let line = logged("/things/", Method::POST).await;
    assert_eq!(line["caller"], "00000000000000000000000000");
    assert!(logged("/things/2", Method::GET).await.get("caller").is_none());
}

#[tokio::test]
async fn a_defect_is_logged_with_its_causes_as_an_error() {
    let line = logged("/broken", Method::GET).await;
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["error"], "internal_error: the disk says hunter2");
    assert_eq!(refusal(get("/broken").await).await.0, 500);
    assert_eq!(logged("/panic", Method::GET).await["level"], "ERROR");
}
