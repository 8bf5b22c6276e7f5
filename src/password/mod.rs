//! stub
use crate::auth::model::{user::PasswordHash, username::Username};
use std::sync::Arc;
pub struct Password;
pub struct PasswordPolicy;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PolicyError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct HashError;
#[derive(PartialEq)]
pub enum Verdict {
    Right,
    RightButOutdated,
    Wrong,
}
pub struct Hasher;
impl Password { pub fn new(_: String) -> Self { Self } }
impl Hasher {
    pub async fn hash(&self, _: impl Into<Arc<Password>>) -> Result<PasswordHash, HashError> {
        Err(HashError)
    }
    pub async fn verify(
        &self,
        _: impl Into<Arc<Password>>,
        _: Option<PasswordHash>,
    ) -> Result<Verdict, HashError> {
        Err(HashError)
    }
}
impl PasswordPolicy {
    pub fn check(&self, _: &Password, _: &Username) -> Result<(), PolicyError> {
        Ok(())
    }
}
