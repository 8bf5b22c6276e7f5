//! The one shape of every refusal: a [`Code`] from the table, rendered as RFC 9457 problem details and
//! on the OAuth endpoints as RFC 6749 §5.2 besides.
//!
//! Holds no text a client sent: titles and details are this program's own words.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::time::Duration;

use poem::Response;
use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::exchange::RequestId;
use super::shape::Shape;

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"keystile\"");
const CHALLENGE_INVALID: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"keystile\", error=\"invalid_token\"");
const CHALLENGE_AMBIGUOUS: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"keystile\", error=\"invalid_request\"");

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $code:literal, $title:literal, $detail:literal;)+) => {
        /// What went wrong, as a stable name that clients may branch on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($(#[$doc])* $name,)+
        }

        impl Code {
            /// Every code, for the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// The status it is answered with, unless an operation says otherwise.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)+ }
            }

            /// A short name of the kind of problem.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// What is said when the operation has nothing more exact to say.
            #[must_use]
            pub const fn detail(self) -> &'static str {
                match self { $(Self::$name => $detail,)+ }
            }

            /// The stable URI that names this kind of problem (RFC 9457 §3.1.1).
            #[must_use]
            pub const fn type_uri(self) -> &'static str {
                match self { $(Self::$name => concat!("urn:keystile:error:", $code),)+ }
            }
        }
    };
}

codes! {
    /// A parameter of an OAuth endpoint is missing, repeated or malformed (RFC 6749 §5.2).
    InvalidRequest = BAD_REQUEST, "invalid_request", "Invalid request", "The request is malformed.";
    /// The credentials or the refresh token are not good (RFC 6749 §5.2).
    InvalidGrant = BAD_REQUEST, "invalid_grant", "Invalid grant", "Incorrect username or password";
    /// A grant type this server does not offer (RFC 6749 §5.2).
    UnsupportedGrantType = BAD_REQUEST, "unsupported_grant_type", "Unsupported grant type",
        "The grant type is not offered here.";
    /// The scope is malformed or wider than the grant (RFC 6749 §5.2).
    InvalidScope = BAD_REQUEST, "invalid_scope", "Invalid scope",
        "The scope is malformed or wider than what was granted.";
    /// The body is not the JSON object the operation describes.
    InvalidBody = BAD_REQUEST, "invalid_body", "Invalid body",
        "The body is not the JSON object that this operation describes.";
    /// A signed-in user's password, asked for once more, is wrong.
    InvalidPassword = BAD_REQUEST, "invalid_password", "Wrong password", "The password is not correct.";
    /// Credentials came in more than one way (RFC 6750 §2).
    AmbiguousCredentials = BAD_REQUEST, "ambiguous_credentials", "Ambiguous credentials",
        "Send exactly one Authorization header, and the token nowhere else.";
    /// No credentials came with the request.
    NotAuthenticated = UNAUTHORIZED, "not_authenticated", "Not authenticated", "Not authenticated";
    /// The token is dead, foreign or tampered with; which of them stays here.
    InvalidToken = UNAUTHORIZED, "invalid_token", "Invalid token", "Could not validate credentials";
    /// The token lacks a scope.
    InsufficientScope = FORBIDDEN, "insufficient_scope", "Insufficient scope",
        "The token does not carry the scope that this operation needs.";
    /// The caller may not do this.
    Forbidden = FORBIDDEN, "forbidden", "Forbidden", "You may not do this.";
    /// Self-registration is switched off.
    RegistrationClosed = FORBIDDEN, "registration_closed", "Registration closed",
        "Registration is closed; ask an administrator for an account.";
    /// Nothing is there, or nothing the caller may know of.
    NotFound = NOT_FOUND, "not_found", "Not found", "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed",
        "The path does not have this method; see Allow.";
    /// The request did not arrive in time.
    RequestTimeout = REQUEST_TIMEOUT, "request_timeout", "Request timeout",
        "The request did not arrive in time.";
    /// Another user has this name.
    UsernameTaken = CONFLICT, "username_taken", "Username taken", "The username is taken.";
    /// Another request changed the same thing first; nothing was done.
    Conflict = CONFLICT, "conflict", "Conflict",
        "Another request changed this meanwhile; nothing was done. Try again.";
    /// The change would leave nobody to administer.
    LastAdmin = CONFLICT, "last_admin", "Last administrator",
        "The last administrator cannot be removed, disabled or demoted.";
    /// The body is larger than the operation takes.
    BodyTooLarge = PAYLOAD_TOO_LARGE, "body_too_large", "Body too large", "The body is too large.";
    /// The body is not in the media type the operation takes.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type",
        "The body must be application/json in UTF-8, without Content-Encoding.";
    /// A query or header parameter cannot be read.
    InvalidParameter = UNPROCESSABLE_ENTITY, "invalid_parameter", "Invalid parameter",
        "A parameter is not valid.";
    /// A value of the body breaks a rule; the detail names it.
    InvalidValue = UNPROCESSABLE_ENTITY, "invalid_value", "Invalid value", "A value is not valid.";
    /// The new password breaks the policy; the detail names the rule.
    WeakPassword = UNPROCESSABLE_ENTITY, "weak_password", "Weak password", "The password is too weak.";
    /// The target is longer than this server reads.
    UriTooLong = URI_TOO_LONG, "uri_too_long", "URI too long", "The path and query are too long.";
    /// The `Host` is none of this server's.
    Misdirected = MISDIRECTED_REQUEST, "misdirected_request", "Misdirected request",
        "No such host is served here.";
    /// Too many attempts, at this account or from this source or altogether: which of them stays here.
    TooManyAttempts = TOO_MANY_REQUESTS, "too_many_attempts", "Too many attempts",
        "Too many attempts; try again later.";
    /// The header section is larger than this server reads.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "Headers too large",
        "The header section is too large.";
    /// A defect of this server; the log has it under the request id.
    Internal = INTERNAL_SERVER_ERROR, "internal_error", "Internal error",
        "Something went wrong here; the request id finds it in the log.";
    /// A queue is full or the store fails; Retry-After says when to come back.
    Unavailable = SERVICE_UNAVAILABLE, "unavailable", "Unavailable",
        "The server cannot answer this now; try again later.";
}

impl Code {
    /// The value of RFC 6749's `error`; outside its list the nearest registered or documented one.
    #[must_use]
    pub fn oauth_error(self) -> &'static str {
        match (self, self.status().as_u16()) {
            (Self::InvalidGrant | Self::UnsupportedGrantType | Self::InvalidScope, _) => {
                self.as_str()
            }
            // RFC 6750 §3.1: no token came that could be invalid.
            (Self::NotAuthenticated, _) => "invalid_request",
            (_, 401) => "invalid_token",
            (_, 403) => "insufficient_scope",
            (_, 429 | 503) => "temporarily_unavailable",
            (_, 500) => "server_error",
            _ => "invalid_request",
        }
    }
}

/// A refusal on its way to the client.
#[derive(Debug, thiserror::Error)]
#[error("{}", code.as_str())]
pub struct Problem {
    code: Code,
    status: StatusCode,
    detail: Cow<'static, str>,
    scope: Option<Cow<'static, str>>,
    retry_after_secs: Option<u32>,
    allow: Option<String>,
    is_last: bool,
    #[source]
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self {
            code,
            status: code.status(),
            detail: Cow::Borrowed(code.detail()),
            scope: None,
            retry_after_secs: None,
            allow: None,
            is_last: false,
            cause: None,
        }
    }
}

impl Problem {
    /// A refusal that says more than its code does. The text must not hold what a client sent.
    #[must_use]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: detail.into(), ..Self::from(code) }
    }

    /// A defect or an outage: the client is told nothing of `cause`, the log all of it.
    #[must_use]
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::from(Code::Internal).because(cause)
    }

    /// The token lacks `scope` (RFC 6750 §3.1).
    #[must_use]
    pub fn insufficient_scope(scope: impl Into<Cow<'static, str>>) -> Self {
        Self { scope: Some(scope.into()), ..Self::from(Code::InsufficientScope) }
    }

    /// Not now; try again in `secs` seconds.
    #[must_use]
    pub fn unavailable(secs: u32) -> Self {
        Self { retry_after_secs: Some(secs), ..Self::from(Code::Unavailable) }
    }

    /// Too many attempts; try again after `wait`.
    #[must_use]
    pub fn later(wait: Duration) -> Self {
        let secs = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        let secs = u32::try_from(secs).unwrap_or(u32::MAX);
        Self { retry_after_secs: Some(secs), ..Self::from(Code::TooManyAttempts) }
    }

    /// The same refusal with another status than the code's own.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same refusal with its cause, which only the log sees.
    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// The same refusal with the methods the path has.
    #[must_use]
    pub fn with_allow(self, methods: String) -> Self {
        Self { allow: Some(methods), ..self }
    }

    /// The same refusal, and the client is told that the connection ends with it.
    #[must_use]
    pub fn and_close(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// What went wrong.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The refusal as the answer to request `id`.
    #[must_use]
    pub fn render(&self, shape: Shape, id: RequestId) -> Response {
        let oauth = shape == Shape::OAuth;
        let mut request_id = [0; ulid::ULID_LEN];
        let body = Body {
            kind: self.code.type_uri(),
            title: self.code.title(),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            request_id: id.encode(&mut request_id),
            error: oauth.then(|| self.code.oauth_error()),
            error_description: oauth.then(|| oauth_text(&self.detail)),
        };
        let mut response = Response::builder()
            .status(self.status)
            .content_type(shape.media_type())
            .body(serde_json::to_vec(&body).unwrap_or_default());
        self.add_headers(shape, response.headers_mut());
        response
    }

    fn add_headers(&self, shape: Shape, headers: &mut header::HeaderMap) {
        if shape == Shape::OAuth {
            headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        }
        if let Some(challenge) = self.challenge() {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(secs) = self.retry_after_secs() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs));
        }
        if let Some(methods) =
            self.allow.as_deref().and_then(|text| HeaderValue::from_str(text).ok())
        {
            headers.insert(header::ALLOW, methods);
        }
        if self.is_last || matches!(self.code, Code::BodyTooLarge | Code::RequestTimeout) {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// RFC 6750 §3: a challenge names an error only when a token was presented.
    fn challenge(&self) -> Option<HeaderValue> {
        match (self.code, self.status) {
            (Code::NotAuthenticated, _) => Some(CHALLENGE),
            (Code::AmbiguousCredentials, _) => Some(CHALLENGE_AMBIGUOUS),
            (_, StatusCode::UNAUTHORIZED) => Some(CHALLENGE_INVALID),
            (Code::InsufficientScope, _) => {
                let scope = self.scope.as_deref().filter(|scope| !scope.is_empty());
                let scope = scope.map(|scope| format!(", scope=\"{}\"", oauth_text(scope)));
                let challenge = "Bearer realm=\"keystile\", error=\"insufficient_scope\"";
                HeaderValue::try_from(challenge.to_owned() + &scope.unwrap_or_default()).ok()
            }
            _ => None,
        }
    }

    fn retry_after_secs(&self) -> Option<u32> {
        let waits = matches!(self.code, Code::Unavailable | Code::TooManyAttempts);
        waits.then(|| self.retry_after_secs.unwrap_or(1).max(1))
    }
}

impl ResponseError for Problem {
    fn status(&self) -> StatusCode {
        self.status
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_description: Option<String>,
}

/// `text` in the characters RFC 6749 §5.2 allows: printable ASCII without `"` and `\`.
fn oauth_text(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' | '\\' => '\'',
            ' '..='~' => c,
            _ => '?',
        })
        .collect()
}

#[cfg(test)]
mod tests;
