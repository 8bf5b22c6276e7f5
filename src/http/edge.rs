//! [`Edge`]: the one middleware. Gives each request an id, each answer its headers, each refusal its
//! shape and each of them one log line; nothing that panics inside gets past it.
//!
//! One wrapper instead of five, since it stands in the way of every request. Knows paths only to say
//! what a refused one should have been.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use poem::error::{MethodNotAllowedError, NotFoundError};
use poem::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use poem::{Endpoint, IntoResponse, PathPattern, Request, Response, Result};

use super::admit;
use super::body;
use super::cors::Cors;
use super::error::RETRY_AFTER_SECS;
use super::exchange::{Exchange, RequestId, RequestIds};
use super::origin;
use super::problem::{Code, Problem};
use super::refusal::problem_of;
use super::routes::Routes;
use super::shape::Shape;
use super::trust::Trust;
use crate::clock::Clock;

/// How long an operation may take once its request is there.
const HANDLER_DEADLINE: Duration = Duration::from_secs(15);

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
    /// The only hosts that requests may name, any if empty.
    pub allowed_hosts: Vec<String>,
    /// Whom to believe about where a request comes from.
    pub trust: Arc<Trust>,
    /// Which scripts of other origins may read answers.
    pub cors: Cors,
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
            exchange: Exchange::new(
                self.ids.next(self.clock.now()),
                origin::client(&request, &self.trust),
            ),
            at: Instant::now(),
        };
        let origin = self.cors.listed(&request);
        let answer = if let Err(problem) = self.receive(&mut request).await {
            Err(problem.into())
        } else if let Some(permission) = self.cors.preflight(&request, &self.routes) {
            Ok(permission)
        } else {
            request.set_data(asked.exchange.clone());
            // Pinned where it is made: it is large, and each wrapper would move it.
            let operation = pin!(self.inner.call(request));
            in_time(unwound(operation))
                .await
                .unwrap_or_else(|problem| Err(problem.into()))
                .map(IntoResponse::into_response)
        };
        let (mut response, problem) = match answer {
            Ok(answer) => (answer, None),
            Err(error) => self.refuse(error, &asked),
        };
        self.cors.add_headers(response.headers_mut(), origin);
        self.add_headers(response.headers_mut(), asked.exchange.id());
        self.log(&asked, &response, problem.as_ref());
        asked.exchange.tell_of_denial(response.status());
        Ok(response)
    }
}

impl<E> Edge<E> {
    /// Takes in what belongs to the request, before anything is made of it.
    async fn receive(&self, request: &mut Request) -> std::result::Result<(), Problem> {
        admit::check(request, &self.allowed_hosts)?;
        body::receive(request).await
    }

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
        let ip = asked.exchange.client().map(tracing::field::display);
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
                ip,
                code,
                error,
                "{method} {route} {status}"
            );
        } else {
            let reason = problem.and_then(std::error::Error::source).map(tracing::field::display);
            tracing::info!(
                request_id,
                method,
                route,
                status,
                duration_ms,
                caller,
                ip,
                code,
                reason,
                "{method} {route} {status}"
            );
        }
    }
}

/// The message of a panic may quote anything, so nobody looks at it; where it happened the log says.
fn panicked() -> Problem {
    Problem::internal("a handler panicked")
}

/// Runs `operation`, a panic in it being a refusal like any other.
async fn unwound<F: Future>(mut operation: Pin<&mut F>) -> std::result::Result<F::Output, Problem> {
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| operation.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(_) => Poll::Ready(Err(panicked())),
    })
    .await
}

/// Gives `future` up at the deadline. What it asked of the store may be done all the same.
async fn in_time<T>(
    future: impl Future<Output = std::result::Result<T, Problem>>,
) -> std::result::Result<T, Problem> {
    let mut future = pin!(future);
    // Most answers are there at the first look, which costs no timer.
    if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        return output;
    }
    match tokio::time::timeout(HANDLER_DEADLINE, future).await {
        Ok(output) => output,
        Err(elapsed) => Err(Problem::unavailable(RETRY_AFTER_SECS).because(elapsed)),
    }
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
pub(in crate::http) mod tests;
