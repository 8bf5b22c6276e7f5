//! The embedded engine on sled 0.34: one writer thread with group commit, reads straight from the caller.
//!
//! The only place that names sled. `open` takes the directory and recovers, `writer` decides and commits, one
//! file per subject holds its steps. A database that is made from another one is built `aside` and named last.

mod aside;
mod attempts;
mod check;
mod database;
mod directory;
mod ending;
mod export;
mod filed;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod import;
mod keys;
mod lease;
mod log;
mod loose;
mod message;
mod migrate;
mod open;
mod posts;
mod read;
mod recover;
mod rewrite;
mod room;
mod segments;
mod server;
mod sessions;
mod snapshot;
mod spent;
mod staged;
mod stopwatch;
#[cfg(test)]
mod stuck;
mod surplus;
mod sweep;
mod tail;
mod tally;
mod touches;
mod users;
mod writer;

use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

pub use self::check::{Checked, Disagreement};
pub use self::database::Durability;
pub use self::import::{ImportError, Load, import};
pub use self::open::{OpenError, SledSettings};
pub use self::rewrite::{Compacted, compact};

use self::database::Database;
use self::export::{Journals, SledExport};
use self::room::Room;
use self::staged::Staged;
use self::surplus::{KEPT, Kept};
use self::writer::{Command, QUEUE_MAX, Writer};
use super::dump::Export;
use super::{OpenSession, Page, Result, Rotate, SigningKeys, Store, StoreError, StoredKey, Swept};
use crate::auth::model::attempts::{Account, Attempt, Attempts, Outcome, Permit};
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::{EventId, Nonce, PostId, SessionId, UserId};
use crate::auth::model::post::Post;
use crate::auth::model::session::{Rotation, Session};
use crate::auth::model::user::{Expect, Standing, User, UserUpdate};
use crate::auth::model::username::Username;
use crate::clock::Timestamp;

/// How long a caller waits for a step before its outcome is unknown.
const DEADLINE: Duration = Duration::from_secs(10);

/// The store in a data directory of this machine.
pub struct SledStore {
    database: ArcSwapOption<Database>,
    queue: mpsc::Sender<Command>,
    /// Whether the store has failed; closed once everything is released.
    failed: watch::Receiver<bool>,
    failure: Weak<watch::Sender<bool>>,
    writer: Option<JoinHandle<()>>,
    /// How many audit events the sweeper leaves.
    kept: Kept,
    touches: touches::Touches,
    is_first_start: bool,
}

impl SledStore {
    /// Opens the store, recovers it if it was not closed, and starts its writer. Blocks.
    ///
    /// # Errors
    /// [`OpenError`], which leaves what the database holds.
    pub fn open(settings: &SledSettings) -> std::result::Result<Self, OpenError> {
        let (database, is_first_start) = open::open(settings)?;
        Self::start(settings, database, is_first_start)
    }

    /// Opens the store as [`SledStore::open`] does, but begins none where none was completed. Blocks.
    ///
    /// # Errors
    /// [`OpenError`], [`OpenError::Empty`] among them, which leave what the database holds.
    pub fn open_existing(settings: &SledSettings) -> std::result::Result<Self, OpenError> {
        Self::start(settings, open::open_existing(settings)?, false)
    }

    fn start(
        settings: &SledSettings,
        database: Database,
        is_first_start: bool,
    ) -> std::result::Result<Self, OpenError> {
        let database = Arc::new(database);
        let (failed, failure) = (database.watch(), database.failure());
        let (queue, commands) = mpsc::channel(QUEUE_MAX);
        let room = Room::new(settings.path.clone(), settings.min_free_bytes);
        let writer = Writer {
            database: Arc::clone(&database),
            queue: commands,
            room,
            journals: Journals::default(),
            unsynced_bytes: 0,
        };
        let writer = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| OpenError::io(&settings.path, error))?;
        let (database, writer) = (ArcSwapOption::new(Some(database)), Some(writer));
        let touches = touches::Touches::default();
        Ok(Self { database, queue, failed, failure, writer, kept: KEPT, touches, is_first_start })
    }

    /// Whether the data directory was new.
    #[must_use]
    pub const fn is_first_start(&self) -> bool {
        self.is_first_start
    }

    fn database(&self) -> Result<Arc<Database>> {
        let open = self.database.load_full().filter(|database| !database.has_failed());
        open.ok_or(StoreError::Unavailable)
    }

    fn enqueue(&self, command: Command) -> Result<()> {
        self.queue.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Unavailable,
        })
    }

    /// Has the writer do `step`, and waits until it is durable.
    async fn change<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Staged<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = writer::job(step);
        self.enqueue(Command::Run(job))?;
        writer::answer(answer, DEADLINE).await
    }

    /// Has the writer do `step`, and does not wait for the disk.
    async fn note<T: Send + 'static>(
        &self,
        step: impl FnOnce(&mut Staged<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (job, answer) = writer::job(step);
        self.enqueue(Command::Note(job))?;
        writer::answer(answer, DEADLINE).await
    }

    /// Reads what may take longer, off the async workers.
    async fn list<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let database = self.database()?;
        let outcome = tokio::task::spawn_blocking(move || read(&database)).await;
        outcome.unwrap_or(Err(StoreError::Unavailable))
    }
}

#[async_trait]
impl Store for SledStore {
    async fn create_user(
        &self,
        user: User,
        actor: Option<Standing>,
        audit: Vec<AuditEvent>,
    ) -> Result<()> {
        self.change(move |staged| users::create(staged, &user, actor.as_ref(), &audit)).await
    }

    async fn update_user(
        &self,
        id: UserId,
        update: UserUpdate,
        audit: Vec<AuditEvent>,
    ) -> Result<User> {
        self.change(move |staged| users::update(staged, id, update, &audit)).await
    }

    async fn delete_user(&self, id: UserId, expect: Expect, audit: Vec<AuditEvent>) -> Result<()> {
        self.change(move |staged| users::delete(staged, id, &expect, &audit)).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>> {
        read::user(&*self.database()?, id)
    }

    async fn user_by_name(&self, name: &Username) -> Result<Option<User>> {
        read::user_by_name(&*self.database()?, name)
    }

    async fn users(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<User, String>> {
        self.list(move |database| read::users(database, &prefix, after.as_deref(), limit)).await
    }

    async fn open_session(&self, open: OpenSession) -> Result<bool> {
        self.change(move |staged| sessions::open(staged, open)).await
    }

    async fn session_for(
        &self,
        user: UserId,
        session: SessionId,
        nonce: Nonce,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>> {
        let found = self.session(user, session, now).await?;
        Ok(found.filter(|(session, _)| session.accepts(nonce, now)))
    }

    async fn session(
        &self,
        user: UserId,
        session: SessionId,
        now: Timestamp,
    ) -> Result<Option<(Session, User)>> {
        read::session(&*self.database()?, user, session, now)
    }

    async fn rotate(&self, rotate: Rotate) -> Result<Rotation> {
        self.change(move |staged| sessions::rotate(staged, rotate)).await
    }

    async fn end_session(
        &self,
        user: UserId,
        session: SessionId,
        accepting: Option<Nonce>,
        now: Timestamp,
        audit: Vec<AuditEvent>,
    ) -> Result<bool> {
        self.change(move |staged| sessions::end(staged, (user, session), accepting, now, &audit))
            .await
    }

    async fn sessions_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Session>> {
        self.list(move |database| read::sessions_of(database, user, now)).await
    }

    fn touch_session(&self, user: UserId, session: SessionId, now: Timestamp) {
        // Only a date is late when it is lost: it must not take the place of a step that somebody waits for.
        if self.queue.capacity() >= QUEUE_MAX / 2 && self.touches.admit(now) {
            let (job, _) = writer::job(move |staged| sessions::touch(staged, user, session, now));
            drop(self.enqueue(Command::Note(job)));
        }
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Swept> {
        let surplus = self.surplus(now, limit.saturating_mul(sweep::EVENTS_A_RECORD)).await?;
        self.change(move |staged| sweep::sweep(staged, now, surplus, limit)).await
    }

    async fn create_post(&self, post: Post) -> Result<()> {
        self.change(move |staged| posts::create(staged, &post)).await
    }

    async fn post(&self, id: PostId) -> Result<Option<(Post, User)>> {
        read::post(&*self.database()?, id)
    }

    async fn posts(
        &self,
        after: Option<PostId>,
        limit: usize,
    ) -> Result<Page<(Post, User), PostId>> {
        self.list(move |database| read::posts(database, after, limit)).await
    }

    async fn update_post(
        &self,
        id: PostId,
        by: Option<Standing>,
        title: String,
        content: String,
        now: Timestamp,
    ) -> Result<Post> {
        let text = (title, content);
        self.change(move |staged| posts::update(staged, id, by.as_ref(), text, now)).await
    }

    async fn delete_post(&self, id: PostId, by: Option<Standing>) -> Result<bool> {
        self.change(move |staged| posts::delete(staged, id, by.as_ref())).await
    }

    async fn audit(&self, after: Option<EventId>, limit: usize) -> Result<Vec<AuditEvent>> {
        self.list(move |database| read::audit(database, after, limit)).await
    }

    async fn attempts(&self, account: Account) -> Result<Attempts> {
        attempts::read(&*self.database()?, account)
    }

    async fn throttle_reserve(&self, attempt: Attempt, now: Timestamp) -> Result<Permit> {
        self.note(move |staged| attempts::reserve(staged, &attempt, now)).await
    }

    async fn throttle_settle(
        &self,
        attempt: Attempt,
        outcome: Outcome,
        now: Timestamp,
        on_lock: Option<AuditEvent>,
    ) -> Result<bool> {
        self.note(move |staged| {
            attempts::settle(staged, &attempt, outcome, now, on_lock.as_slice())
        })
        .await
    }

    async fn throttle_unlock(&self, user: UserId, audit: Vec<AuditEvent>) -> Result<()> {
        self.change(move |staged| attempts::unlock(staged, user, &audit)).await
    }

    async fn throttle_key(&self, fresh: [u8; 32]) -> Result<[u8; 32]> {
        match read::name_key(&*self.database()?)? {
            Some(stored) => Ok(stored),
            None => self.change(move |staged| attempts::name_key(staged, fresh)).await,
        }
    }

    async fn signing_keys(&self) -> Result<SigningKeys> {
        read::signing_keys(&*self.database()?)
    }

    async fn replace_signing_keys(
        &self,
        expected_version: u64,
        keys: Vec<StoredKey>,
        audit: Vec<AuditEvent>,
    ) -> Result<u64> {
        self.change(move |staged| server::replace_keys(staged, expected_version, keys, &audit))
            .await
    }

    async fn heartbeat(&self, mark: Timestamp) -> Result<()> {
        self.database()?.fail_if_stuck(Instant::now());
        self.change(move |staged| server::heartbeat(staged, mark)).await
    }

    async fn clock_mark(&self) -> Result<Option<Timestamp>> {
        read::clock_mark(&*self.database()?)
    }

    async fn export(&self, audit: Vec<AuditEvent>) -> Result<Box<dyn Export>> {
        let journal = Arc::default();
        let followed = Arc::clone(&journal);
        self.change(move |staged| {
            staged.follow(&followed)?;
            staged.audit(&audit)
        })
        .await?;
        Ok(Box::new(SledExport::new(self.queue.downgrade(), journal)))
    }

    async fn has_users(&self) -> Result<bool> {
        Ok(!self.database()?.is_empty(keys::Table::User))
    }

    async fn failed(&self) {
        if self.failed.clone().wait_for(|failed| *failed).await.is_err() {
            // Closed in good order: it cannot fail any more.
            std::future::pending::<()>().await;
        }
    }

    async fn close(&self) {
        self.end().await;
    }
}
