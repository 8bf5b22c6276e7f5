//! [`Cors`]: which scripts of other origins may read answers (the Fetch standard's CORS protocol).
//!
//! Nobody's unless listed. Cookies mean nothing here, so credentials are never allowed. Origins are compared as
//! bytes; what is no listed one gets an answer that its browser keeps to itself.

use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

use super::routes::Routes;

/// What a script may send besides what any may.
const ALLOW_HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type");
/// What a script may read besides what any may.
const EXPOSE_HEADERS: HeaderValue =
    HeaderValue::from_static("retry-after, www-authenticate, x-request-id");
/// How long a browser may remember a permission, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
const VARY: HeaderValue = HeaderValue::from_static("Origin");

/// The listed origins.
#[derive(Clone, Debug, Default)]
pub struct Cors(Vec<HeaderValue>);

impl Cors {
    /// Allows these origins, such as `https://app.example.org`.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        // An origin that is no header value is none that a browser sends.
        Self(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect())
    }

    /// The origin of the script that sends `request`, if it is listed.
    #[must_use]
    pub fn listed(&self, request: &Request) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let mut origins = request.headers().get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (Some(origin), None) if self.0.contains(origin) => Some(origin.clone()),
            _ => None,
        }
    }

    /// The answer to a listed origin that asks what it may do, where there is anything to be done.
    #[must_use]
    pub fn preflight(&self, request: &Request, routes: &Routes) -> Option<Response> {
        let asks = request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        self.listed(request)?;
        let response = Response::builder()
            .status(StatusCode::NO_CONTENT)
            .header(header::ACCESS_CONTROL_ALLOW_METHODS, routes.allow(request.uri().path())?)
            .header(header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOW_HEADERS)
            .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        Some(response.finish())
    }

    /// Lets the script of a listed origin read the answer. While any are listed, no answer for one may be given
    /// to another by a cache in between.
    pub fn add_headers(&self, headers: &mut HeaderMap, listed: Option<HeaderValue>) {
        if self.0.is_empty() {
            return;
        }
        headers.append(header::VARY, VARY);
        if let Some(origin) = listed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSE_HEADERS);
        }
    }
}
