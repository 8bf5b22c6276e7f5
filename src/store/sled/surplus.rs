//! Which audit events are beyond those that are kept: counted from the first on when the sweeper first comes, a
//! piece at a time and off the writer's thread, and then as they come.
//!
//! What somebody with authority did to others has a share of its own: anybody may have as many events of his own
//! as he likes, and must not be able to push those out. Knows nothing else of what an event says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SledStore;
use super::database::{Database, Entry};
use super::keys::{self, Range, Table};
use crate::auth::model::audit::AuditEvent;
use crate::clock::Timestamp;
use crate::store::{Result, StoreError, codec};

/// How many events are kept of what took no authority; some 180 MB with what the engine needs for them.
const OWN_MAX: usize = 900_000;
/// And how many of all others; some 20 MB.
const OTHERS_MAX: usize = 100_000;
/// How many are looked at at a time, in a few milliseconds.
const PIECE: usize = 4096;
/// How old an event is before it is counted: none that is older is still on its way into the table.
const SETTLED_MS: u64 = 60 * 1000;

/// The count so far.
pub(super) struct Counted(Mutex<SoFar>);

struct SoFar {
    /// All keys up to this one are counted.
    up_to: Vec<u8>,
    own: Share,
    others: Share,
}

/// The events that compete for the same room.
struct Share {
    most: usize,
    count: usize,
    /// None of them stands up to this key.
    gone_up_to: Vec<u8>,
}

impl Counted {
    /// Nothing is counted yet.
    pub(super) fn new() -> Self {
        let share = |most| Share { most, count: 0, gone_up_to: Vec::new() };
        Self(Mutex::new(SoFar {
            up_to: Vec::new(),
            own: share(OWN_MAX),
            others: share(OTHERS_MAX),
        }))
    }

    /// Counts on; returns some of the oldest that are too many, at most `limit`, once all are counted. Blocks.
    fn surplus(
        &self,
        database: &Database,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let mut so_far = self.lock();
        if !so_far.count_on(database, now)? {
            return Ok(None);
        }
        match so_far.own.oldest(database, false, limit)? {
            Some(none) if none.is_empty() => so_far.others.oldest(database, true, limit),
            found => Ok(found),
        }
    }

    /// These were removed; where that is not known, all are counted anew.
    pub(super) fn forget(&self, removed: std::result::Result<&[Entry], &StoreError>) {
        let mut so_far = self.lock();
        let Ok(removed) = removed else {
            (so_far.up_to, so_far.own.count, so_far.others.count) = (Vec::new(), 0, 0);
            return;
        };
        let up_to = so_far.up_to.clone();
        for (key, value) in removed.iter().filter(|(key, _)| *key <= up_to) {
            let share = so_far.share(took_authority(key, value));
            share.count = share.count.saturating_sub(1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, SoFar> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SoFar {
    /// Counts a piece; whether all that is settled at `now` is counted.
    fn count_on(&mut self, database: &Database, now: Timestamp) -> Result<bool> {
        let settled = Timestamp::from_millis(now.millis().saturating_sub(SETTLED_MS));
        let range = Range::all().after(&self.up_to).before(keys::ids_from(settled));
        let mut counted = 0;
        for entry in database.scan(Table::Audit, &range).take(PIECE) {
            let (key, value) = entry?;
            self.share(took_authority(&key, &value)).count += 1;
            self.up_to = key.to_vec();
            counted += 1;
        }
        Ok(counted < PIECE)
    }

    const fn share(&mut self, took_authority: bool) -> &mut Share {
        if took_authority { &mut self.others } else { &mut self.own }
    }
}

impl Share {
    /// The oldest of those that are too many, at most `limit`, as far as a piece of the table holds them;
    /// nothing if it holds none and there are more pieces.
    fn oldest(
        &mut self,
        database: &Database,
        authority: bool,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let surplus = self.count.saturating_sub(self.most).min(limit);
        let (mut found, mut left) = (Vec::new(), PIECE);
        let range = Range::all().after(&self.gone_up_to);
        let mut entries = database.scan(Table::Audit, &range);
        while found.len() < surplus && left > 0 {
            let Some(entry) = entries.next() else { return Ok(Some(found)) };
            let (key, value) = entry?;
            left -= 1;
            if took_authority(&key, &value) == authority {
                found.push((key.to_vec(), value.to_vec()));
            } else if found.is_empty() {
                self.gone_up_to = key.to_vec();
            }
        }
        Ok((left > 0 || !found.is_empty()).then_some(found))
    }
}

/// Whether an event took authority; one that cannot be read is as good as one that did not.
fn took_authority(key: &[u8], value: &[u8]) -> bool {
    let event = codec::decode::<AuditEvent>(Table::Audit.name(), key, value);
    event.is_ok_and(|event| event.took_authority())
}

impl SledStore {
    /// Counts all events that are settled at `now`; returns some of the oldest that are too many.
    pub(super) async fn surplus(&self, now: Timestamp, limit: usize) -> Result<Vec<Entry>> {
        loop {
            let counted = Arc::clone(&self.counted);
            let found = self.list(move |database| counted.surplus(database, now, limit)).await?;
            if let Some(found) = found {
                return Ok(found);
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
        let mut so_far = store.counted.lock();
        (so_far.own.most, so_far.others.most) = (5, 5);
        drop(so_far);
        store
    }

    /// When what is of this second has been counted.
    fn settled(second: u64) -> Timestamp {
        NOW.after(Duration::from_secs(second + 61))
    }

    /// Writes an event for each second of `seconds`.
    async fn write(store: &SledStore, seconds: std::ops::Range<u64>, actor: Actor) {
        let random = SeededRandom::new(seconds.start + 1);
        let event = |second| {
            let at = NOW.after(Duration::from_secs(second));
            AuditEvent::of_nobody(Event::KeysChanged, actor, at, &random).unwrap()
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
        let kept = store(&directory);
        write(&kept, 0..5, Actor::Anonymous).await;
        assert_eq!(kept.sweep(settled(5), 16).await, Ok(0));
        write(&kept, 5..12, Actor::Anonymous).await;
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
        write(&kept, 12..14, Actor::Anonymous).await;
        assert_eq!(kept.sweep(settled(14), 16).await, Ok(2));
        assert_eq!(seconds(&kept).await, [9, 10, 11, 12, 13]);
        // What goes for its age is no longer counted.
        let later = settled(10).after(Duration::from_secs(90 * 24 * 60 * 60 - 61));
        assert_eq!(kept.sweep(later, 16).await, Ok(1));
        write(&kept, 14..15, Actor::Anonymous).await;
        assert_eq!(kept.sweep(later, 16).await, Ok(0));
        assert_eq!(seconds(&kept).await.len(), 5);
    }

    #[tokio::test]
    async fn lg_06_whoever_has_no_authority_pushes_out_nothing_of_those_who_have() {
        let directory = tempfile::tempdir().unwrap();
        let kept = store(&directory);
        kept.counted.lock().others.most = 5000;
        // More than are looked at at a time stand before the first that may go.
        write(&kept, 0..4200, Actor::Operator).await;
        write(&kept, 4200..4210, Actor::Anonymous).await;
        write(&kept, 4210..4214, Actor::Server).await;
        assert_eq!(kept.sweep(settled(4214), usize::MAX).await, Ok(5));
        assert_eq!(kept.sweep(settled(4214), usize::MAX).await, Ok(0));
        // Of those who have, too, only the newest are kept.
        kept.counted.lock().others.most = 5;
        let mut swept = 0;
        while let Ok(some @ 1..) = kept.sweep(settled(4214), usize::MAX).await {
            swept += some;
        }
        assert_eq!(swept, 4204 - 5);
        let left = [4199, 4205, 4206, 4207, 4208, 4209, 4210, 4211, 4212, 4213];
        assert_eq!(seconds(&kept).await, left);
    }
}
