//! Introspection (RFC 7662): whether an access token lives, and what it says.

use super::authenticate::{AuthenticateError, Identity};
use super::model::scope::known;
use super::{Auth, Fault, Forbidden};

/// Why a token was not looked into.
#[derive(Debug, thiserror::Error)]
pub enum IntrospectError {
    /// The caller may not ask.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// It could not be done.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Auth {
    /// The holder of `token` if it is a live access token; nothing for anything else, a refresh token too.
    ///
    /// # Errors
    /// `Forbidden` without the scope `introspect`.
    pub async fn introspect(
        &self,
        caller: &Identity,
        token: &str,
    ) -> Result<Option<Identity>, IntrospectError> {
        caller.require(known::INTROSPECT)?;
        match self.authenticate(token).await {
            Ok(holder) => Ok(Some(holder)),
            Err(AuthenticateError::Invalid) => Ok(None),
            Err(AuthenticateError::Fault(fault)) => Err(fault.into()),
        }
    }
}
