//! The composition root: from a configuration to a running server, or to the domain alone for a command.
//!
//! Owns the order of things: the store opens before anything is promised, the first heartbeat is on disk
//! before a socket listens, and the store closes last.

mod background;

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;

use crate::admin::server::AdminSocket;
use crate::auth::model::audit::{Actor, AuditEvent, Event};
use crate::auth::model::id::EventId;
use crate::auth::policy::{Policy, RESERVED_NAMES, Registration};
use crate::auth::{Auth, Parts, model::username::NamePolicy};
use crate::clock::{Clock, SystemClock};
use crate::config::{self, Config};
use crate::http::{self, Features, health::Heartbeat};
use crate::password::policy::{BreachedList, PasswordPolicy};
use crate::password::pool::Hasher;
use crate::password::settings::{HashSettings, default_workers};
use crate::random::{Random, SystemRandom};
use crate::store::Store;
use crate::store::sled::{Durability, OpenError, SledSettings, SledStore};
use crate::token::secret::TokenSecret;
use crate::token::{TokenSettings, Tokens, ring};

/// What to do about a clock that stands behind the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockRule {
    /// Refuse to start.
    Check,
    /// Go on from the stored time.
    Accept,
}

/// The opened store with the domain on top of it, without a network.
pub struct Domain {
    /// The domain.
    pub auth: Arc<Auth>,
    /// The store, to be closed at the end.
    pub store: Arc<dyn Store>,
    clock: Arc<SystemClock>,
    random: Arc<dyn Random>,
    is_first_start: bool,
    hash_workers: usize,
}

/// Opens the store and builds the domain on it.
///
/// # Errors
/// When the store, the clock, the keys or the hashing pool refuse; the data is left as it was found.
pub async fn open_domain(config: &Config, rule: ClockRule) -> anyhow::Result<Domain> {
    let settings = store_settings(config);
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&settings)).await?;
    let opened = opened?;
    let is_first_start = opened.is_first_start();
    let store: Arc<dyn Store> = Arc::new(opened);
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let clock = Arc::new(resume_clock(store.as_ref(), rule).await?);
    let tokens = ready_tokens(config, store.as_ref(), clock.as_ref(), random.as_ref()).await?;
    let hashing = hash_settings(config)?;
    let hash_workers = hashing.workers;
    let auth = Auth::new(Parts {
        store: Arc::clone(&store),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        random: Arc::clone(&random),
        hasher: Hasher::start(&hashing, Arc::clone(&random))?,
        passwords: password_policy(config)?,
        tokens,
        policy: policy(config),
    });
    Ok(Domain { auth: Arc::new(auth), store, clock, random, is_first_start, hash_workers })
}

/// Whether `error` says that another process has the data.
#[must_use]
pub fn is_locked(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Locked { .. }))
}

/// The OpenAPI document of a server with this configuration.
///
/// # Errors
/// When it cannot be made, which is a defect.
pub fn openapi_document(config: &Config) -> anyhow::Result<String> {
    Ok(http::openapi(features(config))?)
}

/// A server that listens and is about to serve.
pub struct App {
    domain: Domain,
    heartbeat: Arc<Heartbeat>,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    admin: AdminSocket,
    data_dir: PathBuf,
    hash_memory_mib: u64,
    has_users: bool,
    settings: RunSettings,
}

/// What running needs of the configuration.
struct RunSettings {
    features: Features,
    https: bool,
    shutdown_timeout: Duration,
    sweep_interval: Duration,
}

/// How long a server whose store has failed answers 503 before its process ends.
const FAILED_LINGER: Duration = Duration::from_secs(5);

impl App {
    /// Opens the store, writes its first heartbeat and binds every socket.
    ///
    /// # Errors
    /// With what refused; nothing listens then.
    pub async fn start(config: &Config, rule: ClockRule) -> anyhow::Result<Self> {
        let domain = open_domain(config, rule).await?;
        let heartbeat = Arc::new(Heartbeat::default());
        domain
            .store
            .heartbeat(domain.clock.advance())
            .await
            .context("cannot write to the store")?;
        heartbeat.beat();
        let listeners =
            config.server.listen.iter().map(bind).collect::<anyhow::Result<Vec<_>>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        let data_dir = std::path::absolute(&config.storage.path)?;
        let admin = AdminSocket::bind(&config.storage.path)
            .with_context(|| format!("cannot bind the admin socket in {}", data_dir.display()))?;
        let hash_memory_kib =
            u64::from(config.passwords.memory_kib) * u64::try_from(domain.hash_workers)?;
        Ok(Self {
            has_users: domain.store.has_users().await?,
            domain,
            heartbeat,
            listeners,
            addresses,
            admin,
            data_dir,
            hash_memory_mib: hash_memory_kib.div_ceil(1024),
            settings: RunSettings {
                features: features(config),
                https: config.server.public_url.is_https(),
                shutdown_timeout: config.server.shutdown_timeout,
                sweep_interval: config.sessions.sweep_interval,
            },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where the data is.
    #[must_use]
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Whether the data directory was new.
    #[must_use]
    pub const fn is_first_start(&self) -> bool {
        self.domain.is_first_start
    }

    /// Whether there is anybody who could log in.
    #[must_use]
    pub const fn has_users(&self) -> bool {
        self.has_users
    }

    /// How many passwords are hashed at a time, and the memory that takes at most, in MiB.
    #[must_use]
    pub const fn hashing(&self) -> (usize, u64) {
        (self.domain.hash_workers, self.hash_memory_mib)
    }

    /// Serves until `shutdown`, then drains, stops what runs in the background and closes the store.
    ///
    /// # Errors
    /// When the store fails: everything is answered 503 for a while first, so that whoever balances the
    /// load notices before the process ends.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { domain, heartbeat, listeners, admin, settings, .. } = self;
        let application = http::application(http::Parts {
            auth: Arc::clone(&domain.auth),
            heartbeat: Arc::clone(&heartbeat),
            clock: Arc::clone(&domain.clock) as Arc<dyn Clock>,
            random: Arc::clone(&domain.random),
            https: settings.https,
            features: settings.features,
        });
        let (stop, stopped) = watch::channel(false);
        let background = [
            tokio::spawn(background::beat(
                Arc::clone(&domain.store),
                Arc::clone(&domain.clock),
                heartbeat,
                stopped.clone(),
            )),
            tokio::spawn(background::sweep(
                Arc::clone(&domain.store),
                Arc::clone(&domain.clock),
                settings.sweep_interval,
                stopped.clone(),
            )),
            tokio::spawn(admin.serve(Arc::clone(&domain.auth), background::until(stopped.clone()))),
        ];
        let drain = settings.shutdown_timeout;
        let served = http::serve(application, listeners, background::until(stopped), drain);
        let ending = async {
            let failed = tokio::select! {
                () = shutdown => false,
                () = domain.store.failed() => {
                    tracing::error!("the store has failed; this process ends in 5 seconds");
                    tokio::time::sleep(FAILED_LINGER).await;
                    true
                }
            };
            stop.send_replace(true);
            failed
        };
        let (served, failed) = tokio::join!(served, ending);
        for task in background {
            task.await?;
        }
        domain.store.close().await;
        if failed {
            bail!("the store has failed: see the log; start again once its disk is well");
        }
        Ok(served?)
    }
}

fn bind(address: &SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))
}

async fn resume_clock(store: &dyn Store, rule: ClockRule) -> anyhow::Result<SystemClock> {
    let Some(mark) = store.clock_mark().await? else { return Ok(SystemClock::default()) };
    match rule {
        ClockRule::Accept => Ok(SystemClock::above(mark)),
        ClockRule::Check => SystemClock::resume(mark)
            .context("set the clock right, or start once with `serve --accept-clock`"),
    }
}

/// The tokens with the stored keys, which the first start makes and writes.
async fn ready_tokens(
    config: &Config,
    store: &dyn Store,
    clock: &dyn Clock,
    random: &dyn Random,
) -> anyhow::Result<Tokens> {
    let settings = token_settings(config)?;
    let stored = store.signing_keys().await?;
    if stored.keys.is_empty() && store.has_users().await? {
        bail!("the store has users but no signing keys: it is damaged, restore it from a backup");
    }
    let prepared = ring::prepare(&settings, &stored, clock.now(), random)?;
    if let Some(keys) = prepared.store {
        let at = clock.now();
        let made = AuditEvent {
            id: EventId::new(at, random)?,
            at,
            event: Event::KeysChanged,
            actor: Actor::Server,
            user: None,
            session: None,
            ip: None,
            request_id: None,
        };
        store.replace_signing_keys(stored.version, keys, vec![made]).await?;
    }
    Ok(prepared.tokens)
}

fn features(config: &Config) -> Features {
    Features {
        docs: config.server.docs,
        samples: config.samples.enabled,
        password_grant: config.oauth.password_grant,
    }
}

fn store_settings(config: &Config) -> SledSettings {
    const MIB: u64 = 1024 * 1024;
    SledSettings {
        path: config.storage.path.clone(),
        cache_bytes: u64::from(config.storage.cache_mib) * MIB,
        durability: match config.storage.durability {
            config::storage::Durability::Fsync => Durability::Fsync,
            config::storage::Durability::Flush => Durability::Flush,
        },
        min_free_bytes: u64::from(config.storage.min_free_mib) * MIB,
    }
}

fn token_settings(config: &Config) -> anyhow::Result<TokenSettings> {
    let tokens = &config.tokens;
    let algorithm = tokens.algorithm.name().parse()?;
    let checked = |key: &'static str, secret: &config::secret::SecretText| {
        TokenSecret::checked(secret.expose().to_owned(), algorithm).context(key)
    };
    let secret = tokens.secret.as_ref().map(|secret| checked("tokens.secret", secret));
    let previous = tokens.previous_secrets.iter();
    let previous = previous.map(|secret| checked("tokens.previous_secrets", secret));
    Ok(TokenSettings {
        algorithm,
        secret: secret.transpose()?,
        previous_secrets: previous.collect::<anyhow::Result<_>>()?,
        issuer: tokens.issuer.clone(),
        audience: tokens.audience.clone(),
        access_ttl_max: tokens.access_ttl,
    })
}

fn hash_settings(config: &Config) -> anyhow::Result<HashSettings> {
    let passwords = &config.passwords;
    let workers = match passwords.workers {
        Some(workers) => usize::try_from(workers)?,
        None => default_workers(passwords.memory_kib),
    };
    let queue = match passwords.queue {
        Some(queue) => usize::try_from(queue)?,
        None => workers.saturating_mul(QUEUED_PER_WORKER),
    };
    Ok(HashSettings {
        memory_kib: passwords.memory_kib,
        iterations: passwords.iterations,
        parallelism: passwords.parallelism,
        workers,
        queue,
        queue_timeout: passwords.queue_timeout,
        insecure_any_strength: false,
    })
}

/// How many hashes wait for each worker before the next one is told to come back.
const QUEUED_PER_WORKER: usize = 8;

fn password_policy(config: &Config) -> anyhow::Result<PasswordPolicy> {
    let passwords = &config.passwords;
    let breached = passwords.breached_file.as_ref().map(|file| {
        BreachedList::load(file)
            .with_context(|| format!("passwords.breached_file: cannot read {}", file.display()))
    });
    Ok(PasswordPolicy::new(usize::try_from(passwords.min_length)?, breached.transpose()?))
}

fn policy(config: &Config) -> Policy {
    let host = config.server.public_url.host().to_ascii_lowercase();
    let reserved = RESERVED_NAMES.map(str::to_owned);
    Policy {
        names: if config.users.unicode_names { NamePolicy::Unicode } else { NamePolicy::Ascii },
        reserved_names: reserved.into_iter().chain([host.clone()]).collect(),
        host,
        registration: match config.users.registration {
            config::users::Registration::Open => Registration::Open,
            config::users::Registration::Closed => Registration::Closed,
        },
        default_roles: config.roles.default.clone(),
        role_scopes: Arc::new(config.roles.scopes.clone()),
        issuer: config.tokens.issuer.clone(),
        audience: config.tokens.audience.clone(),
        access_ttl: config.tokens.access_ttl,
        refresh_ttl: config.tokens.refresh_ttl,
        session_ttl: config.tokens.session_ttl,
        refresh_grace: config.tokens.refresh_grace,
        sessions_per_user: usize::try_from(config.sessions.max_per_user).unwrap_or(usize::MAX),
    }
}
