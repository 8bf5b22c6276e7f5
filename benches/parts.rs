//! The parts that a request is made of, one by one: `cargo bench --bench parts`.

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
use keystile::clock::Timestamp;
use keystile::random::SeededRandom;
use keystile::store::sled::{Durability, SledSettings, SledStore};
use keystile::store::{OpenSession, SigningKeys, Store, codec};
use keystile::token::algorithm::Algorithm;
use keystile::token::claims::{AccessClaims, RefreshClaims};
use keystile::token::{TokenSettings, Tokens, ring};
use tempfile::TempDir;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LIFE: Duration = Duration::from_secs(900);
/// More tokens than are remembered, so that none is seen again before it is forgotten.
const UNSEEN_TOKENS: usize = 16_384;

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(30);
    let random = SeededRandom::new(1);
    tokens(&mut criterion, &random)?;
    store(&mut criterion, &random)?;
    criterion.final_summary();
    Ok(())
}

fn tokens(criterion: &mut Criterion, random: &SeededRandom) -> Result<()> {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
        let tokens = make_tokens(algorithm, random)?;
        let mut unseen = Vec::with_capacity(UNSEEN_TOKENS);
        for _ in 0..UNSEEN_TOKENS {
            unseen.push(tokens.sign_access(&access_claims(random)?)?);
        }
        let seen = tokens.sign_access(&access_claims(random)?)?;
        criterion.bench_function(&format!("{algorithm}: verify a token seen before"), |bencher| {
            bencher.iter(|| tokens.verify_access(black_box(&seen), NOW));
        });
        let mut unseen = unseen.iter().cycle();
        criterion.bench_function(&format!("{algorithm}: verify a new token"), |bencher| {
            bencher.iter(|| unseen.next().map(|token| tokens.verify_access(token, NOW)));
        });
        let access = access_claims(random)?;
        let refresh = RefreshClaims {
            user: access.user,
            session: access.session,
            nonce: access.nonce,
            issued_at: NOW,
            expires_at: NOW.after(LIFE),
        };
        criterion.bench_function(&format!("{algorithm}: sign a pair"), |bencher| {
            bencher.iter(|| (tokens.sign_access(&access), tokens.sign_refresh(&refresh)));
        });
    }
    Ok(())
}

fn store(criterion: &mut Criterion, random: &SeededRandom) -> Result<()> {
    let (user, directory) = (make_user(random)?, TempDir::new()?);
    let session = make_session(&user, random)?;
    let bytes = codec::encode("session", b"key", &session)?;
    criterion.bench_function("encode a session", |bencher| {
        bencher.iter(|| codec::encode("session", b"key", black_box(&session)));
    });
    criterion.bench_function("decode a session", |bencher| {
        bencher.iter(|| codec::decode::<Session>("session", b"key", black_box(&bytes)));
    });
    let store = SledStore::open(&SledSettings {
        path: directory.path().join("data"),
        cache_bytes: 32 << 20,
        durability: Durability::Flush,
        min_free_bytes: 0,
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (id, nonce) = (session.id, session.current.access);
    let opened = AuditEvent {
        id: EventId::new(NOW, random)?,
        at: NOW,
        event: Event::SessionOpened,
        actor: Actor::Anonymous,
        user: Some(user.id),
        session: Some(id),
        ip: None,
        request_id: None,
    };
    let on_eviction = opened.clone();
    let opening = OpenSession { session, max_per_user: 20, now: NOW, opened, on_eviction };
    runtime.block_on(async {
        store.create_user(user.clone(), None, Vec::new()).await?;
        store.open_session(opening).await
    })?;
    criterion.bench_function("find a session and its user", |bencher| {
        bencher.iter(|| runtime.block_on(store.session_for(user.id, id, nonce, NOW)));
    });
    Ok(())
}

fn make_tokens(algorithm: Algorithm, random: &SeededRandom) -> Result<Tokens> {
    let settings = TokenSettings {
        algorithm,
        secret: None,
        previous_secrets: Vec::new(),
        issuer: "http://127.0.0.1:8000".to_owned(),
        audience: "keystile".to_owned(),
    };
    Ok(ring::prepare(&settings, &SigningKeys::default(), NOW, random)?.tokens)
}

fn access_claims(random: &SeededRandom) -> Result<AccessClaims> {
    Ok(AccessClaims {
        user: UserId::new(NOW, random)?,
        session: SessionId::new(NOW, random)?,
        nonce: Nonce::new(random)?,
        issued_at: NOW,
        expires_at: NOW.after(LIFE),
        scope: Scopes::parse("me posts:write")?,
        roles: BTreeSet::from(["user".to_owned()]),
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
        scope: Scopes::parse("me posts:write")?,
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
            scope: Scopes::parse("me posts:write")?,
        },
        replaced: None,
    })
}
