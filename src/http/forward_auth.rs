//! Forward authentication for nginx `auth_request`, Traefik and Caddy: may this request pass, and whose is it.

use std::sync::Arc;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use poem::http::Uri;
use poem::web::Data;
use poem_openapi::param::Query;
use poem_openapi::{ApiResponse, OpenApi};

use super::bearer::Caller;
use super::fail::{BadRequest, Fail, Forbidden};
use super::problem::{Code, Problem};
use super::tag::Tag;
use super::urlencoded;
use crate::auth::Auth;
use crate::auth::model::scope::Scopes;

/// What a header value cannot hold as it is; `%` so that decoding is exact.
const HEADER_VALUE: &AsciiSet = &CONTROLS.add(b'%');

/// Forward authentication.
pub struct ForwardAuthApi;

/// The request may pass.
#[derive(ApiResponse)]
enum Verified {
    /// The request may pass; what is not ASCII in the headers is percent-encoded
    #[oai(status = 204)]
    Pass(
        /// The user's id
        #[oai(header = "X-Auth-Subject")]
        String,
        /// The user's name
        #[oai(header = "X-Auth-User")]
        String,
        /// The roles, with commas between
        #[oai(header = "X-Auth-Roles")]
        String,
        /// The scopes, with spaces between
        #[oai(header = "X-Auth-Scope")]
        String,
    ),
}

#[OpenApi(tag = "Tag::Discovery")]
impl ForwardAuthApi {
    /// Check a request for a proxy
    #[oai(path = "/verify", method = "get", operation_id = "verify")]
    async fn verify(
        &self,
        auth: Data<&Arc<Auth>>,
        caller: Caller,
        /// Scopes that are all needed, with single spaces between
        scope: Query<Option<String>>,
        /// A role that is needed
        role: Query<Option<String>>,
        uri: &Uri,
    ) -> Result<Verified, Fail<(BadRequest, Forbidden)>> {
        check_demands(uri.query().unwrap_or_default())?;
        if let Some(needed) = scope.0 {
            let needed = Scopes::parse(&needed).map_err(|_| Code::InvalidScope)?;
            if !needed.iter().all(|scope| caller.has_scope(scope)) {
                // Only names of our own leave in the challenge: no answer repeats what was asked.
                let ours = |scope: &&str| auth.policy().role_scopes.knows(scope);
                let ours: Scopes = needed.iter().filter(ours).collect();
                return Err(Problem::insufficient_scope(ours.to_string()).into());
            }
        }
        if role.0.is_some_and(|role| !caller.has_role(&role)) {
            return Err(Code::Forbidden.into());
        }
        Ok(Verified::Pass(
            caller.user().id.to_string(),
            encoded(caller.user().username.as_str()),
            caller.roles().map(encoded).collect::<Vec<_>>().join(","),
            caller.scopes().to_string(),
        ))
    }
}

/// A demand that was misspelt or hidden behind another one would let through what it was to stop, so that
/// nothing is ignored here.
fn check_demands(query: &str) -> Result<(), Problem> {
    let mut demands = vec!["scope", "role"];
    for pair in urlencoded::pairs(query.as_bytes()) {
        let demand =
            pair.ok().and_then(|(name, _)| demands.iter().position(|known| *known == name));
        let detail = "The parameters are `scope` and `role`, each at most once.";
        demands.swap_remove(demand.ok_or_else(|| Problem::new(Code::InvalidRequest, detail))?);
    }
    Ok(())
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, HEADER_VALUE).to_string()
}
