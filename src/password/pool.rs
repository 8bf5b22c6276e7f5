//! The hashing pool: a fixed number of threads, a bounded queue before them, and a limit to the wait.
//!
//! Hashing is what a stranger can make this server pay for, so everything about it has a limit: memory by the
//! number of threads, waiting places by the queue, patience by a deadline.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argon2::Params;
use tokio::sync::oneshot;

use super::argon::{self, Memory, SALT_BYTES};
use super::foreign::StoredHash;
use super::settings::{HashSettings, SettingsError};
use super::{HashError, Password, TYPED_BYTES_MAX, Verdict};
use crate::auth::model::user::PasswordHash;
use crate::random::{self, Random};

/// How long a worker without work keeps its memory: longer than the pauses of steady traffic, so that only a
/// server that nobody logs in to gives it back.
const MEMORY_KEPT: Duration = Duration::from_secs(10);

/// Hashes and verifies passwords. Clones share one pool, which ends with the last of them.
#[derive(Clone)]
pub struct Hasher(Arc<Pool>);

/// Why the pool did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are not accepted.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A thread could not be started.
    #[error("a password worker could not be started")]
    Thread(#[source] std::io::Error),
}

impl Hasher {
    /// Starts the pool. Nothing is hashed and no working memory taken before the first password.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(settings: &HashSettings, random: Arc<dyn Random>) -> Result<Self, StartError> {
        settings.check()?;
        let pool = Self::without_workers(settings, random)?;
        for index in 0..settings.workers {
            let shared = Arc::clone(&pool.0.shared);
            std::thread::Builder::new()
                .name(format!("password-{index}"))
                .spawn(move || shared.work())
                .map_err(StartError::Thread)?;
        }
        Ok(pool)
    }

    fn without_workers(
        settings: &HashSettings,
        random: Arc<dyn Random>,
    ) -> Result<Self, SettingsError> {
        let shared = Shared {
            params: settings.params()?,
            places: settings.queue,
            patience: settings.queue_timeout,
            random,
            queue: Mutex::default(),
            ready: Condvar::new(),
            hashed: AtomicU64::new(0),
        };
        Ok(Self(Arc::new(Pool { shared: Arc::new(shared) })))
    }

    /// The current hash of a new password.
    ///
    /// # Errors
    /// `NotAPassword` for a text that none can be; `Busy`; `Unavailable`.
    pub async fn hash(
        &self,
        password: impl Into<Arc<Password>> + Send,
    ) -> Result<PasswordHash, HashError> {
        let normal = password.into().normalised()?;
        self.run(move |shared, memory| {
            let text = argon::hash(&shared.params, &normal, shared.salt()?, memory)?;
            Ok(PasswordHash::new(text))
        })
        .await
    }

    /// Whether `password` is the one of `stored`. Without a stored hash, or with one that may not be computed,
    /// the same work is done for nothing.
    ///
    /// # Errors
    /// `Busy`; `Unavailable`.
    pub async fn verify(
        &self,
        password: impl Into<Arc<Password>> + Send,
        stored: Option<PasswordHash>,
    ) -> Result<Verdict, HashError> {
        let password = password.into();
        // Said of the text alone, whoever's it is: no work is due.
        if password.typed().len() > TYPED_BYTES_MAX {
            return Ok(Verdict::Wrong);
        }
        self.run(move |shared, memory| shared.verify(&password, stored.as_ref(), memory)).await
    }

    /// How many Argon2 hashes were computed so far.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        self.0.shared.hashed.load(Ordering::Relaxed)
    }

    /// Queues `work` and waits for it. Once begun it is waited for; before, only so long.
    async fn run<T, F>(&self, work: F) -> Result<T, HashError>
    where
        T: Send + 'static,
        F: FnOnce(&Shared, &mut Memory) -> Result<T, HashError> + Send + 'static,
    {
        let shared = &self.0.shared;
        let (reply, mut answer) = oneshot::channel();
        let ticket = shared.enqueue(Box::new(Task { work, reply }))?;
        let answer = match tokio::time::timeout(shared.patience, &mut answer).await {
            Ok(answer) => answer,
            Err(_) if shared.withdraw(ticket) => return Err(HashError::Busy),
            Err(_) => answer.await,
        };
        answer.map_err(|_| HashError::Unavailable)?
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Hasher")
    }
}

/// What the clones of a [`Hasher`] hold; the threads hold [`Shared`] alone and go when this is gone.
struct Pool {
    shared: Arc<Shared>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.ready.notify_all();
    }
}

struct Shared {
    params: Params,
    places: usize,
    patience: Duration,
    random: Arc<dyn Random>,
    queue: Mutex<Queue>,
    ready: Condvar,
    hashed: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(u64, Box<dyn Job>)>,
    next_ticket: u64,
    closed: bool,
}

/// Something to do for a client that may have gone away.
trait Job: Send {
    fn is_abandoned(&self) -> bool;
    fn run(self: Box<Self>, shared: &Shared, memory: &mut Memory);
}

struct Task<T, F> {
    work: F,
    reply: oneshot::Sender<Result<T, HashError>>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Shared, &mut Memory) -> Result<T, HashError> + Send,
{
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn run(self: Box<Self>, shared: &Shared, memory: &mut Memory) {
        let done = (self.work)(shared, memory);
        shared.hashed.fetch_add(memory.take_computed(), Ordering::Relaxed);
        // A client that left meanwhile needs no answer.
        self.reply.send(done).ok();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is never left half changed: what panics runs outside the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a waiting place; those of clients that went away are free.
    fn enqueue(&self, job: Box<dyn Job>) -> Result<u64, HashError> {
        let mut queue = self.lock();
        if queue.waiting.len() >= self.places {
            queue.waiting.retain(|(_, job)| !job.is_abandoned());
        }
        if queue.waiting.len() >= self.places {
            return Err(HashError::Busy);
        }
        let ticket = queue.next_ticket;
        queue.next_ticket += 1;
        queue.waiting.push_back((ticket, job));
        drop(queue);
        self.ready.notify_one();
        Ok(ticket)
    }

    /// Gives the place up; whether the work had not begun.
    fn withdraw(&self, ticket: u64) -> bool {
        let mut queue = self.lock();
        let before = queue.waiting.len();
        queue.waiting.retain(|(other, _)| *other != ticket);
        queue.waiting.len() < before
    }

    /// A worker's life. A panic in a library costs that one password and its memory, not the thread.
    fn work(&self) {
        let mut memory = Memory::for_params(&self.params);
        while let Some(job) = self.next_job(&mut memory) {
            if catch_unwind(AssertUnwindSafe(|| job.run(self, &mut memory))).is_err() {
                memory = Memory::for_params(&self.params);
            }
        }
    }

    /// The next job somebody still waits for; `None` when the pool ends. While there is none, `memory` is kept
    /// for a while only.
    fn next_job(&self, memory: &mut Memory) -> Option<Box<dyn Job>> {
        let mut queue = self.lock();
        loop {
            if queue.closed {
                return None;
            }
            match queue.waiting.pop_front() {
                Some((_, job)) if job.is_abandoned() => {}
                Some((_, job)) => return Some(job),
                None if memory.is_held() => {
                    let waited = self.ready.wait_timeout(queue, MEMORY_KEPT);
                    let (locked, waited) = waited.unwrap_or_else(PoisonError::into_inner);
                    queue = locked;
                    if waited.timed_out() && queue.waiting.is_empty() {
                        drop(queue);
                        memory.give_back();
                        queue = self.lock();
                    }
                }
                None => {
                    queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn verify(
        &self,
        password: &Password,
        stored: Option<&PasswordHash>,
        memory: &mut Memory,
    ) -> Result<Verdict, HashError> {
        if let Some(stored) = stored {
            if let Some(hash) = StoredHash::parse(stored.expose(), &self.params) {
                return hash.verify(password, &self.params, memory);
            }
            tracing::warn!("a stored password hash is of no kind and size that may be verified");
        }
        let unmatched = argon::Hash::unmatched(self.params.clone(), self.salt()?);
        // Nothing matches an empty tag; the same path is walked for the sake of the work.
        StoredHash::Argon2id(unmatched).verify(password, &self.params, memory)
    }

    fn salt(&self) -> Result<[u8; SALT_BYTES], HashError> {
        random::bytes(self.random.as_ref()).map_err(|_| HashError::Unavailable)
    }
}

#[cfg(test)]
mod tests;
