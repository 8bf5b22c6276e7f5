//! The store's contract: whole steps, each atomic, acknowledged only once they are on disk.
//!
//! Knows the domain's records ([`crate::auth::model`]) and no engine: an engine lives in a module of its
//! own and passes `tests/store`. Ids, times and random values come from the caller, so that a step
//! repeated after a lost answer is recognised and answered the same. A step that fails has changed
//! nothing, except for [`StoreError::Unknown`]. A list leaves out, and logs, a record that cannot be read.

pub mod codec;
pub mod dump;
pub mod sled;

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::auth::model::attempts::{Account, Attempt, Attempts, Outcome, Permit};
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::{EventId, Nonce, PostId, SessionId, UserId};
use crate::auth::model::post::Post;
use crate::auth::model::session::{Generation, Rotation, Session};
use crate::auth::model::user::{Expect, Standing, User, UserUpdate};
use crate::auth::model::username::Username;
use crate::clock::Timestamp;
use crate::store::dump::Export;

/// Why a step was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// What the caller decided by has changed, or the name is taken. Nothing was applied.
    #[error("conflict with the stored state")]
    Conflict,
    /// The thing to change does not exist. Nothing was applied.
    #[error("no such record")]
    NotFound,
    /// The step would leave no enabled administrator. Nothing was applied.
    #[error("the last administrator cannot be lost")]
    LastAdmin,
    /// The queue is full. Nothing was applied.
    #[error("the store is busy")]
    Busy,
    /// The disk has too little room for a step that grows the store. Nothing was applied.
    #[error("the store's disk is nearly full")]
    DiskFull,
    /// The store has failed or is closed. Nothing was applied.
    #[error("the store is unavailable")]
    Unavailable,
    /// The answer was lost; the step may have been applied. It may be repeated with the same ids.
    #[error("the store did not answer in time")]
    Unknown,
    /// More has changed than a reading out can follow. It is at an end.
    #[error(
        "more has changed meanwhile than an export can follow; repeat it when there is less to do"
    )]
    Outrun,
    /// A record cannot be read.
    #[error("a record of table {table} cannot be read (key {key})")]
    Corrupt {
        /// The table it stands in.
        table: &'static str,
        /// Its key in hex.
        key: String,
    },
}

/// What every step returns.
pub type Result<T> = std::result::Result<T, StoreError>;

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// Where the next page starts, if there is one: pass it as `after`.
    pub next: Option<C>,
}

/// What one step of sweeping did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many records it has dealt with, removed or not.
    pub records: usize,
    /// Whether another step would find nothing.
    pub is_done: bool,
}

/// A login, as one step.
#[derive(Clone, Debug)]
pub struct OpenSession {
    /// The session, whose `epoch` is the one of the user that was verified.
    pub session: Session,
    /// How many sessions of one user live at a time.
    pub max_per_user: usize,
    /// The time the request is judged at.
    pub now: Timestamp,
    /// Written with the session.
    pub opened: AuditEvent,
    /// Written if another session gives way, as its `session`. One event, which names the least recently
    /// used, even if a lowered limit makes several give way.
    pub on_eviction: AuditEvent,
}

/// A refresh, as one step.
#[derive(Clone, Debug)]
pub struct Rotate {
    /// Whose session.
    pub user: UserId,
    /// Which session.
    pub session: SessionId,
    /// The nonce of the refresh token that was presented.
    pub presented: Nonce,
    /// The pair to go on with if it is the current one.
    pub next: Generation,
    /// How long the replaced pair is borne with.
    pub grace: Duration,
    /// The time the request is judged at.
    pub now: Timestamp,
    /// Written if the presented token turns out to be used up.
    pub on_reuse: AuditEvent,
}

/// A signing key as it is stored. Its `Debug` prints no key.
#[derive(Clone, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    /// RFC 7638 thumbprint, or what stands for it with a symmetric key.
    pub kid: String,
    /// The JOSE algorithm name, `EdDSA`; `refresh` keys are `HS256`.
    pub algorithm: String,
    /// What it signs.
    pub purpose: KeyPurpose,
    /// PKCS #8 DER, or the bytes of a symmetric key.
    pub secret: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// A retired key verifies until then and signs no more.
    pub verifies_until: Option<Timestamp>,
}

/// In a time that does not tell where two secrets differ.
impl PartialEq for StoredKey {
    fn eq(&self, other: &Self) -> bool {
        let public = |key: &Self| (key.purpose, key.created_at, key.verifies_until);
        let names = self.kid == other.kid && self.algorithm == other.algorithm;
        names && public(self) == public(other) && self.secret.ct_eq(&other.secret).into()
    }
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "StoredKey({})", self.kid)
    }
}

/// What a stored key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyPurpose {
    /// Access tokens.
    Access,
    /// Refresh tokens.
    Refresh,
}

impl KeyPurpose {
    /// The name an operator reads.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Refresh => "refresh",
        }
    }
}

/// The stored keys and the version by which a change of them is recognised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SigningKeys {
    /// Raised by every change; 0 before the first.
    pub version: u64,
    /// All keys, newest first.
    pub keys: Vec<StoredKey>,
}

/// What every engine implements. Each method is one atomic step with a deadline.
#[async_trait]
pub trait Store: Send + Sync {
    /// Inserts `user`, for `actor` if there is one. The same id and name again is `Ok`.
    ///
    /// # Errors
    /// `Conflict` when the name is another user's or `actor` stands otherwise by now.
    async fn create_user(
        &self,
        user: User,
        actor: Option<Standing>,
        audit: Vec<AuditEvent>,
    ) -> Result<()>;

    /// Changes a user; all but [`SessionsAfter::Keep`](crate::auth::model::user::SessionsAfter) raise its
    /// epoch in the same write, and `EndAllBut` carries that one session over. A new password that ends all of them
    /// lifts the lock of the old one, and every wait. Returns the user as changed.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when something else than `expect` is stored or the session of `EndAllBut` does
    /// not live; `LastAdmin`.
    async fn update_user(
        &self,
        id: UserId,
        update: UserUpdate,
        audit: Vec<AuditEvent>,
    ) -> Result<User>;

    /// Deletes the user and frees its name at once; its sessions and posts are dead meanwhile and swept later.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when something else than `expect` is stored; `LastAdmin`.
    async fn delete_user(&self, id: UserId, expect: Expect, audit: Vec<AuditEvent>) -> Result<()>;

    /// The user with this id.
    async fn user(&self, id: UserId) -> Result<Option<User>>;

    /// The user with this canonical name.
    async fn user_by_name(&self, name: &Username) -> Result<Option<User>>;

    /// At most `limit` users whose name starts with `prefix`, by name, after the name `after`.
    async fn users(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<User, String>>;

    /// Opens a session. The least recently used ones of that user beyond `max_per_user` end in the same step,
    /// and up to 64 dead ones go in passing. Whether any gave way; the same session again makes none.
    ///
    /// # Errors
    /// `Conflict` when the user is gone, disabled or of another epoch by now.
    async fn open_session(&self, open: OpenSession) -> Result<bool>;

    /// The session and its user together if a token with `nonce` lives at `now`; nothing when it has expired
    /// or ended, is of an older epoch or of a disabled user, or when the nonce is neither of its current nor
    /// of its just replaced pair.
    async fn session_for(
        &self,
        user: UserId,
        session: SessionId,
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>>;

    /// The session and its user if the session lives at `now`, whatever its pairs are.
    async fn session(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>>;

    /// Presents a refresh token; `Reused` ends the session in the same step.
    ///
    /// # Errors
    /// `NotFound` when the session has expired or ended, or its user is gone, disabled or of another epoch.
    async fn rotate(&self, rotate: Rotate) -> Result<Rotation>;

    /// Ends a session, with `accepting` only if a token with that nonce lives at `now`; whether the session
    /// lived and was ended. `audit` is written only if so.
    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        accepting: Option<Nonce>,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<bool>;

    /// The sessions of `user` that live at `now`, oldest first.
    async fn sessions_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>>;

    /// Notes that the session was used at `now`; not waited for, and lost when the store has much
    /// to do or many were noted just before.
    fn touch_session(&self, user: UserId, session: SessionId, now: Timestamp);

    /// Removes what is dead at `now`: expired sessions, what deleted users left, audit events past their
    /// retention, and the oldest of them beyond a million, which are counted over several calls. At most `limit`
    /// records in one step, or several audit events in the place of each. Safe from several instances at once.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Swept>;

    /// Inserts a post; the same id again is `Ok`.
    ///
    /// # Errors
    /// `NotFound` when its author is gone.
    async fn create_post(&self, post: Post) -> Result<()>;

    /// The post and its author, unless either is gone.
    async fn post(&self, id: PostId) -> Result<Option<(Post, User)>>;

    /// At most `limit` posts whose authors exist, newest first, older than `after`.
    async fn posts(
        &self,
        after: Option<PostId>,
        limit: usize,
    ) -> Result<Page<(Post, User), PostId>>;

    /// Replaces the text of a post.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when `actor` stands otherwise by now.
    async fn update_post(
        &self,
        id: PostId,
        actor: Option<Standing>,
        title: String,
        content: String,
        now: Timestamp,
    ) -> Result<Post>;

    /// Removes a post; whether it was there.
    ///
    /// # Errors
    /// `Conflict` when `actor` stands otherwise by now.
    async fn delete_post(&self, id: PostId, actor: Option<Standing>) -> Result<bool>;

    /// At most `limit` audit events after `after`, oldest first.
    async fn audit(&self, after: Option<EventId>, limit: usize) -> Result<Vec<AuditEvent>>;

    /// What is remembered of the attempts at `account`.
    async fn attempts(&self, account: Account) -> Result<Attempts>;

    /// Takes a place for an attempt at a password. This and [`Store::throttle_settle`] are the only steps that
    /// are acknowledged before they are on disk: a crash loses the last second of them at most.
    ///
    /// One that is repeated after a lost answer takes another place, which in the end counts as failed.
    async fn throttle_reserve(&self, attempt: Attempt, now: Timestamp) -> Result<Permit>;

    /// Notes what became of an attempt that had its place. `on_lock` is written if that locks the account;
    /// whether it does.
    async fn throttle_settle(
        &self,
        attempt: Attempt,
        outcome: Outcome,
        now: Timestamp,
        on_lock: Option<AuditEvent>,
    ) -> Result<bool>;

    /// Lifts the lock of `user`, and every wait.
    ///
    /// # Errors
    /// `NotFound`.
    async fn throttle_unlock(&self, user: UserId, audit: Vec<AuditEvent>) -> Result<()>;

    /// The key by which names that nobody has are told apart: `fresh` if there was none.
    async fn throttle_key(&self, fresh: [u8; 32]) -> Result<[u8; 32]>;

    /// The signing keys.
    async fn signing_keys(&self) -> Result<SigningKeys>;

    /// Replaces the signing keys and returns the new version.
    ///
    /// # Errors
    /// `Conflict` when the stored version is not `expected_version`.
    async fn replace_signing_keys(
        &self,
        expected_version: u64,
        keys: Vec<StoredKey>,
        audit: Vec<AuditEvent>,
    ) -> Result<u64>;

    /// Writes and syncs the clock's high-water mark: the proof that the store still works.
    async fn heartbeat(&self, mark: Timestamp) -> Result<()>;

    /// The mark of the last heartbeat, if there was one.
    async fn clock_mark(&self) -> Result<Option<Timestamp>>;

    /// Begins to read out all users, posts and audit events while others go on; `audit`, which is written at
    /// once, is among them. Dropping what is returned ends it.
    ///
    /// # Errors
    /// `Busy` when others are at it.
    async fn export(&self, audit: Vec<AuditEvent>) -> Result<Box<dyn Export>>;

    /// Whether there is any user.
    async fn has_users(&self) -> Result<bool>;

    /// Waits until the store has failed for good; every step is `Unavailable` from then on.
    async fn failed(&self);

    /// Does what is queued, makes it durable, and closes. Every later step is `Unavailable`. A store that takes
    /// too long has failed, and is left as it is.
    async fn close(&self);
}
