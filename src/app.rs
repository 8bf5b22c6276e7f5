//! The composition root: from a configuration to a running server, or to the domain alone for a command.
//!
//! Owns the order of things: the store opens before anything is promised, the first heartbeat is on disk
//! before a socket listens, and the store closes last.

mod background;
pub mod data;
pub mod domain;
mod files;
mod settings;

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::sync::watch;

use self::domain::{ClockRule, Domain, Missing};
use crate::admin::server::AdminSocket;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::listen::Address;
use crate::http::{self, Features, health::Heartbeat, listener::Socket, trust::Trust};
use crate::socket::LocalSocket;
use crate::store::Store;

/// The OpenAPI document of a server with this configuration.
///
/// # Errors
/// When it cannot be made, which is a defect.
pub fn openapi_document(config: &Config) -> anyhow::Result<String> {
    Ok(http::openapi(settings::features(config))?)
}

/// A server that listens and is about to serve.
pub struct App {
    domain: Domain,
    heartbeat: Arc<Heartbeat>,
    sockets: Vec<Socket>,
    addresses: Vec<Address>,
    admin: AdminSocket,
    data_dir: PathBuf,
    hash_memory_mib: u64,
    has_users: bool,
    settings: RunSettings,
}

/// What running needs of the configuration.
struct RunSettings {
    features: Features,
    public_url: String,
    https: bool,
    allowed_hosts: Vec<String>,
    trust: Trust,
    cors_origins: Vec<String>,
    connections_max: usize,
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
        let domain = domain::open(config, rule, Missing::Make).await?;
        let heartbeat = Arc::new(Heartbeat::default());
        domain
            .store
            .heartbeat(domain.clock.advance())
            .await
            .context("cannot write to the store")?;
        heartbeat.beat();
        let (mut sockets, mut addresses) = (Vec::new(), Vec::new());
        for address in &config.server.listen {
            let bound = bind(address, config.server.unix_mode).await;
            let (socket, bound) = bound.with_context(|| format!("cannot listen on {address}"))?;
            sockets.push(socket);
            addresses.push(bound);
        }
        let data_dir = std::path::absolute(&config.storage.path)?;
        let admin = AdminSocket::bind(&config.storage.path)
            .await
            .with_context(|| format!("cannot bind the admin socket in {}", data_dir.display()))?;
        let hash_memory_kib =
            u64::from(config.passwords.memory_kib) * u64::try_from(domain.hash_workers)?;
        Ok(Self {
            has_users: domain.store.has_users().await?,
            domain,
            heartbeat,
            sockets,
            addresses,
            admin,
            data_dir,
            hash_memory_mib: hash_memory_kib.div_ceil(1024),
            settings: RunSettings {
                features: settings::features(config),
                public_url: config.server.public_url.as_str().to_owned(),
                https: config.server.public_url.is_https(),
                allowed_hosts: config.server.allowed_hosts.clone(),
                trust: settings::trust(config),
                cors_origins: config.server.cors_origins.clone(),
                connections_max: files::connections(config.server.max_connections),
                shutdown_timeout: config.server.shutdown_timeout,
                sweep_interval: config.sessions.sweep_interval,
            },
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
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
        let Self { domain, heartbeat, sockets, admin, settings, .. } = self;
        let application = http::application(http::Parts {
            auth: Arc::clone(&domain.auth),
            heartbeat: Arc::clone(&heartbeat),
            clock: Arc::clone(&domain.clock) as Arc<dyn Clock>,
            random: Arc::clone(&domain.random),
            public_url: settings.public_url,
            https: settings.https,
            allowed_hosts: settings.allowed_hosts,
            trust: settings.trust,
            cors_origins: settings.cors_origins,
            features: settings.features,
        });
        let (stop, stopped) = watch::channel(false);
        let Domain { auth, store, clock, .. } = domain;
        let parts = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&heartbeat));
        let until = stopped.clone();
        let beat = background::kept("heartbeat", stopped.clone(), move || {
            let (store, clock, heartbeat) = parts.clone();
            background::beat(store, clock, heartbeat, until.clone())
        });
        let (parts, interval) = ((Arc::clone(&store), clock), settings.sweep_interval);
        let until = stopped.clone();
        let sweep = background::kept("sweeper", stopped.clone(), move || {
            let (store, clock) = parts.clone();
            background::sweep(store, clock, interval, until.clone())
        });
        let operator = admin.serve(auth, stopped.clone());
        let background = [tokio::spawn(beat), tokio::spawn(sweep), tokio::spawn(operator)];

        let drain = settings.shutdown_timeout;
        let connections = settings.connections_max;
        let until = background::until(stopped);
        let serve = http::serve(application, sockets, connections, until, drain);
        let mut serve = pin!(serve);
        let served = tokio::select! {
            () = shutdown => None,
            () = linger_after_failure(store.as_ref(), &heartbeat) => None,
            served = &mut serve => Some(served),
        };
        stop.send_replace(true);
        let served = match served {
            Some(served) => served,
            None => serve.await,
        };
        for task in background {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task broke off");
            }
        }
        store.close().await;
        if has_failed(store.as_ref()).await {
            bail!("the store has failed, see the log; start again once its disk is well");
        }
        Ok(served?)
    }
}

/// Whether the store had failed by the time it was closed, whatever ended the server.
async fn has_failed(store: &dyn Store) -> bool {
    tokio::select! {
        biased;
        () = store.failed() => true,
        () = std::future::ready(()) => false,
    }
}

/// Resolves a while after the store has failed.
async fn linger_after_failure(store: &dyn Store, heartbeat: &Heartbeat) {
    store.failed().await;
    heartbeat.stop();
    tracing::error!(
        linger_secs = FAILED_LINGER.as_secs(),
        "the store has failed, this process ends"
    );
    tokio::time::sleep(FAILED_LINGER).await;
}

/// Listens at `address`, and says where that is: a port may have been left to the system.
async fn bind(address: &Address, unix_mode: u32) -> anyhow::Result<(Socket, Address)> {
    Ok(match address {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(address)?;
            let bound = listener.local_addr()?;
            (Socket::Tcp(listener), Address::Tcp(bound))
        }
        Address::Unix(path) => {
            (Socket::Unix(LocalSocket::bind(path, unix_mode).await?), address.clone())
        }
    })
}
