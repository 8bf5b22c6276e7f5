//! Records, and the steps of the store on them.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::Duration;

use anyhow::Result;
use criterion::Criterion;
use keystile::auth::model::audit::{Actor, AuditEvent, Event};
use keystile::auth::model::id::{EventId, Nonce, SessionId, UserId};
use keystile::auth::model::scope::Scopes;
use keystile::auth::model::session::{Generation, Session};
use keystile::auth::model::user::{PasswordHash, User};
use keystile::auth::model::username::{NamePolicy, Username};
use keystile::random::SeededRandom;
use keystile::store::sled::{Durability, SledSettings, SledStore};
use keystile::store::{OpenSession, Rotate, Store, codec};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{LIFE, NOW, SCOPE};

/// Encoding, decoding, reading, and a refresh that waits for the kernel but for no disk.
pub fn measure(criterion: &mut Criterion, random: &SeededRandom) -> Result<()> {
    let (user, directory) = (make_user(random)?, TempDir::new()?);
    let session = make_session(&user, random)?;
    codecs(criterion, &user, &session)?;
    let store = SledStore::open(&SledSettings {
        path: directory.path().join("data"),
        cache_bytes: 32 << 20,
        durability: Durability::Flush,
        min_free_bytes: 0,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let opened = event(Event::SessionOpened, &session, random)?;
    let on_eviction = event(Event::SessionEvicted, &session, random)?;
    let opening =
        OpenSession { session: session.clone(), max_per_user: 20, now: NOW, opened, on_eviction };
    runtime.block_on(async {
        store.create_user(user.clone(), None, Vec::new()).await?;
        store.open_session(opening).await
    })?;
    let (id, nonce) = (session.id, session.current.access);
    criterion.bench_function("find a session and its user", |bencher| {
        bencher.iter(|| runtime.block_on(store.session_for(user.id, id, nonce, NOW)));
    });
    rotations(criterion, &runtime, &store, session, random)
}

fn codecs(criterion: &mut Criterion, user: &User, session: &Session) -> Result<()> {
    let bytes = codec::encode("session", b"key", session)?;
    criterion.bench_function("encode a session", |bencher| {
        bencher.iter(|| codec::encode("session", b"key", black_box(session)));
    });
    criterion.bench_function("decode a session", |bencher| {
        bencher.iter(|| codec::decode::<Session>("session", b"key", black_box(&bytes)));
    });
    let bytes = codec::encode("user", b"key", user)?;
    criterion.bench_function("decode a user", |bencher| {
        bencher.iter(|| codec::decode::<User>("user", b"key", black_box(&bytes)));
    });
    Ok(())
}

fn rotations(
    criterion: &mut Criterion,
    runtime: &Runtime,
    store: &SledStore,
    session: Session,
    random: &SeededRandom,
) -> Result<()> {
    let on_reuse = event(Event::RefreshReused, &session, random)?;
    let mut current = session.current;
    criterion.bench_function("rotate a session, alone in its batch", |bencher| {
        bencher.iter(|| {
            let (access, refresh) = (Nonce::new(random).ok()?, Nonce::new(random).ok()?);
            let next = Generation { access, refresh, ..current.clone() };
            let presented = std::mem::replace(&mut current, next.clone()).refresh;
            let rotate = Rotate {
                user: session.user,
                session: session.id,
                presented,
                next,
                grace: Duration::from_secs(30),
                now: NOW,
                on_reuse: on_reuse.clone(),
            };
            runtime.block_on(store.rotate(rotate)).ok()
        });
    });
    Ok(())
}

fn event(event: Event, session: &Session, random: &SeededRandom) -> Result<AuditEvent> {
    Ok(AuditEvent {
        id: EventId::new(NOW, random)?,
        at: NOW,
        event,
        actor: Actor::Anonymous,
        user: Some(session.user),
        session: Some(session.id),
        ip: None,
        request_id: None,
    })
}

fn make_user(random: &SeededRandom) -> Result<User> {
    Ok(User {
        id: UserId::new(NOW, random)?,
        username: Username::parse("alice", NamePolicy::Ascii)?,
        email: None,
        full_name: None,
        disabled: false,
        roles: BTreeSet::from(["user".to_owned()]),
        password_hash: PasswordHash::new(format!("$argon2id$v=19$m=19456,t=2,p=1${:64}", "")),
        epoch: 0,
        created_at: NOW,
    })
}

fn make_session(user: &User, random: &SeededRandom) -> Result<Session> {
    Ok(Session {
        id: SessionId::new(NOW, random)?,
        user: user.id,
        epoch: 0,
        scope: Scopes::parse(SCOPE)?,
        created_at: NOW,
        last_used_at: NOW,
        ends_at: NOW.after(LIFE * 96),
        ip: Some("127.0.0.1".to_owned()),
        user_agent: Some("bench".to_owned()),
        current: Generation {
            number: 0,
            access: Nonce::new(random)?,
            refresh: Nonce::new(random)?,
            issued_at: NOW,
            access_expires_at: NOW.after(LIFE),
            refresh_expires_at: NOW.after(LIFE * 2),
            scope: Scopes::parse(SCOPE)?,
        },
        replaced: None,
    })
}
