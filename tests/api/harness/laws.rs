//! What holds for every answer of the server, whatever was asked.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use keystile::http::{self, Features};
use poem::http::Method;
use serde_json::{Map, Value};

use super::answer::Answer;
use super::{CANARY, NEW_PASSWORD, PASSWORD, schema};

/// The paths that answer in RFC 6749's terms.
const OAUTH_PATHS: [&str; 6] =
    ["/token", "/authenticate", "/auth/token", "/refresh", "/revoke", "/introspect"];

/// The document with every operation in it.
pub static DOCUMENT: LazyLock<Value> = LazyLock::new(|| document(EVERYTHING));

/// Every route there is.
pub const EVERYTHING: Features = Features { docs: true, samples: true, password_grant: true };

/// The document of a server with these routes.
pub fn document(features: Features) -> Value {
    serde_json::from_str(&http::openapi(features).unwrap()).unwrap()
}

/// Fails the test if `answer` breaks a law.
pub fn check(document: &Value, method: &Method, target: &str, answer: &Answer) {
    let path = target.split('?').next().unwrap_or_default();
    check_headers(answer);
    for secret in [PASSWORD, NEW_PASSWORD] {
        assert!(!answer.text.contains(secret), "a password is echoed: {}", answer.what);
    }
    if answer.status >= 400 {
        assert!(!answer.text.contains(CANARY), "{} echoes: {}", answer.what, answer.text);
        for value in answer.headers.values() {
            assert!(!value.to_str().unwrap().contains(CANARY), "{} echoes", answer.what);
        }
        check_refusal(method, path, answer);
    }
    check_declared(document, method, path, answer);
}

#[track_caller]
fn is(answer: &Answer, name: &str, value: &str) {
    assert_eq!(answer.header(name), Some(value), "{name} of {}", answer.what);
}

fn check_headers(answer: &Answer) {
    assert_eq!(answer.header("x-request-id").map(str::len), Some(26), "{}", answer.what);
    is(answer, "x-content-type-options", "nosniff");
    is(answer, "referrer-policy", "no-referrer");
    is(answer, "strict-transport-security", "max-age=31536000");
    assert_eq!(answer.header("server"), None);
    let csp = answer.header("content-security-policy").unwrap();
    assert!(csp.contains("default-src 'none'") && csp.contains("frame-ancestors 'none'"));
    is(answer, "cache-control", "no-store");
    // RFC 6749 §5.1, for caches that know no `Cache-Control`.
    let body = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
    if ["access_token", "token"].iter().any(|member| body[*member].is_string()) {
        is(answer, "pragma", "no-cache");
    }
}

fn check_refusal(method: &Method, path: &str, answer: &Answer) {
    let what = &answer.what;
    let challenge = answer.header("www-authenticate");
    assert!(answer.status != 401 || challenge.is_some_and(|text| text.starts_with("Bearer ")));
    assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&answer.status));
    assert_eq!(answer.header("allow").is_some(), answer.status == 405, "{what}");
    let oauth = OAUTH_PATHS.contains(&path);
    let media = if oauth { "application/json" } else { "application/problem+json" };
    is(answer, "content-type", media);
    if oauth {
        is(answer, "pragma", "no-cache");
    }
    if method == Method::HEAD {
        return;
    }
    let body = answer.json();
    let members: BTreeSet<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let problem = ["type", "title", "status", "detail", "code", "request_id"];
    let more = oauth.then_some(["error", "error_description"]).into_iter().flatten();
    assert_eq!(members, problem.into_iter().chain(more).collect(), "{what}");
    assert_eq!(body["status"], answer.status, "{what}");
    assert_eq!(body["request_id"], answer.header("x-request-id").unwrap(), "{what}");
    let code = body["code"].as_str().unwrap();
    assert_eq!(body["type"], format!("urn:keystile:error:{code}"), "{what}");
    for member in members.iter().filter(|member| **member != "status") {
        assert!(!body[*member].as_str().unwrap().is_empty(), "{member} of {what}");
    }
}

/// An operation answers only what the document says it may, in the form the document says.
fn check_declared(document: &Value, method: &Method, path: &str, answer: &Answer) {
    let operation = operation(document, method, path);
    let Some(responses) = operation.map(|operation| operation["responses"].as_object().unwrap())
    else {
        return;
    };
    let status = answer.status.to_string();
    assert!(responses.contains_key(&status), "{status} is not declared: {}", answer.what);
    let content = responses[&status]["content"].as_object();
    if method == Method::HEAD || content.is_none_or(Map::is_empty) {
        assert!(answer.text.is_empty(), "{}", answer.what);
        return;
    }
    for media in content.into_iter().flat_map(Map::values) {
        let checked = schema::check(document, &media["schema"], &answer.json());
        assert_eq!(checked, Ok(()), "{}", answer.what);
    }
}

/// The operation that the document has at `path`, literal paths first as in the router.
fn operation<'a>(document: &'a Value, method: &Method, path: &str) -> Option<&'a Value> {
    let paths = document["paths"].as_object().unwrap();
    let path = if path == "/auth" { "/auth/" } else { path };
    let matching = paths.iter().filter(|(template, _)| is_instance(template, path));
    let (_, operations) = matching.min_by_key(|(template, _)| template.matches('{').count())?;
    operations.get(method.as_str().to_ascii_lowercase())
}

fn is_instance(template: &str, path: &str) -> bool {
    let (template, path): (Vec<_>, Vec<_>) =
        (template.split('/').collect(), path.split('/').collect());
    let fits = |(wanted, segment): (&&str, &&str)| {
        if wanted.starts_with('{') { !segment.is_empty() } else { wanted == segment }
    };
    template.len() == path.len() && template.iter().zip(&path).all(fits)
}
