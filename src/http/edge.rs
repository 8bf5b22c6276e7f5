//! [`Edge`]: the one middleware. Gives each request an id, each answer its headers, each refusal its
//! shape and each of them one log line; nothing that panics inside gets past it.
//!
//! One wrapper instead of five, since it stands in the way of every request. Knows paths only to say
//! what a refused one should have been.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result};

use super::body;
use super::exchange::{Exchange, RequestId, RequestIds};
use super::problem::{Code, Problem};
use super::refusal::problem_of;
use super::routes::Routes;
use super::shape::Shape;
use crate::clock::Clock;

/// Header fields that a request may have.
const HEADERS_MAX: usize = 64;

/// Bytes that the names and values of a request's headers may have.
const HEADER_BYTES_MAX: usize = 16 * 1024;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const CSP: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// All routes of a server, with everything around them.
pub struct Edge<E> {
    /// The routes.
    pub inner: E,
    /// What the routes are, for `Allow` and for redirects.
    pub routes: Routes,
    /// Where the ids have their time from.
    pub clock: Arc<dyn Clock>,
    /// What makes the ids differ.
    pub ids: RequestIds,
    /// Whether the public URL is https, so that browsers may be told to stay with it.
    pub https: bool,
}

/// What is still known of a request once the routes have taken it.
struct Asked {
    method: Method,
    uri: Uri,
    exchange: Exchange,
    at: Instant,
}

impl<E: Endpoint> Endpoint for Edge<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let asked = Asked {
            method: request.method().clone(),
            uri: request.uri().clone(),
            exchange: Exchange::new(self.ids.next(self.clock.now())),
            at: Instant::now(),
        };
        let answer = if let Err(problem) = received(&mut request).await {
            Err(problem.into())
        } else {
            request.set_data(asked.exchange.clone());
            unwound(self.inner.call(request)).await.unwrap_or_else(|_| Err(panicked().into()))
        };
        let (mut response, problem) = match answer {
            Ok(answer) => (answer.into_response(), None),
            Err(error) => self.refuse(error, &asked),
        };
        self.add_headers(response.headers_mut(), asked.exchange.id());
        self.log(&asked, &response, problem.as_ref());
        Ok(response)
    }
}

impl<E> Edge<E> {
    fn refuse(&self, error: poem::Error, asked: &Asked) -> (Response, Option<Problem>) {
        if error.is_from_response() {
            return (error.into_response(), None);
        }
        let path = asked.uri.path();
        let pattern = error.data::<PathPattern>().cloned();
        let problem = if error.is::<NotFoundError>() {
            if let Some(location) = self.routes.slash_redirect(&asked.uri) {
                return (redirect(&location), None);
            }
            if path.is_empty() {
                // A tunnel is nowhere, so that no method is to be had there (RFC 9110 §10.2.1).
                Problem::from(Code::MethodNotAllowed).with_allow(String::new())
            } else {
                Code::NotFound.into()
            }
        } else if error.is::<MethodNotAllowedError>() {
            let allow = self.routes.allow(path).unwrap_or_default();
            Problem::from(Code::MethodNotAllowed).with_allow(allow)
        } else {
            problem_of(error)
        };
        let mut response = problem.render(Shape::of(path), asked.exchange.id());
        if let Some(pattern) = pattern {
            response.set_data(pattern);
        }
        (response, Some(problem))
    }

    fn add_headers(&self, headers: &mut HeaderMap, id: RequestId) {
        if let Ok(id) = HeaderValue::from_str(id.encode(&mut [0; ulid::ULID_LEN])) {
            headers.insert(X_REQUEST_ID, id);
        }
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
        headers.insert(header::REFERRER_POLICY, NO_REFERRER);
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(CSP);
        headers.insert(header::CACHE_CONTROL, NO_STORE);
        if self.https {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
    }

    /// One line per request. The route is the template: a path or a query may carry what must not be
    /// kept.
    fn log(&self, asked: &Asked, response: &Response, problem: Option<&Problem>) {
        let pattern = response.data::<PathPattern>().map(|pattern| &*pattern.0);
        let route = pattern.filter(|pattern| !pattern.is_empty());
        let route = route.map_or("-", |pattern| self.routes.label(pattern));
        // Text rather than what must be formatted first: a good part of the line's cost.
        let mut id = [0; ulid::ULID_LEN];
        let (request_id, method) = (asked.exchange.id().encode(&mut id), asked.method.as_str());
        let status = response.status().as_u16();
        let duration_ms = asked.at.elapsed().as_secs_f64() * 1000.0;
        let caller = asked.exchange.caller().map(tracing::field::display);
        let code = problem.map(|problem| problem.code().as_str());
        if response.status().is_server_error() {
            let error = problem.map(|problem| tracing::field::display(Causes(problem)));
            tracing::error!(
                request_id,
                method,
                route,
                status,
                duration_ms,
                caller,
                code,
                error,
                "{method} {route} {status}"
            );
        } else {
            tracing::info!(
                request_id,
                method,
                route,
                status,
                duration_ms,
                caller,
                code,
                "{method} {route} {status}"
            );
        }
    }
}

/// Takes in what belongs to the request, before anything is made of it.
async fn received(request: &mut Request) -> std::result::Result<(), Problem> {
    if is_oversized(request.headers()) {
        return Err(Code::HeadersTooLarge.into());
    }
    body::receive(request).await
}

/// The message of a panic may quote anything, so nobody looks at it; where it happened the log says.
fn panicked() -> Problem {
    Problem::internal("a handler panicked")
}

/// Runs `future`, a panic in it being a value like any other.
async fn unwound<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

fn is_oversized(headers: &HeaderMap) -> bool {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    headers.len() > HEADERS_MAX || headers.iter().map(bytes).sum::<usize>() > HEADER_BYTES_MAX
}

/// 307 keeps the method and the body, as a client that posts needs it.
fn redirect(location: &str) -> Response {
    Response::builder()
        .status(StatusCode::TEMPORARY_REDIRECT)
        .header(header::LOCATION, location)
        .finish()
}

/// An error followed by its causes, down to the first.
struct Causes<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Causes<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.0)?;
        std::iter::successors(self.0.source(), |cause| cause.source())
            .try_for_each(|cause| write!(formatter, ": {cause}"))
    }
}

#[cfg(test)]
pub(in crate::http) mod tests {
    use std::io::Write;
    use std::sync::Mutex;

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
    use crate::http::document;
    use crate::http::fail::{Conflict, Fail};
    use crate::http::routes::Slashed;
    use crate::http::site::{Settings, Site, site};
    use crate::random::SeededRandom;

    fn behind<T: OpenApi + 'static>(api: T, https: bool) -> Edge<Site<BoxEndpoint<'static>>> {
        let service = OpenApiService::new(api, "demo", "1");
        let spec = service.spec();
        let settings = Settings {
            clock: Arc::new(ManualClock::at(Timestamp::from_secs(1_800_000_000))),
            random: Arc::new(SeededRandom::new(7)),
            https,
            docs: true,
        };
        let routes = Routes::of(&T::meta(), SLASHED);
        site(service, routes, SLASHED, move || document::finish(&spec, SLASHED, true), settings)
    }

    /// A client of `api` behind everything that stands before it in the server.
    pub(in crate::http) fn client(api: impl OpenApi + 'static) -> TestClient<BoxEndpoint<'static>> {
        TestClient::new(behind(api, false).boxed())
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
        let response = TestClient::new(behind(Api, true)).get("/things/2").send().await;
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
        let padded = |bytes: usize| client.get("/things/2").header("x", "y".repeat(bytes - 1));
        padded(HEADER_BYTES_MAX).send().await.assert_status_is_ok();
        let response = padded(HEADER_BYTES_MAX + 1).send().await;
        assert_eq!(refusal(response).await, (431, "headers_too_large".to_owned()));
        let many = |count: usize| {
            (0..count)
                .fold(client.get("/things/2"), |request, n| request.header(format!("x{n}"), n))
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

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn logged(path: &str, method: Method) -> Value {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        client(Api).request(method, path).send().await;
        drop(guard);
        let written = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
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
}
