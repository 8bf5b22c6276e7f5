//! The opened database: point reads, range reads, and the one commit. Every error of sled passes through
//! here and makes the store fail for good; nothing here decides what is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ::sled::transaction::{TransactionError, Transactional};
use ::sled::{Batch, Db, IVec, Tree};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::keys::{Range, Table};
use super::lease::Lease;
use super::stopwatch::Stopwatch;
use super::tally::Tally;
use crate::store::{Result, StoreError, codec};

/// The value to stand at a key, or its removal.
pub(super) type Write = Option<Vec<u8>>;

/// Writes by table and key.
pub(super) type Writes = BTreeMap<Table, BTreeMap<Vec<u8>, Write>>;

/// One key and its value, as read.
pub(super) type Entry = (Vec<u8>, Vec<u8>);

/// How long a commit may take: one that takes longer never ends, since sled notifies nobody of some I/O errors.
const COMMIT_MAX: Duration = Duration::from_secs(30);

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The data is on the disk: it survives a power failure.
    Fsync,
    /// The data is in the kernel: it survives the process only.
    Flush,
}

/// All of sled that the engine holds. The order of the fields is the order in which they are let go.
pub(super) struct Database {
    trees: Trees,
    tally: Tally,
    db: Db,
    file: File,
    durability: Durability,
    lease: Lease,
    commit: Stopwatch,
    /// Whether the store has failed. Last: its receivers see it close once all else is released.
    failed: Arc<watch::Sender<bool>>,
}

impl Database {
    /// Opens the trees of `db`, whose file is `file` and whose commits `tally` counts.
    pub(super) fn new(
        db: Db,
        file: File,
        tally: Tally,
        durability: Durability,
        lease: Lease,
    ) -> ::sled::Result<Self> {
        let trees = Trees::open(&db)?;
        let failed = Arc::new(watch::Sender::new(false));
        Ok(Self { trees, tally, db, file, durability, lease, commit: Stopwatch::default(), failed })
    }

    /// Sees whether the store fails, and its end.
    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.failed.subscribe()
    }

    /// Makes the store fail even while it is being released, and holds nothing of it.
    pub(super) fn failure(&self) -> Weak<watch::Sender<bool>> {
        Arc::downgrade(&self.failed)
    }

    /// Makes the store fail if the commit that runs at `now` will not end any more.
    pub(super) fn fail_if_stuck(&self, now: Instant) {
        if self.commit.has_run_longer(COMMIT_MAX, now) {
            self.fail(&"the writer is stuck");
        }
    }

    /// Whether the store has failed for good.
    pub(super) fn has_failed(&self) -> bool {
        *self.failed.borrow()
    }

    /// Makes the store fail for good: after an I/O error sled does nothing more until it is reopened.
    pub(super) fn fail(&self, reason: &dyn std::fmt::Display) -> StoreError {
        if !self.failed.send_replace(true) {
            tracing::error!(%reason, "the store has failed");
        }
        StoreError::Unavailable
    }

    /// The value at `key`.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<IVec>> {
        self.trees.of(table).get(key).map_err(|error| self.fail(&error))
    }

    /// The record at `key`.
    pub(super) fn record<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>> {
        self.get(table, key)?.map(|bytes| codec::decode(table.name(), key, &bytes)).transpose()
    }

    /// What stands in `range`, in order, and in reverse from the back.
    pub(super) fn scan(
        &self,
        table: Table,
        range: &Range,
    ) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec)>> + '_ {
        let bounds = (!range.is_empty()).then(|| range.bounds());
        let found = bounds.map(|bounds| self.trees.of(table).range(bounds));
        found.into_iter().flatten().map(|entry| entry.map_err(|error| self.fail(&error)))
    }

    /// Whether the table holds nothing.
    pub(super) fn is_empty(&self, table: Table) -> bool {
        self.trees.of(table).is_empty()
    }

    /// Applies `writes` as one atomic step. They survive the process once sled's own thread has written them
    /// out, which it does all the time, and a power failure from the next [`Database::sync`] on.
    ///
    /// # Errors
    /// `Unavailable` when the store had failed before, and `Unknown` when it fails here.
    pub(super) fn apply(&self, writes: Writes) -> Result<()> {
        if self.has_failed() {
            return Err(StoreError::Unavailable);
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.timed(|| self.transact(writes))
    }

    /// What an acknowledgement waits for.
    pub(super) const fn durability(&self) -> Durability {
        self.durability
    }

    /// Hands to the kernel what was applied so far. Nothing is noted of it, so that nothing is missed after a power
    /// failure.
    ///
    /// # Errors
    /// `Unknown` when the store fails here.
    pub(super) fn flush(&self) -> Result<()> {
        self.timed(|| self.db.flush().map(drop))
    }

    /// Puts on disk what was applied so far; sled's own flush does not, on Linux.
    ///
    /// # Errors
    /// `Unknown` when the store fails here.
    pub(super) fn sync(&self) -> Result<()> {
        self.timed(|| {
            self.db.flush()?;
            self.file.sync_data()?;
            Ok(self.tally.note()?)
        })
    }

    /// Does what may hang, so that others see how long it takes.
    fn timed(&self, work: impl FnOnce() -> ::sled::Result<()>) -> Result<()> {
        self.commit.begin(Instant::now());
        let done = work();
        self.commit.end();
        done.map_err(|error| {
            self.fail(&error);
            StoreError::Unknown
        })
    }

    /// Makes everything durable at an orderly end, after which nothing is written any more.
    pub(super) fn finish(&self) {
        if !self.has_failed() && self.sync().is_ok() {
            self.lease.mark_clean();
        }
    }

    fn transact(&self, writes: Writes) -> ::sled::Result<()> {
        let mut trees = Vec::with_capacity(writes.len());
        let mut batches = Vec::with_capacity(writes.len());
        for (table, changes) in writes {
            let mut batch = Batch::default();
            for (key, value) in changes {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
            trees.push(self.trees.of(table));
            batches.push(batch);
        }
        let (tree, batch) = self.tally.next();
        trees.push(tree);
        batches.push(batch);
        let done = trees.as_slice().transaction(|views| {
            views.iter().zip(&batches).try_for_each(|(view, batch)| view.apply_batch(batch))?;
            Ok(())
        });
        done.map_err(|error: TransactionError<()>| match error {
            TransactionError::Storage(error) => error,
            TransactionError::Abort(()) => ::sled::Error::ReportableBug("aborted".to_owned()),
        })
    }
}

/// A tree for each table.
pub(super) struct Trees {
    user: Tree,
    name: Tree,
    session: Tree,
    expiry: Tree,
    post: Tree,
    author: Tree,
    audit: Tree,
    meta: Tree,
    admin: Tree,
    attempts: Tree,
    deleted: Tree,
}

impl Trees {
    /// Opens each, and makes those that are not there.
    pub(super) fn open(db: &Db) -> ::sled::Result<Self> {
        let open = |table: Table| db.open_tree(table.name());
        Ok(Self {
            user: open(Table::User)?,
            name: open(Table::Name)?,
            session: open(Table::Session)?,
            expiry: open(Table::Expiry)?,
            post: open(Table::Post)?,
            author: open(Table::Author)?,
            audit: open(Table::Audit)?,
            meta: open(Table::Meta)?,
            admin: open(Table::Admin)?,
            attempts: open(Table::Attempts)?,
            deleted: open(Table::Deleted)?,
        })
    }

    /// The tree of a table.
    pub(super) const fn of(&self, table: Table) -> &Tree {
        match table {
            Table::User => &self.user,
            Table::Name => &self.name,
            Table::Session => &self.session,
            Table::Expiry => &self.expiry,
            Table::Post => &self.post,
            Table::Author => &self.author,
            Table::Audit => &self.audit,
            Table::Meta => &self.meta,
            Table::Admin => &self.admin,
            Table::Attempts => &self.attempts,
            Table::Deleted => &self.deleted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::Store;
    use crate::store::sled::{SledSettings, SledStore};

    #[tokio::test]
    async fn a_commit_that_does_not_end_makes_the_store_fail_at_the_next_heartbeat() {
        for (since, expected) in [
            (COMMIT_MAX / 2, Ok(())),
            (COMMIT_MAX + Duration::from_secs(1), Err(StoreError::Unavailable)),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let (path, durability) = (directory.path().to_owned(), Durability::Flush);
            let settings =
                SledSettings { path, cache_bytes: 1 << 20, durability, min_free_bytes: 0 };
            let store = SledStore::open(&settings).unwrap();
            store.database().unwrap().commit.begin(Instant::now().checked_sub(since).unwrap());
            assert_eq!(store.heartbeat(Timestamp::default()).await, expected, "{since:?}");
        }
    }
}
