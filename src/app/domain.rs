//! The domain on an opened store: what a command needs with the server down, and the server too.

use std::sync::Arc;

use anyhow::bail;
use arc_swap::ArcSwap;

use super::settings;
use crate::auth::model::audit::{Actor, AuditEvent, Event};
use crate::auth::{Auth, Parts};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::password::pool::Hasher;
use crate::password::settings::HashSettings;
use crate::random::{self, Random, SystemRandom};
use crate::store::Store;
use crate::store::sled::{OpenError, SledStore};
use crate::throttle::Throttle;
use crate::token::{Tokens, ring};

/// What to do about a clock that stands behind the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockRule {
    /// Refuse to start.
    Check,
    /// Go on from the stored time, which stands still until the clock has caught up with it.
    Accept,
}

/// What to do where there is no data yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is nothing to look at.
    Refuse,
    /// Begin it.
    Make,
}

/// The opened store with the domain on top of it, without a network.
pub struct Domain {
    /// The domain.
    pub auth: Arc<Auth>,
    /// The store, to be closed at the end.
    pub store: Arc<dyn Store>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) random: Arc<dyn Random>,
    /// Whether there was no data before.
    pub is_first_start: bool,
    pub(super) hash_workers: usize,
}

/// Opens the store and builds the domain on it.
///
/// # Errors
/// When the store, the clock, the keys or the hashing pool refuse; what the data holds is left as it was.
pub async fn open(config: &Config, rule: ClockRule, missing: Missing) -> anyhow::Result<Domain> {
    // What can be refused is refused before there is a data directory.
    let hashing = settings::hashing(config)?;
    let passwords = settings::passwords(config)?;
    let settings = settings::store(config);
    let open = match missing {
        Missing::Refuse => SledStore::open_existing,
        Missing::Make => SledStore::open,
    };
    let opened = tokio::task::spawn_blocking(move || open(&settings)).await??;
    let is_first_start = opened.is_first_start();
    let store: Arc<dyn Store> = Arc::new(opened);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let clock = Arc::new(resume_clock(store.as_ref(), rule).await?);
    let tokens = ready_tokens(config, store.as_ref(), clock.as_ref(), random.as_ref()).await?;
    let throttle = ready_throttle(config, store.as_ref(), &clock, random.as_ref()).await?;
    let hash_workers = hashing.workers;
    let auth = Auth::new(Parts {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        random: Arc::clone(&random),
        hasher: Hasher::start(&hashing, Arc::clone(&random))?,
        throttle,
        passwords,
        tokens: ArcSwap::from_pointee(tokens),
        policy: settings::policy(config),
    });
    Ok(Domain { auth: Arc::new(auth), store, clock, random, is_first_start, hash_workers })
}

/// Checks what only those who use it can tell of a configuration: the memory that hashing takes, and the
/// files that are read at the start. Returns how passwords would be hashed here.
///
/// # Errors
/// With what the start would refuse.
pub fn check(config: &Config) -> anyhow::Result<HashSettings> {
    settings::passwords(config)?;
    settings::hashing(config)
}

/// Whether `error` says that another process has the data.
#[must_use]
pub fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Locked { .. }))
}

async fn resume_clock(store: &dyn Store, rule: ClockRule) -> anyhow::Result<SystemClock> {
    let mark = store.clock_mark().await?.unwrap_or_default();
    Ok(match rule {
        ClockRule::Accept => SystemClock::above(mark)?,
        ClockRule::Check => SystemClock::resume(mark)?,
    })
}

/// The limits that are configured, with the stored key, which the first start makes and writes.
async fn ready_throttle(
    config: &Config,
    store: &dyn Store,
    clock: &Arc<SystemClock>,
    random: &dyn Random,
) -> anyhow::Result<Option<Arc<Throttle>>> {
    let Some(settings) = settings::throttle(config) else { return Ok(None) };
    let name_key = store.throttle_key(random::bytes(random)?).await?;
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    Ok(Some(Arc::new(Throttle::new(&settings, &name_key, &clock))))
}

/// The tokens with the stored keys, which the first start makes and writes.
async fn ready_tokens(
    config: &Config,
    store: &dyn Store,
    clock: &dyn Clock,
    random: &dyn Random,
) -> anyhow::Result<Tokens> {
    let settings = settings::tokens(config);
    let stored = store.signing_keys().await?;
    if stored.keys.is_empty() && store.has_users().await? {
        bail!("the store has users but no signing keys: it is damaged, restore it from a backup");
    }
    let prepared = ring::prepare(&settings, &stored, clock.now(), random)?;
    if let Some(keys) = prepared.store {
        let at = clock.now();
        let made = AuditEvent::of_nobody(Event::KeysChanged, Actor::Server, at, random)?;
        store.replace_signing_keys(stored.version, keys, vec![made]).await?;
    }
    Ok(prepared.tokens)
}
