//! What other services need to know: the JWK set (RFC 7517) and the server's metadata (RFC 8414).

use std::sync::Arc;

use poem::web::Data;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::answer::Answer;
use super::tag::Tag;
use crate::auth::Auth;

/// Discovery.
pub struct WellKnownApi {
    /// The origin that all endpoints are under.
    pub public_url: String,
    /// Whether the password grant is offered.
    pub password_grant: bool,
    /// Whether `/docs` is there.
    pub docs: bool,
}

/// The keys that verify access tokens; none with a shared secret.
#[derive(Object, Serialize)]
#[oai(rename = "JwkSet", read_only_all)]
struct JwkSet {
    /// RFC 7517 public keys.
    keys: Vec<serde_json::Value>,
}

/// RFC 8414 metadata.
#[derive(Object, Serialize)]
#[oai(rename = "Metadata", read_only_all)]
struct Metadata {
    /// `iss` of every token.
    issuer: String,
    /// Where tokens are got.
    token_endpoint: String,
    /// Where tokens are ended (RFC 7009).
    revocation_endpoint: String,
    /// Where tokens are asked about (RFC 7662).
    introspection_endpoint: String,
    /// Where the public keys are.
    jwks_uri: String,
    /// The grants on offer.
    grant_types_supported: Vec<String>,
    /// There is no authorization endpoint.
    response_types_supported: Vec<String>,
    /// The scopes that a role may carry.
    scopes_supported: Vec<String>,
    /// Clients do not authenticate.
    token_endpoint_auth_methods_supported: Vec<String>,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_documentation: Option<String>,
}

#[OpenApi(tag = "Tag::Discovery")]
impl WellKnownApi {
    /// Get the public keys
    #[oai(path = "/.well-known/jwks.json", method = "get", operation_id = "jwks")]
    async fn jwks(&self, auth: Data<&Arc<Auth>>) -> Answer<JwkSet> {
        let set = auth.jwk_set();
        let keys = set.get("keys").and_then(|keys| keys.as_array()).cloned();
        Answer(JwkSet { keys: keys.unwrap_or_default() })
    }

    /// Get the server's metadata
    #[oai(
        path = "/.well-known/oauth-authorization-server",
        method = "get",
        operation_id = "metadata"
    )]
    async fn metadata(&self, auth: Data<&Arc<Auth>>) -> Answer<Metadata> {
        let policy = auth.policy();
        // Tokens may name an issuer under which this server is not found.
        let at = |path: &str| format!("{}{path}", self.public_url);
        let password = self.password_grant.then_some("password");
        let grants = password.into_iter().chain(["refresh_token"]);
        Answer(Metadata {
            issuer: policy.issuer.clone(),
            token_endpoint: at("/token"),
            revocation_endpoint: at("/revoke"),
            introspection_endpoint: at("/introspect"),
            jwks_uri: at("/.well-known/jwks.json"),
            grant_types_supported: grants.map(str::to_owned).collect(),
            response_types_supported: Vec::new(),
            scopes_supported: policy.role_scopes.all().iter().map(str::to_owned).collect(),
            token_endpoint_auth_methods_supported: vec!["none".to_owned()],
            service_documentation: self.docs.then(|| at("/docs")),
        })
    }
}
