//! [`Answer`]: a response that was read, and what tests ask of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::Response;
use poem::http::HeaderMap;
use serde_json::{Value, json};

/// A response with its body.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
    /// Which request it answers, and where that was written.
    pub what: String,
}

/// A token pair.
#[derive(Clone)]
pub struct Pair {
    /// Opens the API.
    pub access: String,
    /// Makes the next pair.
    pub refresh: String,
    /// The answer as it came.
    pub body: Value,
}

impl Answer {
    /// Reads `response`, which answers `what`.
    pub async fn read(mut response: Response, what: String) -> Self {
        let body = response.take_body().into_bytes().await.unwrap();
        Self {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: String::from_utf8_lossy(&body).into_owned(),
            what,
        }
    }

    /// The value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The body of a success; null if there is none.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// The body of a refusal with this status and code.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text);
        let body = self.json();
        assert_eq!(body["code"], code, "{}", self.what);
        body
    }

    /// A token pair.
    #[track_caller]
    pub fn pair(&self) -> Pair {
        let body = self.ok(200);
        let text = |member: &str| body[member].as_str().unwrap().to_owned();
        Pair { access: text("access_token"), refresh: text("refresh_token"), body }
    }

    /// The body.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("{}: {}", self.what, self.text))
    }

    /// The body without what differs between any two requests.
    #[track_caller]
    pub fn constant(&self) -> Value {
        let mut body = self.json();
        body["request_id"] = json!(null);
        body
    }
}

impl Pair {
    /// The claims of the access token.
    pub fn access_claims(&self) -> Value {
        segment(&self.access, 1)
    }

    /// The claims of the refresh token.
    pub fn refresh_claims(&self) -> Value {
        segment(&self.refresh, 1)
    }

    /// The header of the access token.
    pub fn access_header(&self) -> Value {
        segment(&self.access, 0)
    }

    /// The header of the refresh token.
    pub fn refresh_header(&self) -> Value {
        segment(&self.refresh, 0)
    }

    /// What the access token was granted.
    pub fn scope(&self) -> &str {
        self.body["scope"].as_str().unwrap()
    }
}

/// One part of a token, unverified.
fn segment(token: &str, index: usize) -> Value {
    let coded = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(coded).unwrap()).unwrap()
}
