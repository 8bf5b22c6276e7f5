//! What a step decides against: the database, and over it what this batch's earlier steps have written.

use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::database::{Database, Entry, Write, Writes};
use super::export::{Journal, Journals};
use super::keys::{Range, Table};
use super::room::Room;
use crate::auth::model::audit::AuditEvent;
use crate::store::{Result, StoreError, codec};

/// What a removal counts for: sled rewrites the node that the value stood in, and merges those that run empty.
const REMOVAL_BYTES: usize = 4 << 10;
/// What the removal of an audit event counts for. They go many at a time, and sled writes some 100 bytes for
/// each: a node is rewritten at every tenth change of it.
const EVENT_REMOVAL_BYTES: usize = REMOVAL_BYTES / 8;

/// A batch in the making.
pub(super) struct Staged<'a> {
    database: &'a Database,
    room: &'a mut Room,
    journals: &'a mut Journals,
    writes: Writes,
    /// How many bytes were written, also those overwritten and taken back since.
    bytes: usize,
    /// What the running step has overwritten in `writes`, to be put back if it fails.
    undo: Vec<(Table, Vec<u8>, Option<Write>)>,
}

impl<'a> Staged<'a> {
    /// An empty batch over `database`.
    pub(super) const fn new(
        database: &'a Database,
        room: &'a mut Room,
        journals: &'a mut Journals,
    ) -> Self {
        Self { database, room, journals, writes: Writes::new(), bytes: 0, undo: Vec::new() }
    }

    /// Runs one step; one that fails leaves nothing behind.
    pub(super) fn run<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        // A step that panics must answer like one that failed and not take the writer with it.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| step(self)))
            .unwrap_or_else(|_| {
                tracing::error!("a step of the store panicked");
                Err(StoreError::Unavailable)
            });
        if outcome.is_err() {
            self.roll_back();
        }
        self.undo.clear();
        outcome
    }

    /// About how many bytes are to be written.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is to be written.
    pub(super) fn into_writes(self) -> Writes {
        self.writes
    }

    /// Refuses a step that grows the store when the disk is nearly full.
    pub(super) fn require_room(&mut self) -> Result<()> {
        if self.room.is_left() { Ok(()) } else { Err(StoreError::DiskFull) }
    }

    /// Whether there is a value at `key`.
    pub(super) fn contains(&self, table: Table, key: &[u8]) -> Result<bool> {
        self.get(table, key).map(|value| value.is_some())
    }

    /// The value at `key`.
    pub(super) fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.writes.get(&table).and_then(|writes| writes.get(key)) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.database.get(table, key)?.map(|value| value.to_vec())),
        }
    }

    /// The record at `key`.
    pub(super) fn record<T: DeserializeOwned>(
        &self,
        table: Table,
        key: &[u8],
    ) -> Result<Option<T>> {
        self.get(table, key)?.map(|bytes| codec::decode(table.name(), key, &bytes)).transpose()
    }

    /// The first `limit` entries of `range`.
    pub(super) fn scan(&self, table: Table, range: &Range, limit: usize) -> Result<Vec<Entry>> {
        let none = std::collections::BTreeMap::new();
        let writes = self.writes.get(&table).unwrap_or(&none);
        let staged =
            || (!range.is_empty()).then(|| writes.range(range.bounds())).into_iter().flatten();
        // Each staged removal hides at most one stored entry, so this many leave `limit` to be seen.
        let enough = limit.saturating_add(staged().count());
        let mut found = std::collections::BTreeMap::new();
        for entry in self.database.scan(table, range).take(enough) {
            let (key, value) = entry?;
            found.insert(key.to_vec(), value.to_vec());
        }
        for (key, value) in staged() {
            match value {
                Some(value) => found.insert(key.clone(), value.clone()),
                None => found.remove(key),
            };
        }
        Ok(found.into_iter().take(limit).collect())
    }

    /// Writes `record` at `key`.
    pub(super) fn put<T: Serialize>(
        &mut self,
        table: Table,
        key: Vec<u8>,
        record: &T,
    ) -> Result<()> {
        let value = codec::encode(table.name(), &key, record)?;
        self.write(table, key, Some(value));
        Ok(())
    }

    /// Writes `key` into a table that holds nothing else.
    pub(super) fn mark(&mut self, table: Table, key: Vec<u8>) {
        self.write(table, key, Some(Vec::new()));
    }

    /// Removes what is at `key`.
    pub(super) fn remove(&mut self, table: Table, key: Vec<u8>) {
        self.write(table, key, None);
    }

    /// Writes audit events; the same event again is the same record.
    pub(super) fn audit(&mut self, events: &[AuditEvent]) -> Result<()> {
        events
            .iter()
            .try_for_each(|event| self.put(Table::Audit, event.id.to_bytes().to_vec(), event))
    }

    /// Has `journal` told of every write from now on; `Busy` if too many are.
    pub(super) fn follow(&mut self, journal: &Arc<Mutex<Journal>>) -> Result<()> {
        self.journals.follow(journal)
    }

    fn write(&mut self, table: Table, key: Vec<u8>, value: Write) {
        self.journals.note(table, &key);
        let removal = if table == Table::Audit { EVENT_REMOVAL_BYTES } else { REMOVAL_BYTES };
        self.bytes += key.len() + value.as_ref().map_or(removal, Vec::len);
        let before = self.writes.entry(table).or_default().insert(key.clone(), value);
        self.undo.push((table, key, before));
    }

    fn roll_back(&mut self) {
        while let Some((table, key, before)) = self.undo.pop() {
            let writes = self.writes.entry(table).or_default();
            match before {
                Some(value) => writes.insert(key, value),
                None => writes.remove(&key),
            };
            if writes.is_empty() {
                self.writes.remove(&table);
            }
        }
    }
}
