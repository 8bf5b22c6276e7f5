//! Which audit events are beyond those that are kept. They are counted off the writer's thread, a piece at a time,
//! and the count is written with the step that removes some: a start goes on from there.
//!
//! What costs less pushes out nothing that costs more: anybody who has an account may have as many events of his
//! own profile as he likes. Knows nothing else of what an event says.

use serde::{Deserialize, Serialize};

use super::SledStore;
use super::database::{Database, Entry};
use super::keys::{self, Range, Table, meta};
use super::read::skip_corrupt;
use super::staged::Staged;
use crate::auth::model::audit::{AuditEvent, Price};
use crate::clock::Timestamp;
use crate::store::{Result, codec};

/// How many events are kept: a million, some 200 MB with what the engine needs for them.
pub(super) const KEPT: Kept = Kept { nothing: 200_000, password: 700_000, authority: 100_000 };
/// What is swept first comes first.
const PRICES: [Price; 3] = [Price::Nothing, Price::Password, Price::Authority];
/// How many are looked at at a time, in a few milliseconds.
const PIECE: usize = 4096;
/// How old an event is before it is counted: none that is older is still on its way into the table.
const SETTLED_MS: u64 = 60 * 1000;

/// How many events of each price are kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    nothing: u64,
    password: u64,
    authority: u64,
}

/// How many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counted {
    /// All keys up to this one are counted.
    up_to: Vec<u8>,
    nothing: Share,
    password: Share,
    authority: Share,
}

/// The events that compete for the same room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Share {
    count: u64,
    /// None of them stands up to this key.
    gone_up_to: Vec<u8>,
}

/// Some of the events that are too many, and the count with them.
pub(super) struct Surplus {
    /// The oldest first, all of one price.
    pub(super) events: Vec<Entry>,
    counted: Counted,
    kept: Kept,
}

impl Surplus {
    /// Notes the count without the events that are `gone`, and says whether none is too many any more.
    pub(super) fn note(mut self, staged: &mut Staged<'_>, gone: &[Entry]) -> Result<bool> {
        let up_to = self.counted.up_to.clone();
        for (key, value) in gone.iter().filter(|(key, _)| *key <= up_to) {
            let share = self.counted.share(price(key, value));
            share.count = share.count.saturating_sub(1);
        }
        if skip_corrupt(staged.record(Table::Meta, meta::AUDIT))?.as_ref() != Some(&self.counted) {
            staged.put(Table::Meta, meta::AUDIT.to_vec(), &self.counted)?;
        }
        Ok(PRICES.iter().all(|price| self.counted.share(*price).surplus(self.kept.of(*price)) == 0))
    }
}

impl Counted {
    /// Counts on; returns some of the oldest that are too many, at most `limit`, once all are counted. Blocks.
    fn surplus(
        &mut self,
        database: &Database,
        kept: Kept,
        now: Timestamp,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>> {
        if !self.count_on(database, now)? {
            return Ok(None);
        }
        for price in PRICES {
            let found = self.share(price).oldest(database, price, kept, limit)?;
            if found.as_ref().is_none_or(|found| !found.is_empty()) {
                return Ok(found);
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Counts a piece; whether all that is settled at `now` is counted.
    fn count_on(&mut self, database: &Database, now: Timestamp) -> Result<bool> {
        let settled = Timestamp::from_millis(now.millis().saturating_sub(SETTLED_MS));
        let range = Range::all().after(&self.up_to).before(keys::ids_from(settled));
        if range.is_empty() {
            return Ok(true);
        }
        let mut counted = 0;
        for entry in database.scan(Table::Audit, &range).take(PIECE) {
            let (key, value) = entry?;
            self.share(price(&key, &value)).count += 1;
            self.up_to = key.to_vec();
            counted += 1;
        }
        Ok(counted < PIECE)
    }

    const fn share(&mut self, price: Price) -> &mut Share {
        match price {
            Price::Nothing => &mut self.nothing,
            Price::Password => &mut self.password,
            Price::Authority => &mut self.authority,
        }
    }
}

impl Kept {
    const fn of(self, price: Price) -> u64 {
        match price {
            Price::Nothing => self.nothing,
            Price::Password => self.password,
            Price::Authority => self.authority,
        }
    }
}

impl Share {
    /// How many are too many.
    fn surplus(&self, kept: u64) -> usize {
        usize::try_from(self.count.saturating_sub(kept)).unwrap_or(usize::MAX)
    }

    /// The oldest of those of this price that are too many, at most `limit`, as far as a piece of the table holds
    /// them; nothing if it holds none and there are more pieces.
    fn oldest(
        &mut self,
        database: &Database,
        its: Price,
        kept: Kept,
        limit: usize,
    ) -> Result<Option<Vec<Entry>>> {
        let surplus = self.surplus(kept.of(its)).min(limit);
        let (mut found, mut left) = (Vec::new(), PIECE);
        let mut entries = database.scan(Table::Audit, &Range::all().after(&self.gone_up_to));
        while found.len() < surplus && left > 0 {
            let Some(entry) = entries.next() else { return Ok(Some(found)) };
            let (key, value) = entry?;
            left -= 1;
            if price(&key, &value) == its {
                found.push((key.to_vec(), value.to_vec()));
            } else if found.is_empty() {
                self.gone_up_to = key.to_vec();
            }
        }
        Ok((left > 0 || !found.is_empty()).then_some(found))
    }
}

/// What an event took; one that cannot be read is worth no more than one that took nothing.
fn price(key: &[u8], value: &[u8]) -> Price {
    let event = codec::decode::<AuditEvent>(Table::Audit.name(), key, value);
    event.map_or(Price::Nothing, |event| event.price())
}

impl SledStore {
    /// Counts all events that are settled at `now`; returns some of the oldest that are too many.
    pub(super) async fn surplus(&self, now: Timestamp, limit: usize) -> Result<Surplus> {
        let kept = self.kept;
        let noted = skip_corrupt(self.database()?.record(Table::Meta, meta::AUDIT))?;
        let mut counted: Counted = noted.unwrap_or_default();
        loop {
            let counting = self.list(move |database| {
                let found = counted.surplus(database, kept, now, limit)?;
                Ok((counted, found))
            });
            let found;
            (counted, found) = counting.await?;
            if let Some(events) = found {
                return Ok(Surplus { events, counted, kept });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::auth::model::audit::{Actor, AuditEvent, Event};
    use crate::auth::model::id::UserId;
    use crate::random::SeededRandom;
    use crate::store::sled::{Durability, SledSettings};
    use crate::store::{Store, Swept};

    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn store(directory: &tempfile::TempDir) -> SledStore {
        let (path, durability) = (directory.path().to_owned(), Durability::Flush);
        let settings = SledSettings { path, cache_bytes: 1 << 20, durability, min_free_bytes: 0 };
        let mut store = SledStore::open(&settings).unwrap();
        store.kept = Kept { nothing: 3, password: 5, authority: 5 };
        store
    }

    /// When what is of this second has been counted.
    fn settled(second: u64) -> Timestamp {
        NOW.after(Duration::from_secs(second + 61))
    }

    /// Writes an event for each second of `seconds`.
    async fn write(store: &SledStore, seconds: std::ops::Range<u64>, actor: Actor) {
        let random = SeededRandom::new(seconds.start + 1);
        let user = if let Actor::User(user) = actor { Some(user) } else { None };
        let event = |second| {
            let at = NOW.after(Duration::from_secs(second));
            let made = AuditEvent::of_nobody(Event::UserUpdated, actor, at, &random).unwrap();
            AuditEvent { user, ..made }
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
        assert_eq!(kept.sweep(settled(5), 16).await.unwrap().records, 0);
        write(&kept, 5..12, Actor::Anonymous).await;
        // What is new may still have company on its way.
        assert_eq!(kept.sweep(NOW.after(Duration::from_secs(12)), 16).await.unwrap().records, 0);
        assert_eq!(kept.sweep(settled(12), 1).await.unwrap().records, 7);
        assert_eq!(kept.sweep(settled(12), 1).await.unwrap().records, 0);
        assert_eq!(seconds(&kept).await, [7, 8, 9, 10, 11]);
        kept.close().await;
        drop(kept);

        // A start goes on from there.
        let kept = store(&directory);
        let noted: Counted =
            kept.database().unwrap().record(Table::Meta, meta::AUDIT).unwrap().unwrap();
        assert_eq!((noted.nothing.count, noted.password.count, noted.authority.count), (0, 5, 0));
        write(&kept, 12..14, Actor::Anonymous).await;
        assert_eq!(kept.sweep(settled(14), 16).await.unwrap().records, 2);
        assert_eq!(seconds(&kept).await, [9, 10, 11, 12, 13]);
        // What goes for its age is no longer counted.
        let later = settled(10).after(Duration::from_secs(90 * 24 * 60 * 60 - 61));
        assert_eq!(kept.sweep(later, 16).await.unwrap().records, 1);
        write(&kept, 14..15, Actor::Anonymous).await;
        assert_eq!(kept.sweep(later, 16).await.unwrap().records, 0);
        assert_eq!(seconds(&kept).await.len(), 5);
    }

    #[tokio::test]
    async fn lg_06_changes_of_the_own_profile_push_out_only_each_other() {
        let directory = tempfile::tempdir().unwrap();
        let kept = store(&directory);
        let user = UserId::new(NOW, &SeededRandom::new(1)).unwrap();
        write(&kept, 0..2, Actor::Anonymous).await;
        write(&kept, 2..20, Actor::User(user)).await;
        write(&kept, 20..22, Actor::Operator).await;
        for swept in [8, 7, 0] {
            assert_eq!(kept.sweep(settled(22), 1).await.unwrap().records, swept);
        }
        assert_eq!(seconds(&kept).await, [0, 1, 17, 18, 19, 20, 21]);
    }

    #[tokio::test]
    async fn lg_06_a_trickle_of_what_costs_nothing_does_not_end_the_sweep_of_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let kept = store(&directory);
        let user = UserId::new(NOW, &SeededRandom::new(1)).unwrap();
        write(&kept, 0..20, Actor::Anonymous).await;
        write(&kept, 20..24, Actor::User(user)).await;
        for (records, is_done) in [(1, false), (15, true), (0, true)] {
            assert_eq!(kept.sweep(settled(24), 16).await, Ok(Swept { records, is_done }));
        }
        assert_eq!(seconds(&kept).await, [15, 16, 17, 18, 19, 21, 22, 23]);
    }

    #[tokio::test]
    async fn lg_06_whoever_has_no_authority_pushes_out_nothing_of_those_who_have() {
        let directory = tempfile::tempdir().unwrap();
        let mut kept = store(&directory);
        kept.kept.authority = 5000;
        // More than are looked at at a time stand before the first that may go.
        write(&kept, 0..4200, Actor::Operator).await;
        write(&kept, 4200..4210, Actor::Anonymous).await;
        write(&kept, 4210..4214, Actor::Server).await;
        assert_eq!(kept.sweep(settled(4214), usize::MAX).await.unwrap().records, 5);
        assert_eq!(kept.sweep(settled(4214), usize::MAX).await.unwrap().records, 0);
        // Of those who have, too, only the newest are kept.
        kept.kept.authority = 5;
        let mut swept = 0;
        loop {
            let step = kept.sweep(settled(4214), usize::MAX).await.unwrap();
            swept += step.records;
            if step.is_done {
                break;
            }
        }
        assert_eq!(swept, 4204 - 5);
        let left = [4199, 4205, 4206, 4207, 4208, 4209, 4210, 4211, 4212, 4213];
        assert_eq!(seconds(&kept).await, left);
    }
}
