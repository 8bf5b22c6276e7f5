//! A data directory with users and sessions in it, written by the library as logins would write it, and the
//! tokens that open those sessions.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use keystile::auth::model::audit::{Actor, AuditEvent, Event};
use keystile::auth::model::id::{EventId, Nonce, SessionId, UserId};
use keystile::auth::model::scope::Scopes;
use keystile::auth::model::session::{Generation, Session};
use keystile::auth::model::user::{PasswordHash, User};
use keystile::auth::model::username::{NamePolicy, Username};
use keystile::clock::{Clock, SystemClock, Timestamp};
use keystile::random::{Random, SeededRandom, SystemRandom};
use keystile::store::sled::{Durability, SledSettings, SledStore};
use keystile::store::{OpenSession, Store};
use keystile::token::algorithm::Algorithm;
use keystile::token::claims::{AccessClaims, RefreshClaims};
use keystile::token::{TokenSettings, Tokens, ring};
use tokio::task::JoinSet;

/// The default of `sessions.max_per_user`.
const PER_USER: usize = 20;
/// The default of `storage.cache_mib`.
const CACHE_BYTES: u64 = 32 << 20;
/// The defaults of `tokens.access_ttl`, `refresh_ttl` and `session_ttl`.
const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
const REFRESH_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const SESSION_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How many steps are on their way to the store at a time, of which it commits 256 together.
const STEPS: usize = 1024;
const SCOPE: &str = "me posts:write";
const HOUR: Duration = Duration::from_secs(60 * 60);

/// What a client knows of a login.
#[derive(Clone, Copy)]
pub struct Login {
    user: UserId,
    session: SessionId,
    access: Nonce,
    refresh: Nonce,
}

/// Signs as the server of that directory does.
pub struct Signer {
    tokens: Tokens,
    scope: Scopes,
    roles: BTreeSet<String>,
    clock: SystemClock,
}

impl Signer {
    /// An access token of `login` that expires after `life`: another life makes another token.
    pub fn access(&self, login: &Login, life: Duration) -> Result<String> {
        let now = self.clock.now().floor_secs();
        Ok(self.tokens.sign_access(&AccessClaims {
            user: login.user,
            session: login.session,
            nonce: login.access,
            issued_at: now,
            expires_at: now.after(life),
            scope: self.scope.clone(),
            roles: self.roles.clone(),
        })?)
    }

    /// The refresh token of `login`.
    pub fn refresh(&self, login: &Login) -> Result<String> {
        let now = self.clock.now().floor_secs();
        Ok(self.tokens.sign_refresh(&RefreshClaims {
            user: login.user,
            session: login.session,
            nonce: login.refresh,
            issued_at: now,
            expires_at: now.after(REFRESH_TTL),
        })?)
    }
}

/// Fills the new directory `path` with as many sessions that have expired, and then as many that live, of as
/// many users as that takes; returns the living. Tells `progress` how many there are, thousand by thousand.
///
/// Each user has some of either. They log in in a random order, as users do, so that every page of the
/// database is written many times over.
pub async fn fill(
    path: &Path,
    (expired, live): (usize, usize),
    mut progress: impl FnMut(usize) -> Result<()>,
) -> Result<(Signer, Vec<Login>)> {
    let clock = SystemClock::above(Timestamp::default())?;
    let now = clock.now().floor_secs();
    let store: Arc<dyn Store> = Arc::new(SledStore::open(&SledSettings {
        path: path.to_owned(),
        cache_bytes: CACHE_BYTES,
        durability: Durability::Flush,
        min_free_bytes: 0,
    })?);
    let signer = signer(store.as_ref(), clock).await?;
    // Every session lives at the logins, so that none gives way: those of the past are over only by now.
    let opened_at = Timestamp::from_millis(now.millis() - millis(REFRESH_TTL + 24 * HOUR));
    let users = create_users(&store, (expired + live).div_ceil(PER_USER), opened_at).await?;
    let random = SeededRandom::new(1);
    let mut logins = Vec::with_capacity(live);
    let mut steps = JoinSet::new();
    let of_today = Timestamp::from_millis(now.millis() - millis(12 * HOUR));
    let kinds = [(expired, opened_at), (live, of_today)];
    let mut done = 0;
    for (count, from) in kinds {
        for (index, turn) in shuffled(count, &random)?.into_iter().enumerate() {
            let user = *users.get(turn % users.len()).context("no users")?;
            let at = from.after(spread(11 * HOUR, index, count));
            let session = session(user, at, &random)?;
            if from == of_today {
                logins.push(Login {
                    user,
                    session: session.id,
                    access: session.current.access,
                    refresh: session.current.refresh,
                });
            }
            let open = opening(session, opened_at, &random)?;
            let store = Arc::clone(&store);
            steps.spawn(async move { store.open_session(open).await });
            if steps.len() == STEPS {
                steps.join_next().await.context("no step")???;
            }
            done += 1;
            if done % 1000 == 0 {
                progress(done)?;
            }
        }
    }
    settle(steps).await?;
    store.close().await;
    Ok((signer, logins))
}

async fn signer(store: &dyn Store, clock: SystemClock) -> Result<Signer> {
    let settings = TokenSettings {
        algorithm: Algorithm::EdDsa,
        secret: None,
        previous_secrets: Vec::new(),
        issuer: "http://127.0.0.1:8000".to_owned(),
        audience: "keystile".to_owned(),
    };
    let stored = store.signing_keys().await?;
    let prepared = ring::prepare(&settings, &stored, clock.now(), &SystemRandom)?;
    let keys = prepared.store.context("the directory is not new")?;
    store.replace_signing_keys(stored.version, keys, Vec::new()).await?;
    let roles = BTreeSet::from(["user".to_owned()]);
    Ok(Signer { tokens: prepared.tokens, scope: Scopes::parse(SCOPE)?, roles, clock })
}

async fn create_users(
    store: &Arc<dyn Store>,
    count: usize,
    created_at: Timestamp,
) -> Result<Vec<UserId>> {
    let mut users = Vec::with_capacity(count);
    let mut steps = JoinSet::new();
    for number in 0..count {
        let user = User {
            id: UserId::new(created_at, &SystemRandom)?,
            username: Username::parse(&format!("filled-{number}"), NamePolicy::Ascii)?,
            email: None,
            full_name: None,
            disabled: false,
            roles: BTreeSet::from(["user".to_owned()]),
            // As long as a real one, and matched by no password.
            password_hash: PasswordHash::new(format!("$argon2id$v=19$m=19456,t=2,p=1${:66}", "")),
            epoch: 0,
            created_at,
        };
        users.push(user.id);
        let store = Arc::clone(store);
        steps.spawn(async move { store.create_user(user, None, Vec::new()).await });
        if steps.len() == STEPS {
            steps.join_next().await.context("no step")???;
        }
    }
    settle(steps).await?;
    Ok(users)
}

/// The positions below `count` in a random order.
fn shuffled(count: usize, random: &SeededRandom) -> Result<Vec<usize>> {
    let mut order: Vec<_> = (0..count).collect();
    for last in (1..count).rev() {
        let mut word = [0; 8];
        random.fill(&mut word)?;
        let below = u64::try_from(last)? + 1;
        order.swap(last, usize::try_from(u64::from_le_bytes(word) % below)?);
    }
    Ok(order)
}

fn session(user: UserId, at: Timestamp, random: &SeededRandom) -> Result<Session> {
    let scope = Scopes::parse(SCOPE)?;
    Ok(Session {
        id: SessionId::new(at, random)?,
        user,
        epoch: 0,
        scope: scope.clone(),
        created_at: at,
        last_used_at: at,
        ends_at: at.floor_secs().after(SESSION_TTL),
        ip: Some("203.0.113.77".to_owned()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101".to_owned()),
        current: Generation {
            number: 0,
            access: Nonce::new(random)?,
            refresh: Nonce::new(random)?,
            issued_at: at.floor_secs(),
            access_expires_at: at.floor_secs().after(ACCESS_TTL),
            refresh_expires_at: at.floor_secs().after(REFRESH_TTL),
            scope,
        },
        replaced: None,
    })
}

fn opening(session: Session, now: Timestamp, random: &SeededRandom) -> Result<OpenSession> {
    let event = |event| {
        Ok::<_, anyhow::Error>(AuditEvent {
            id: EventId::new(session.created_at, random)?,
            at: session.created_at,
            event,
            actor: Actor::User(session.user),
            user: Some(session.user),
            session: Some(session.id),
            ip: session.ip.clone(),
            request_id: Some("01JD7Z5V8Q3M6T9X2B4N7R0K1F".to_owned()),
        })
    };
    let (opened, on_eviction) = (event(Event::SessionOpened)?, event(Event::SessionEvicted)?);
    Ok(OpenSession { session, max_per_user: PER_USER, now, opened, on_eviction })
}

async fn settle<T: 'static>(mut steps: JoinSet<keystile::store::Result<T>>) -> Result<()> {
    while let Some(ended) = steps.join_next().await {
        ended??;
    }
    Ok(())
}

/// The moment of the `index`th of `count` things within `span`.
fn spread(span: Duration, index: usize, count: usize) -> Duration {
    span.mul_f64(super::figures::number(index) / super::figures::number(count))
}

fn millis(span: Duration) -> u64 {
    span.as_secs() * 1000
}
