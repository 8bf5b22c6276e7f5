//! The documentation: `/docs` (Swagger UI), `/openapi.json` and `/favicon.ico`.
//!
//! The page loads the document from beside itself instead of having it pasted in, so nothing in the
//! document can reach the page's markup, and it asks no other host for anything. It is put together at
//! the first visit: a server whose page nobody opens spends neither time nor memory on it.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use poem::endpoint::make_sync;
use poem::http::{HeaderValue, header};
use poem::{IntoResponse, Response, Route, get};
use poem_openapi::OpenApiService;

use super::problem::Problem;
use super::routes::Routes;

const FAVICON: &[u8] = include_bytes!("favicon.ico");

/// No `validator.swagger.io` badge and no token kept beyond the page.
const START: &str = "SwaggerUIBundle({ dom_id: '#ui', url: 'openapi.json', deepLinking: true, \
    validatorUrl: null, persistAuthorization: false })";

/// Where it is.
pub const PATHS: [&str; 3] = ["/docs", "/openapi.json", "/favicon.ico"];

/// Mounts the documentation of `routes` on `route`; `document` makes the document at the first visit.
#[must_use]
pub fn attach(
    route: Route,
    routes: &mut Routes,
    document: impl Fn() -> serde_json::Result<String> + Send + Sync + 'static,
) -> Route {
    for path in PATHS {
        routes.add(path, "GET");
    }
    // Never freed, so that clients that are slow to take it share it.
    let made = OnceLock::<Option<&'static str>>::new();
    let spec = make_sync(move |_| -> poem::Result<Response> {
        let text = made.get_or_init(|| document().ok().map(|text| &*text.leak()));
        let text = text.ok_or_else(|| Problem::internal("the document cannot be made"))?;
        Ok(Response::builder().content_type("application/json").body(text))
    });
    route
        .at("/docs", get(make_sync(|_| page())))
        .at("/openapi.json", get(spec))
        .at("/favicon.ico", get(make_sync(|_| favicon())))
}

fn favicon() -> Response {
    Response::builder().content_type("image/x-icon").body(FAVICON)
}

struct Page {
    html: String,
    csp: HeaderValue,
}

fn page() -> poem::Result<Response> {
    static PAGE: OnceLock<Option<Page>> = OnceLock::new();
    let page = PAGE.get_or_init(Page::make).as_ref();
    let page = page.ok_or_else(|| Problem::internal("the bundled page has another form"))?;
    Ok(Response::builder()
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, page.csp.clone())
        .body(page.html.as_str())
        .into_response())
}

impl Page {
    /// Our page around the bundled style and script.
    fn make() -> Option<Self> {
        let bundled = OpenApiService::new((), "", "").swagger_ui_html();
        let style = between(&bundled, "<style charset=\"UTF-8\">", "</style>")?;
        let script = between(&bundled, "<script charset=\"UTF-8\">", "</script>")?;
        let csp = format!(
            "default-src 'none'; script-src '{}' '{}'; style-src '{}'; img-src 'self' data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            source(script),
            source(START),
            source(style),
        );
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Keystile API</title>\n<link rel=\"icon\" href=\"favicon.ico\">\n\
             <style>{style}</style>\n</head>\n<body>\n<div id=\"ui\"></div>\n\
             <noscript>This page needs JavaScript; the document itself is at \
             <a href=\"openapi.json\">openapi.json</a>.</noscript>\n\
             <script>{script}</script>\n<script>{START}</script>\n</body>\n</html>\n"
        );
        Some(Self { html, csp: HeaderValue::try_from(csp).ok()? })
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(inner, _)| inner)
}

/// The source expression that permits exactly this inline element (CSP3 §2.3.1).
fn source(inline: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, inline.as_bytes())))
}

#[cfg(test)]
mod tests {
    use poem::test::TestResponse;
    use poem_openapi::OpenApi;
    use poem_openapi::payload::PlainText;

    use super::*;
    use crate::http::edge::tests::client;

    struct Api;

    #[OpenApi]
    #[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
    impl Api {
        /// A sneaky </script><script>alert(1)</script> remark.
        #[oai(path = "/ping", method = "get")]
        async fn ping(&self) -> PlainText<&'static str> {
            PlainText("pong")
        }
    }

    async fn get(path: &str) -> TestResponse {
        client(Api).get(path).send().await
    }

    #[tokio::test]
    async fn the_page_permits_exactly_its_own_inline_elements() {
        let response = get("/docs").await;
        response.assert_status_is_ok();
        response.assert_content_type("text/html; charset=utf-8");
        let csp = response.0.header("content-security-policy").unwrap().to_owned();
        let html = response.0.into_body().into_string().await.unwrap();
        let mut inline = 0;
        for tag in ["script", "style"] {
            let mut rest = html.as_str();
            while let Some((_, element)) = rest.split_once(&format!("<{tag}>")) {
                let (text, after) = element.split_once(&format!("</{tag}>")).unwrap();
                rest = after;
                assert!(csp.contains(&source(text)), "an inline {tag} is not permitted");
                inline += 1;
            }
        }
        assert_eq!((inline, csp.matches("sha256-").count()), (3, 3));
        assert!(!csp.contains("unsafe"));
    }

    #[tokio::test]
    async fn the_page_names_itself_and_no_other_host() {
        let html = get("/docs").await.0.into_body().into_string().await.unwrap();
        assert!(html.starts_with("<!doctype html>"));
        assert!(
            html.contains("<html lang=\"en\">") && html.contains("<title>Keystile API</title>")
        );
        assert!(!html.contains("src=\"http") && !html.contains("<link rel=\"stylesheet"));
        assert!(!html.contains("alert(1)"), "the document is not part of the page");
    }

    #[tokio::test]
    async fn the_document_and_the_icon_are_served() {
        let spec = get("/openapi.json").await;
        spec.assert_content_type("application/json");
        let spec = spec.json().await;
        spec.value().object().get("paths").object().get("/ping").assert_not_null();
        let icon = get("/favicon.ico").await;
        icon.assert_content_type("image/x-icon");
        icon.assert_bytes(FAVICON).await;
    }

    #[tokio::test]
    async fn a_slash_too_many_is_taken_away() {
        let response = get("/docs/").await;
        response.assert_status(poem::http::StatusCode::TEMPORARY_REDIRECT);
        response.assert_header("location", "/docs");
    }
}
