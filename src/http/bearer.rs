//! From an `Authorization` header to who is calling: the only place that makes a [`Caller`].
//!
//! The token is taken from exactly one header; a token in the query or the body is nobody's, and beside the
//! header one too many (RFC 6750 §2).

use std::ops::Deref;
use std::sync::Arc;

use poem::http::{HeaderMap, header};
use poem::{Request, RequestBody};
use poem_openapi::registry::{
    MetaOAuthFlow, MetaOAuthFlows, MetaOAuthScope, MetaSecurityScheme, Registry,
};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions, OAuthScopes};

use super::body::form;
use super::exchange::Exchange;
use super::problem::{Code, Problem};
use super::urlencoded;
use crate::auth::Auth;
use crate::auth::authenticate::Identity;

/// How a token is called in a query or a form (RFC 6750 §2.2, §2.3).
const ELSEWHERE: &str = "access_token";

/// The document's names of the security schemes.
pub mod scheme {
    /// Username and password, as Swagger UI's Authorize asks for them.
    pub const OAUTH2: &str = "OAuth2";
    /// A pasted access token.
    pub const BEARER: &str = "Bearer";
    /// A pasted refresh token.
    pub const REFRESH: &str = "RefreshToken";
}

/// The scopes operations ask for, as the document lists them.
#[derive(OAuthScopes)]
pub enum Scope {
    /// Manage your own account
    #[oai(rename = "me")]
    Me,
    /// Write posts
    #[oai(rename = "posts:write")]
    PostsWrite,
    /// Read every user
    #[oai(rename = "users:read")]
    UsersRead,
    /// Change every user
    #[oai(rename = "users:write")]
    UsersWrite,
    /// Ask whether a token lives
    #[oai(rename = "introspect")]
    Introspect,
}

/// Somebody whose access token lives, and the token as it was presented.
pub struct Caller {
    identity: Identity,
    token: String,
}

impl Caller {
    /// The access token as it was presented.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Deref for Caller {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl<'a> ApiExtractor<'a> for Caller {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(scheme::OAUTH2, password_flow());
        let text = "An access token, pasted with or without `Bearer` in front.";
        registry.create_security_scheme(scheme::BEARER, bearer_scheme(text));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![scheme::OAUTH2, scheme::BEARER]
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let token = required(request, body).await?;
        let identity = auth_of(request)?.authenticate(token).await.map_err(Problem::from)?;
        if let Some(exchange) = Exchange::of(request) {
            exchange.note_caller(identity.user().id);
        }
        Ok(Self { identity, token: token.to_owned() })
    }
}

/// A bearer token that may be absent, not yet judged.
pub struct Presented(pub Option<String>);

impl<'a> ApiExtractor<'a> for Presented {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        Caller::register(registry);
    }

    fn security_schemes() -> Vec<&'static str> {
        Caller::security_schemes()
    }

    fn has_security_fallback() -> bool {
        true
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Self(alone(request, body).await?.map(str::to_owned)))
    }
}

/// A refresh token in the `Authorization` header, not yet judged.
pub struct PresentedRefresh(pub String);

impl<'a> ApiExtractor<'a> for PresentedRefresh {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let text = "A refresh token, pasted with or without `Bearer` in front; only `POST /refresh` takes it.";
        registry.create_security_scheme(scheme::REFRESH, bearer_scheme(text));
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![scheme::REFRESH]
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let token = required(request, body).await?;
        Ok(Self(token.to_owned()))
    }
}

/// The domain that the routes were built with.
///
/// # Errors
/// A defect of the composition, never the client's.
pub fn auth_of(request: &Request) -> Result<&Arc<Auth>, Problem> {
    request.data().ok_or_else(|| Problem::internal("the routes were built without a domain"))
}

/// The one bearer token of these headers.
///
/// A doubled prefix counts as one: Swagger UI adds its own to a pasted `Bearer x`. Any other scheme is
/// no bearer token; `Basic Og==`, which Swagger UI sends for blank client fields, is nothing at all.
///
/// # Errors
/// `ambiguous_credentials` for two headers (RFC 6750 §2).
pub(super) fn presented(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Code::AmbiguousCredentials.into());
    }
    // `to_str` looks at each byte by itself; what else it would refuse is no token either.
    let Ok(text) = str::from_utf8(value.as_bytes()) else { return Ok(Some("")) };
    let Some(token) = without_prefix(text) else { return Ok(None) };
    Ok(Some(without_prefix(token).unwrap_or(token)))
}

/// The one bearer token of this request, which comes in no other place besides.
///
/// # Errors
/// `ambiguous_credentials` for several tokens.
async fn alone<'a>(
    request: &'a Request,
    body: &mut RequestBody,
) -> Result<Option<&'a str>, Problem> {
    let Some(token) = presented(request.headers())? else { return Ok(None) };
    let query = request.uri().query().unwrap_or_default();
    if urlencoded::names(query.as_bytes(), ELSEWHERE)
        || form::names(request.headers(), body, ELSEWHERE).await?
    {
        return Err(Code::AmbiguousCredentials.into());
    }
    Ok(Some(token))
}

async fn required<'a>(request: &'a Request, body: &mut RequestBody) -> Result<&'a str, Problem> {
    alone(request, body).await?.ok_or_else(|| Code::NotAuthenticated.into())
}

fn without_prefix(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim_start_matches(' '))
}

const fn bearer_scheme(description: &'static str) -> MetaSecurityScheme {
    MetaSecurityScheme {
        ty: "http",
        description: Some(description),
        name: None,
        key_in: None,
        scheme: Some("bearer"),
        bearer_format: Some("JWT"),
        flows: None,
        openid_connect_url: None,
    }
}

fn password_flow() -> MetaSecurityScheme {
    let scopes = Scope::meta();
    let scopes = scopes.into_iter().map(|scope| MetaOAuthScope { ..scope }).collect();
    MetaSecurityScheme {
        ty: "oauth2",
        description: Some(
            "Your username and password. Leave the client fields blank; without a choice of scopes you get all you may have.",
        ),
        name: None,
        key_in: None,
        scheme: None,
        bearer_format: None,
        flows: Some(MetaOAuthFlows {
            implicit: None,
            password: Some(MetaOAuthFlow {
                authorization_url: None,
                token_url: Some("/token"),
                refresh_url: Some("/token"),
                scopes,
            }),
            client_credentials: None,
            authorization_code: None,
        }),
        openid_connect_url: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| (header::AUTHORIZATION, value.parse().unwrap()));
        values.collect()
    }

    #[test]
    fn one_bearer_header_is_read_whatever_the_case_and_however_doubled() {
        for value in ["Bearer x.y.z", "bearer x.y.z", "BEARER  x.y.z", "Bearer Bearer x.y.z"] {
            assert_eq!(presented(&headers(&[value])).unwrap(), Some("x.y.z"), "{value}");
        }
    }

    #[test]
    fn other_schemes_and_no_header_are_no_token() {
        assert_eq!(presented(&headers(&[])).unwrap(), None);
        assert_eq!(presented(&headers(&["Basic Og=="])).unwrap(), None);
        assert_eq!(presented(&headers(&["x.y.z"])).unwrap(), None);
    }

    #[test]
    fn two_headers_are_ambiguous() {
        let refused = presented(&headers(&["Bearer a", "Bearer a"])).unwrap_err();
        assert_eq!(refused.code(), Code::AmbiguousCredentials);
    }
}
