//! The operator's signing keys: which are in use, and new ones without a restart.

use std::sync::Arc;
use std::time::Duration;

use super::audit::told;
use super::model::audit::{AuditEvent, Event};
use super::model::key::KeyState;
use super::policy::{Acting, Operator};
use super::{Auth, Fault, faults};
use crate::random::RandomError;
use crate::store::StoreError;
use crate::token::ACCESS_TTL_MAX;
use crate::token::ring::{self, KeyError, Remaining};

/// How long a request may take from the keys it found to the token it signs with them.
const SIGNING_LAG: Duration = Duration::from_secs(60);

/// What becomes of the keys that signed until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldKeys {
    /// They verify until the last token they signed has expired.
    Retire,
    /// They verify nothing from now on: every token made before is dead.
    Drop,
}

/// Why the keys are the same as before.
#[derive(Debug, thiserror::Error)]
pub enum RotateError {
    /// They do not rotate here, or no new ones could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// They could not be put on disk.
    #[error(transparent)]
    Fault(#[from] Fault),
}

faults!(RotateError: StoreError, RandomError);

impl Auth {
    /// The keys in use, those that sign before the others of their kind.
    #[must_use]
    pub fn keys(&self, _operator: &Operator) -> Vec<KeyState> {
        self.tokens().keys(self.now())
    }

    /// Makes a new key for either kind of token. They are on disk before the first token is signed with them,
    /// and sign and verify from then on without a restart.
    ///
    /// An old refresh key is kept for today's life of a refresh token: were that longer once, whoever has not
    /// refreshed within today's would by now be out anyway.
    ///
    /// # Errors
    /// [`RotateError`]; with a configured secret always.
    pub async fn rotate_keys(
        &self,
        operator: &Operator,
        old: OldKeys,
    ) -> Result<Vec<KeyState>, RotateError> {
        let _turn = self.rotation.lock().await;
        let remaining = match old {
            OldKeys::Drop => Remaining::default(),
            OldKeys::Retire => Remaining {
                access: ACCESS_TTL_MAX + SIGNING_LAG,
                refresh: self.parts.policy.refresh_ttl + SIGNING_LAG,
            },
        };
        let stored = self.store().signing_keys().await?;
        let (version, now) = (stored.version, self.now());
        let (current, random) = (self.parts.tokens.load_full(), Arc::clone(&self.parts.random));
        // An RSA key takes longer to make than others would wait for this thread.
        let made = tokio::task::spawn_blocking(move || {
            ring::rotate(&current, &stored, remaining, now, random.as_ref())
        });
        let (tokens, keys) = made.await.map_err(|_| KeyError::Generate)??;
        let actor = Acting::Operator(operator).actor();
        let noted = AuditEvent::of_nobody(Event::KeysChanged, actor, now, self.random())?;
        let step = async |audit: Vec<AuditEvent>| {
            let store = self.store();
            match store.replace_signing_keys(version, keys.clone(), audit.clone()).await {
                // It may be on disk: the same step again is recognised, and what signs must be what is stored.
                Err(StoreError::Unknown) => store.replace_signing_keys(version, keys, audit).await,
                done => done,
            }
        };
        told(vec![noted], step).await?;
        self.parts.tokens.store(Arc::new(tokens));
        Ok(self.keys(operator))
    }
}
