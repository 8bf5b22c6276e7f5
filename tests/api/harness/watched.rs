//! [`Watched`]: a store whose steps are counted, and of which a test can let some fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use keystile::auth::model::attempts::{Account, Attempt, Attempts, Outcome, Permit};
use keystile::auth::model::audit::AuditEvent;
use keystile::auth::model::id::{EventId, Nonce, PostId, SessionId, UserId};
use keystile::auth::model::post::Post;
use keystile::auth::model::session::{Rotation, Session};
use keystile::auth::model::user::{Expect, Standing, User, UserUpdate};
use keystile::auth::model::username::Username;
use keystile::clock::Timestamp;
use keystile::store::dump::Export;
use keystile::store::{
    OpenSession, Page, Result, Rotate, SigningKeys, Store, StoreError, StoredKey, Swept,
};
use tokio::sync::Notify;

/// Hands every step on to a store, unless it is to fail.
pub struct Watched {
    inner: Arc<dyn Store>,
    calls: AtomicU64,
    failing: Mutex<BTreeMap<&'static str, StoreError>>,
    held: Mutex<Option<(&'static str, Arc<Held>)>>,
    lost: Mutex<Option<String>>,
}

/// A step that goes on when it is told to.
#[derive(Default)]
pub struct Held {
    reached: Notify,
    go: Notify,
}

impl Held {
    /// Waits until the step is asked for.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.go.notify_one();
    }
}

impl Watched {
    /// Watches `inner`.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            calls: AtomicU64::new(0),
            failing: Mutex::default(),
            held: Mutex::default(),
            lost: Mutex::default(),
        }
    }

    /// How many steps and reads were asked for.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// Lets each `step` from now on fail with `error`.
    pub fn fail(&self, step: &'static str, error: StoreError) {
        self.failing.lock().unwrap().insert(step, error);
    }

    /// Lets `step` work again.
    pub fn mend(&self, step: &'static str) {
        assert!(self.failing.lock().unwrap().remove(step).is_some(), "{step} did not fail");
    }

    /// Holds up the next `step`.
    pub fn hold(&self, step: &'static str) -> Arc<Held> {
        let held = Arc::new(Held::default());
        *self.held.lock().unwrap() = Some((step, Arc::clone(&held)));
        held
    }

    /// Does the next `step`, and loses its answer.
    pub fn lose_answer(&self, step: &str) {
        *self.lost.lock().unwrap() = Some(step.to_owned());
    }

    async fn meet(&self, step: &'static str) -> Result<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let held = self.held.lock().unwrap().take_if(|(held, _)| *held == step);
        if let Some((_, held)) = held {
            held.reached.notify_one();
            held.go.notified().await;
        }
        self.failing.lock().unwrap().get(step).cloned().map_or(Ok(()), Err)
    }
}

/// The steps that are handed on; none can be forgotten, since the trait has no defaults.
macro_rules! watched {
    ($(fn $step:ident($($name:ident: $type:ty),*) -> $answer:ty;)+) => {
        #[async_trait]
        impl Store for Watched {
            $(async fn $step(&self, $($name: $type),*) -> Result<$answer> {
                self.meet(stringify!($step)).await?;
                let answer = self.inner.$step($($name),*).await;
                let is_lost = self.lost.lock().unwrap().take_if(|lost| lost == stringify!($step));
                if is_lost.is_some() { Err(StoreError::Unknown) } else { answer }
            })+

            fn touch_session(&self, user: UserId, session: SessionId, now: Timestamp) {
                self.calls.fetch_add(1, Ordering::SeqCst);
                self.inner.touch_session(user, session, now);
            }

            async fn failed(&self) {
                self.inner.failed().await;
            }

            async fn close(&self) {
                self.inner.close().await;
            }
        }
    };
}

watched! {
    fn create_user(user: User, actor: Option<Standing>, audit: Vec<AuditEvent>) -> ();
    fn update_user(id: UserId, update: UserUpdate, audit: Vec<AuditEvent>) -> User;
    fn delete_user(id: UserId, expect: Expect, audit: Vec<AuditEvent>) -> ();
    fn user(id: UserId) -> Option<User>;
    fn user_by_name(name: &Username) -> Option<User>;
    fn users(prefix: String, after: Option<String>, limit: usize) -> Page<User, String>;
    fn open_session(open: OpenSession) -> bool;
    fn session_for(user: UserId, session: SessionId, nonce: Nonce, now: Timestamp)
        -> Option<(Session, User)>;
    fn session(user: UserId, session: SessionId, now: Timestamp) -> Option<(Session, User)>;
    fn rotate(rotate: Rotate) -> Rotation;
    fn end_session(
        user: UserId, session: SessionId, accepting: Option<Nonce>, now: Timestamp,
        audit: Vec<AuditEvent>
    ) -> bool;
    fn sessions_of(user: UserId, now: Timestamp) -> Vec<Session>;
    fn sweep(now: Timestamp, limit: usize) -> Swept;
    fn create_post(post: Post) -> ();
    fn post(id: PostId) -> Option<(Post, User)>;
    fn posts(after: Option<PostId>, limit: usize) -> Page<(Post, User), PostId>;
    fn update_post(
        id: PostId, actor: Option<Standing>, title: String, content: String, now: Timestamp
    ) -> Post;
    fn delete_post(id: PostId, actor: Option<Standing>) -> bool;
    fn audit(after: Option<EventId>, limit: usize) -> Vec<AuditEvent>;
    fn attempts(account: Account) -> Attempts;
    fn throttle_reserve(attempt: Attempt, now: Timestamp) -> Permit;
    fn throttle_settle(
        attempt: Attempt, outcome: Outcome, now: Timestamp, on_lock: Option<AuditEvent>
    ) -> bool;
    fn throttle_unlock(user: UserId, audit: Vec<AuditEvent>) -> ();
    fn throttle_key(fresh: [u8; 32]) -> [u8; 32];
    fn signing_keys() -> SigningKeys;
    fn replace_signing_keys(expected_version: u64, keys: Vec<StoredKey>, audit: Vec<AuditEvent>)
        -> u64;
    fn heartbeat(mark: Timestamp) -> ();
    fn clock_mark() -> Option<Timestamp>;
    fn export(audit: Vec<AuditEvent>) -> Box<dyn Export>;
    fn has_users() -> bool;
}
