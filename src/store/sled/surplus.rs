//! How many audit events there are beyond those that are kept: counted from the first on when the sweeper first
//! comes, a piece at a time and off the writer's thread, and then as they come.
//!
//! Counts what is stored, and knows nothing of what it says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SledStore;
use super::database::Database;
use super::keys::{self, Range, Table};
use crate::clock::Timestamp;
use crate::store::{Result, StoreError};

/// How many events are kept; some 200 MB with what the engine needs for them.
const KEPT_MAX: usize = 1_000_000;
/// How many are counted at a time, in a few milliseconds.
const PIECE: usize = 4096;
/// How old an event is before it is counted: none that is older is still on its way into the table.
const SETTLED_MS: u64 = 60 * 1000;

/// The count so far.
pub(super) struct Counted(Mutex<SoFar>);

struct SoFar {
    most: usize,
    /// All keys up to this one are counted.
    up_to: Vec<u8>,
    count: usize,
}

impl Counted {
    /// Nothing is counted yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(SoFar { most: KEPT_MAX, up_to: Vec::new(), count: 0 }))
    }

    /// Counts on; returns how many of the oldest are too many, once all are counted. Blocks.
    fn count(&self, database: &Database, now: Timestamp) -> Result<Option<usize>> {
        let mut so_far = self.lock();
        let settled = Timestamp::from_millis(now.millis().saturating_sub(SETTLED_MS));
        let range = Range::all().after(&so_far.up_to).before(keys::ids_from(settled));
        let before = so_far.count;
        if !range.is_empty() {
            for entry in database.scan(Table::Audit, &range).take(PIECE) {
                let (key, _) = entry?;
                so_far.up_to = key.to_vec();
                so_far.count += 1;
            }
        }
        let is_all = so_far.count - before < PIECE;
        Ok(is_all.then(|| so_far.count.saturating_sub(so_far.most)))
    }

    /// These were removed; where that is not known, all are counted anew.
    pub(super) fn forget(&self, removed: std::result::Result<&[Vec<u8>], &StoreError>) {
        let mut so_far = self.lock();
        let Ok(removed) = removed else {
            (so_far.up_to, so_far.count) = (Vec::new(), 0);
            return;
        };
        let counted = removed.iter().filter(|key| **key <= so_far.up_to).count();
        so_far.count = so_far.count.saturating_sub(counted);
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SledStore {
    /// Counts all events that are settled at `now`; returns how many of the oldest are too many.
    pub(super) async fn surplus(&self, now: Timestamp) -> Result<usize> {
        loop {
            let counted = Arc::clone(&self.counted);
            if let Some(surplus) = self.list(move |database| counted.count(database, now)).await? {
                return Ok(surplus);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::model::audit::{Actor, AuditEvent, Event};
    use crate::random::SeededRandom;
    use crate::store::Store;
    use crate::store::sled::{Durability, SledSettings};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn store(directory: &tempfile::TempDir) -> SledStore {
        let (path, durability) = (directory.path().to_owned(), Durability::Flush);
        let settings = SledSettings { path, cache_bytes: 1 << 20, durability, min_free_bytes: 0 };
        let store = SledStore::open(&settings).unwrap();
        store.counted.lock().most = 5;
        store
    }

    /// Writes an event for each second of `seconds`.
    async fn write(store: &SledStore, seconds: std::ops::Range<u64>) {
        let random = SeededRandom::new(seconds.start + 1);
        let event = |second| {
            let at = NOW.after(Duration::from_secs(second));
            AuditEvent::of_nobody(Event::KeysChanged, Actor::Server, at, &random).unwrap()
        };
        let version = store.signing_keys().await.unwrap().version;
        let events = seconds.map(event).collect();
        store.replace_signing_keys(version, vec![], events).await.unwrap();
    }

    async fn seconds(store: &SledStore) -> Vec<u64> {
        let events = store.audit(None, 100).await.unwrap();
        events.iter().map(|event| event.at.since(NOW).as_secs()).collect()
    }

    #[tokio::test]
    async fn lg_06_the_oldest_events_beyond_the_most_that_are_kept_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let settled = |second: u64| NOW.after(Duration::from_secs(second + 61));
        let kept = store(&directory);
        write(&kept, 0..5).await;
        assert_eq!(kept.sweep(settled(5), 16).await, Ok(0));
        write(&kept, 5..12).await;
        // What is new may still have company on its way.
        assert_eq!(kept.sweep(NOW.after(Duration::from_secs(12)), 16).await, Ok(0));
        assert_eq!(kept.sweep(settled(12), 4).await, Ok(4));
        assert_eq!(kept.sweep(settled(12), 4).await, Ok(3));
        assert_eq!(kept.sweep(settled(12), 4).await, Ok(0));
        assert_eq!(seconds(&kept).await, [7, 8, 9, 10, 11]);
        kept.close().await;
        drop(kept);

        // A start counts anew.
        let kept = store(&directory);
        write(&kept, 12..14).await;
        assert_eq!(kept.sweep(settled(14), 16).await, Ok(2));
        assert_eq!(seconds(&kept).await, [9, 10, 11, 12, 13]);
        // What goes for its age is no longer counted.
        let later = settled(10).after(Duration::from_secs(90 * 24 * 60 * 60 - 61));
        assert_eq!(kept.sweep(later, 16).await, Ok(1));
        write(&kept, 14..15).await;
        assert_eq!(kept.sweep(later, 16).await, Ok(0));
        assert_eq!(seconds(&kept).await.len(), 5);
    }
}
