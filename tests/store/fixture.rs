//! Stores to test, and records to put into them. All ids come from one seeded sequence per test.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keystile::auth::model::audit::{Actor, AuditEvent, Event};
use keystile::auth::model::id::{EventId, Nonce, PostId, SessionId, UserId};
use keystile::auth::model::post::Post;
use keystile::auth::model::scope::{ADMIN_ROLE, Scopes};
use keystile::auth::model::session::{Generation, Session};
use keystile::auth::model::user::{
    Expect, PasswordHash, SessionsAfter, User, UserChange, UserUpdate,
};
use keystile::auth::model::username::{NamePolicy, Username};
use keystile::clock::Timestamp;
use keystile::random::SeededRandom;
use keystile::store::sled::{Durability, SledSettings, SledStore};
use keystile::store::{OpenSession, Rotate, Store};
use tempfile::TempDir;

/// When the tests take place.
pub const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// How long a session lives without being used.
pub const IDLE: Duration = Duration::from_secs(3600);
/// How long a replaced pair is borne with.
pub const GRACE: Duration = Duration::from_secs(30);

/// A store to share between tasks.
pub type AnyStore = Arc<dyn Store>;

/// An empty sled store, and the directory that goes when the test ends.
pub fn sled() -> (AnyStore, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    (Arc::new(store), directory)
}

/// The settings of the sled stores here.
pub fn settings(path: &Path) -> SledSettings {
    SledSettings {
        path: path.to_owned(),
        cache_bytes: 8 << 20,
        durability: Durability::Flush,
        min_free_bytes: 0,
    }
}

/// `secs` seconds after the start.
pub fn at(secs: u64) -> Timestamp {
    NOW.after(Duration::from_secs(secs))
}

/// Makes records.
pub struct Make {
    random: SeededRandom,
}

impl Make {
    /// From the start of the sequence.
    pub const fn new() -> Self {
        Self { random: SeededRandom::new(1) }
    }

    /// From the start of another sequence, so that ids of two makers differ.
    pub const fn seeded(seed: u64) -> Self {
        Self { random: SeededRandom::new(seed) }
    }

    /// A user without roles.
    pub fn user(&self, name: &str) -> User {
        User {
            id: UserId::new(NOW, &self.random).unwrap(),
            username: Username::parse(name, NamePolicy::Ascii).unwrap(),
            email: None,
            full_name: None,
            disabled: false,
            roles: BTreeSet::new(),
            password_hash: PasswordHash::new(format!("hash of {name}")),
            epoch: 0,
            created_at: NOW,
        }
    }

    /// An administrator.
    pub fn admin(&self, name: &str) -> User {
        User { roles: BTreeSet::from([ADMIN_ROLE.to_owned()]), ..self.user(name) }
    }

    /// A user that `store` has.
    pub async fn stored_user(&self, store: &AnyStore, name: &str) -> User {
        let user = self.user(name);
        store.create_user(user.clone(), None, vec![]).await.unwrap();
        user
    }

    /// A session that `store` has, opened at `opened`.
    pub async fn stored_session(
        &self,
        store: &AnyStore,
        user: &User,
        opened: Timestamp,
    ) -> Session {
        let session = self.session(user, opened);
        store.open_session(self.open(&session, 100, opened)).await.unwrap();
        session
    }

    /// A session of `user` as it stands, opened at `opened`.
    pub fn session(&self, user: &User, opened: Timestamp) -> Session {
        Session {
            id: SessionId::new(opened, &self.random).unwrap(),
            user: user.id,
            epoch: user.epoch,
            scope: Scopes::default(),
            created_at: opened,
            last_used_at: opened,
            ends_at: opened.after(IDLE * 24),
            ip: None,
            user_agent: None,
            current: self.generation(opened),
            replaced: None,
        }
    }

    /// The opening of `session` at `now`.
    pub fn open(&self, session: &Session, max_per_user: usize, now: Timestamp) -> OpenSession {
        OpenSession {
            session: session.clone(),
            max_per_user,
            now,
            opened: self.event(Event::SessionOpened, now),
            on_eviction: self.event(Event::SessionEvicted, now),
        }
    }

    /// A pair issued at `issued`.
    pub fn generation(&self, issued: Timestamp) -> Generation {
        Generation {
            number: 0,
            access: self.nonce(),
            refresh: self.nonce(),
            issued_at: issued,
            access_expires_at: issued.after(IDLE / 4),
            refresh_expires_at: issued.after(IDLE),
            scope: Scopes::default(),
        }
    }

    /// A nonce.
    pub fn nonce(&self) -> Nonce {
        Nonce::new(&self.random).unwrap()
    }

    /// The refresh of `session` with its current token.
    pub fn rotate(&self, session: &Session, now: Timestamp) -> Rotate {
        self.rotate_with(session, session.current.refresh, now)
    }

    /// The refresh of `session` with the token `presented`.
    pub fn rotate_with(&self, session: &Session, presented: Nonce, now: Timestamp) -> Rotate {
        Rotate {
            user: session.user,
            session: session.id,
            presented,
            next: self.generation(now),
            grace: GRACE,
            now,
            on_reuse: self.event(Event::RefreshReused, now),
        }
    }

    /// A post of `author`.
    pub fn post(&self, author: &User, written: Timestamp) -> Post {
        Post {
            id: PostId::new(written, &self.random).unwrap(),
            author: author.id,
            title: "a title".to_owned(),
            content: "a text".to_owned(),
            created_at: written,
            updated_at: written,
        }
    }

    /// An audit event.
    pub fn event(&self, event: Event, at: Timestamp) -> AuditEvent {
        AuditEvent {
            id: EventId::new(at, &self.random).unwrap(),
            at,
            event,
            actor: Actor::Server,
            user: None,
            session: None,
            ip: None,
            request_id: None,
        }
    }
}

/// An update that sets nothing and does `sessions`.
pub fn only(sessions: SessionsAfter) -> UserUpdate {
    UserUpdate { change: UserChange::default(), expect: Expect::default(), sessions }
}

/// An update by an administrator.
pub fn set(change: UserChange, sessions: SessionsAfter) -> UserUpdate {
    UserUpdate { change, expect: Expect::default(), sessions }
}

/// Disables a user, which ends its sessions.
pub fn disable() -> UserUpdate {
    let change = UserChange { disabled: Some(true), ..UserChange::default() };
    set(change, SessionsAfter::EndAll)
}

/// Takes all roles from a user.
pub fn demote() -> UserUpdate {
    let change = UserChange { roles: Some(BTreeSet::new()), ..UserChange::default() };
    set(change, SessionsAfter::Keep)
}

/// The events of that kind, oldest first.
pub async fn noted(store: &AnyStore, event: Event) -> Vec<AuditEvent> {
    let events = store.audit(None, usize::MAX).await.unwrap();
    events.into_iter().filter(|noted| noted.event == event).collect()
}

/// Whether the session lives at `now`.
pub async fn lives(store: &AnyStore, session: &Session, now: Timestamp) -> bool {
    store.session(session.user, session.id, now).await.unwrap().is_some()
}

/// Changes the closed database behind the store's back.
pub fn behind_its_back<T>(path: &Path, change: impl FnOnce(&sled::Db) -> T) -> T {
    let db = sled::open(path.join("db")).unwrap();
    let done = change(&db);
    db.flush().unwrap();
    done
}

/// What a random test starts from: `KEYSTILE_TEST_SEED`, to be said when it fails.
pub fn seed() -> u64 {
    let seed = std::env::var_os("KEYSTILE_TEST_SEED");
    seed.map_or(1, |seed| seed.to_str().unwrap().parse().unwrap())
}
