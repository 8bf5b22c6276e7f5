//! The one writer: takes steps from a bounded queue, decides them in order, and commits them in groups.
//!
//! Knows no step. Because only this thread changes anything, a step needs no locks and no retries.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::database::{Database, Durability};
use super::export::Journals;
use super::room::Room;
use super::staged::Staged;
use crate::store::{Result, StoreError};

/// How many steps wait at most; one more is `Busy`.
pub(super) const QUEUE_MAX: usize = 4096;
/// How many steps are committed together at most.
const BATCH_MAX: usize = 256;
/// How many bytes are committed without a sync: the batch ends with the step that reaches them. From about 1 MiB
/// of log on, sled may reuse room whose old content a power failure would still need, and its log is a few times
/// what is written, since it rewrites nodes as a whole.
const UNSYNCED_BYTES_MAX: usize = 128 << 10;

/// How many steps the batch before must have had for a batch to wait for company: one client at a time never
/// does, and a few gain less by sharing a sync than they lose by waiting.
const COMPANY_MIN: usize = 8;
/// How long a batch waits for company at most: about what a sync takes. `PostgreSQL` advises half of that for its
/// `commit_delay`; here the whole of it takes the least CPU and has the shortest tail.
const COMPANY_WAIT: Duration = Duration::from_millis(1);

/// Decides a step and says how to answer it once it is committed, or that has failed.
pub(super) type Job = Box<dyn FnOnce(&mut Staged<'_>) -> Acknowledge + Send>;
/// Answers a step with what became of its batch.
pub(super) type Acknowledge = Box<dyn FnOnce(Result<()>) + Send>;

/// A job that does `step` and sends what came of it, once that is committed.
pub(super) fn job<T: Send + 'static>(
    step: impl FnOnce(&mut Staged<'_>) -> Result<T> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T>>) {
    let (reply, answer) = oneshot::channel();
    let job = Box::new(move |staged: &mut Staged<'_>| {
        let outcome = staged.run(step);
        // A caller that has gone away needs no answer.
        let acknowledge: Acknowledge =
            Box::new(move |committed| drop(reply.send(committed.and(outcome))));
        acknowledge
    });
    (job, answer)
}

/// What came of a job; unknown if that takes longer than `deadline`.
pub(super) async fn answer<T>(
    answer: oneshot::Receiver<Result<T>>,
    deadline: Duration,
) -> Result<T> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) | Err(_) => Err(StoreError::Unknown),
    }
}

/// What stands in the queue.
pub(super) enum Command {
    /// A step, answered once it is durable.
    Run(Job),
    /// A step that others see when it is answered, and that is durable with the next one that has to be.
    Note(Job),
    /// Take nothing more, do what is queued, and end.
    Close,
}

/// The writer's state.
pub(super) struct Writer {
    /// What it alone writes to.
    pub(super) database: Arc<Database>,
    /// The steps to do.
    pub(super) queue: mpsc::Receiver<Command>,
    /// Whether the store may grow.
    pub(super) room: Room,
    /// Who reads out what is being changed.
    pub(super) journals: Journals,
    /// How many bytes were applied since the last sync.
    pub(super) unsynced_bytes: usize,
}

impl Writer {
    /// Works until the queue is closed, which a failure does too.
    pub(super) fn run(mut self) {
        let database = Arc::clone(&self.database);
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.work()));
        if ended.is_err() {
            database.fail(&"the writer panicked");
        }
    }

    fn work(&mut self) {
        let mut before = 0;
        while let Some(command) = self.queue.blocking_recv() {
            if awaits_company(before, self.queue.len()) {
                std::thread::sleep(COMPANY_WAIT);
            }
            before = self.batch(command);
            if self.database.has_failed() {
                // What is queued already is still answered: with `Unavailable`, by the commit.
                self.queue.close();
            }
        }
        self.database.finish();
    }

    /// Commits what is queued, and says how many steps waited for the disk.
    fn batch(&mut self, first: Command) -> usize {
        let mut staged = Staged::new(&self.database, &mut self.room, &mut self.journals);
        let (mut decided, mut noted) = (Vec::new(), Vec::new());
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Run(job) => decided.push(job(&mut staged)),
                Command::Note(job) => noted.push(job(&mut staged)),
                Command::Close => self.queue.close(),
            }
            let is_full = decided.len() + noted.len() >= BATCH_MAX
                || self.unsynced_bytes + staged.bytes() >= UNSYNCED_BYTES_MAX;
            next = if is_full { None } else { self.queue.try_recv().ok() };
        }
        self.unsynced_bytes += staged.bytes();
        let writes = staged.into_writes();
        let waits = !decided.is_empty() && !writes.is_empty();
        let applied = self.database.apply(writes);
        for acknowledge in noted {
            acknowledge(applied.clone());
        }
        let outcome = applied.and_then(|()| self.settle(waits));
        let steps = decided.len();
        for acknowledge in decided {
            acknowledge(outcome.clone());
        }
        steps
    }

    /// Makes as durable as was asked for what somebody waits for, and syncs whatever has become much.
    fn settle(&mut self, waits: bool) -> Result<()> {
        let is_much = self.unsynced_bytes >= UNSYNCED_BYTES_MAX;
        if is_much || waits && self.database.durability() == Durability::Fsync {
            self.unsynced_bytes = 0;
            self.database.sync()
        } else if waits {
            self.database.flush()
        } else {
            Ok(())
        }
    }
}

/// Whether a batch of one step, with so many `queued` behind it, should wait: those whom the batch `before` has
/// just answered are about to come again, and each that shares a sync saves one.
const fn awaits_company(before: usize, queued: usize) -> bool {
    before >= COMPANY_MIN && 1 + queued < before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sled::keys::Table;
    use crate::store::sled::tally::{Noted, noted};
    use crate::store::sled::{SledSettings, SledStore, lease::Manifest};

    const RECORD_BYTES: usize = 20 << 10;
    /// How many of these records make a batch.
    const FULL: usize = UNSYNCED_BYTES_MAX.div_ceil(RECORD_BYTES + 1);

    fn store() -> (tempfile::TempDir, SledStore) {
        let directory = tempfile::tempdir().unwrap();
        let (path, durability) = (directory.path().to_owned(), Durability::Fsync);
        let settings = SledSettings { path, cache_bytes: 1 << 20, durability, min_free_bytes: 0 };
        let store = SledStore::open(&settings).unwrap();
        (directory, store)
    }

    fn record(staged: &mut Staged<'_>, number: u8) -> Result<()> {
        staged.put(Table::Post, vec![number], &vec![1_u8; RECORD_BYTES - 10])
    }

    #[tokio::test]
    async fn a_batch_ends_with_the_step_that_fills_it() {
        let (_directory, store) = store();
        let (go, is_free) = std::sync::mpsc::channel::<()>();
        let decided = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (first, mut batches) = mpsc::unbounded_channel();
        let first_job = Box::new(move |_: &mut Staged<'_>| -> Acknowledge {
            is_free.recv().unwrap();
            Box::new(drop)
        });
        store.enqueue(Command::Run(first_job)).unwrap();
        for number in 0..20 {
            let (decided, first) = (Arc::clone(&decided), first.clone());
            let job = Box::new(move |staged: &mut Staged<'_>| -> Acknowledge {
                record(staged, number).unwrap();
                decided.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                Box::new(move |_| {
                    let decided = decided.load(std::sync::atomic::Ordering::SeqCst);
                    first.send(decided).unwrap();
                })
            });
            store.enqueue(Command::Run(job)).unwrap();
        }
        drop(first);
        go.send(()).unwrap();
        let mut ends = Vec::new();
        while let Some(decided) = batches.recv().await {
            ends.push(decided);
        }
        ends.dedup();
        assert_eq!(ends, [FULL, 2 * FULL, 20]);
    }

    #[tokio::test]
    async fn a_removal_weighs_as_what_it_has_rewritten() {
        let (_directory, store) = store();
        let bytes = |staged: &mut Staged<'_>| {
            staged.remove(Table::Post, vec![1]);
            Ok(staged.bytes())
        };
        assert!(store.change(bytes).await.unwrap() > 4096);
    }

    #[tokio::test]
    async fn what_waits_for_no_sync_is_synced_once_it_is_much() {
        let (directory, store) = store();
        let promised = || {
            let manifest = Manifest::read(directory.path()).unwrap().unwrap();
            let Noted::Commits(commits) =
                noted(&manifest.directory.path(directory.path()), &manifest).unwrap()
            else {
                panic!("no commits are noted")
            };
            commits
        };
        let before = promised();
        for number in 0..u8::try_from(FULL).unwrap() {
            assert_eq!(promised(), before, "after {number} notes");
            store.note(move |staged| record(staged, number)).await.unwrap();
        }
        // A step that changes nothing is answered after the batch before it has been synced.
        store.change(|_| Ok(())).await.unwrap();
        assert_eq!(promised(), before + FULL as u64);
    }

    #[test]
    fn a_lone_client_never_waits_for_company() {
        assert!((0..COMPANY_MIN).all(|before| !awaits_company(before, 0)));
    }

    #[test]
    fn one_of_many_waits_until_as_many_are_back() {
        assert!(awaits_company(COMPANY_MIN, 0));
        assert!(awaits_company(64, 62));
        assert!(!awaits_company(64, 63));
    }
}
