//! The configuration as plain settings of each room, which know nothing of where they come from.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Context;

use crate::auth::model::attempts::AccountLimits;
use crate::auth::model::username::NamePolicy;
use crate::auth::policy::{Policy, RESERVED_NAMES, Registration};
use crate::config::proxies::Proxies;
use crate::config::{self, Config};
use crate::http::Features;
use crate::http::trust::Trust;
use crate::password::policy::{BreachedList, PasswordPolicy};
use crate::password::settings::{HashSettings, default_workers, memory_limit_kib};
use crate::store::sled::{Durability, SledSettings};
use crate::throttle::ThrottleSettings;
use crate::token::TokenSettings;

/// How many hashes wait for each worker before the next one is told to come back.
const QUEUED_PER_WORKER: usize = 8;

/// Which routes there are.
pub(super) fn features(config: &Config) -> Features {
    Features {
        docs: config.server.docs,
        samples: config.samples.enabled,
        password_grant: config.oauth.password_grant,
    }
}

/// Whom to believe about where a request comes from.
pub(super) fn trust(config: &Config) -> Trust {
    let Proxies { networks, local, header } = config.server.proxies.clone();
    Trust { networks, local, header }
}

/// How the store is opened.
pub(super) fn store(config: &Config) -> SledSettings {
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

/// How tokens are made and judged.
pub(super) fn tokens(config: &Config) -> TokenSettings {
    let tokens = &config.tokens;
    TokenSettings {
        algorithm: tokens.algorithm,
        secret: tokens.secret.clone(),
        previous_secrets: tokens.previous_secrets.clone(),
        issuer: tokens.issuer.clone(),
        audience: tokens.audience.clone(),
    }
}

/// How passwords are hashed.
pub(super) fn hashing(config: &Config) -> anyhow::Result<HashSettings> {
    let passwords = &config.passwords;
    let memory_limit_kib = memory_limit_kib();
    let workers = match passwords.workers {
        Some(workers) => usize::try_from(workers)?,
        None => default_workers(passwords.memory_kib, memory_limit_kib),
    };
    let queue = match passwords.queue {
        Some(queue) => usize::try_from(queue)?,
        None => workers.saturating_mul(QUEUED_PER_WORKER),
    };
    let settings = HashSettings {
        memory_kib: passwords.memory_kib,
        iterations: passwords.iterations,
        parallelism: passwords.parallelism,
        workers,
        queue,
        queue_timeout: passwords.queue_timeout,
        memory_limit_kib,
        insecure_any_strength: false,
    };
    settings.check()?;
    Ok(settings)
}

/// The rules for new passwords.
pub(super) fn passwords(config: &Config) -> anyhow::Result<PasswordPolicy> {
    let passwords = &config.passwords;
    let breached = passwords.breached_file.as_ref().map(|file| {
        BreachedList::load(file)
            .with_context(|| format!("passwords.breached_file: cannot read {}", file.display()))
    });
    Ok(PasswordPolicy::new(usize::try_from(passwords.min_length)?, breached.transpose()?))
}

/// How often passwords may be wrong; none if that is all the same.
pub(super) fn throttle(config: &Config) -> Option<ThrottleSettings> {
    let throttle = &config.throttle;
    throttle.enabled.then_some(ThrottleSettings {
        account: AccountLimits {
            free_failures: throttle.free_failures,
            first_delay: throttle.first_delay,
            max_delay: throttle.max_delay,
            lock_after: throttle.lock_after,
            known_for: throttle.known_for,
        },
        source_failures_per_minute: throttle.source_failures_per_minute,
        failures_per_second: throttle.failures_per_second,
        registrations_per_hour: throttle.registrations_per_hour,
    })
}

/// The rules of the domain.
pub(super) fn policy(config: &Config) -> Policy {
    let public_host = config.server.public_url.host().to_ascii_lowercase();
    let hosts: BTreeSet<_> =
        host_of(&config.tokens.issuer).into_iter().chain([public_host]).collect();
    let reserved = RESERVED_NAMES.map(str::to_owned).into_iter();
    Policy {
        names: if config.users.unicode_names { NamePolicy::Unicode } else { NamePolicy::Ascii },
        reserved_names: reserved.chain(hosts.iter().cloned()).collect(),
        hosts,
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

/// The host of an issuer that is a URL.
fn host_of(issuer: &str) -> Option<String> {
    let (_, rest) = issuer.split_once("://")?;
    let host = rest.split(['/', ':', '?', '#']).next()?;
    Some(host.to_ascii_lowercase())
}
