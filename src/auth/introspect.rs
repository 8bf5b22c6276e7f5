//! Introspection (RFC 7662): whether an access token lives, and what it says.

use super::authenticate::{AuthenticateError, Identity};
use super::model::scope::known;
use super::{Auth, Fault, Forbidden, Origin};
use crate::throttle::Later;

/// Why a token was not looked into.
#[derive(Debug, thiserror::Error)]
pub enum IntrospectError {
    /// The caller may not ask.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Too many tokens that are none of ours.
    #[error(transparent)]
    Later(#[from] Later),
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// The holder of `token` if it is a live access token; nothing for anything else, a refresh token too.
    ///
    /// # Errors
    /// `Forbidden` without the scope `introspect`; `Later` for a token that this server never made, after too
    /// many of them: who asks about those of others must not be kept from it by one who makes them up.
    pub async fn introspect(
        &self,
        caller: &Identity,
        token: &str,
        origin: &Origin,
    ) -> Result<Option<Identity>, IntrospectError> {
        caller.require(known::INTROSPECT)?;
        match self.authenticate(token).await {
            Ok(holder) => Ok(Some(holder)),
            Err(AuthenticateError::Invalid(reason)) => {
                let request_id = origin.request_id.as_deref();
                tracing::info!(request_id, %reason, "a dead token was asked about");
                self.count_foreign(token, origin)?;
                Ok(None)
            }
            Err(AuthenticateError::Fault(fault)) => Err(fault.into()),
        }
    }
}
