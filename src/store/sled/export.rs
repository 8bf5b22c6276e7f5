//! Reading out users, posts and audit events while they change: the tables once from their first key to
//! their last, then anew what was changed behind the reader's back.
//!
//! The writer keeps a journal for each reader that is alive, of the changed keys that were read already.
//! When there is nothing left to read, in one turn of the writer, what was read is the state as of that turn.
//! A journal holds keys only, and dies with its reader.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::mpsc::WeakSender;

use super::DEADLINE;
use super::keys::{Range, Table};
use super::read::skip_corrupt;
use super::staged::Staged;
use super::writer::{self, Command, QUEUE_MAX};
use crate::auth::model::id::{EventId, PostId, UserId};
use crate::auth::model::post::Post;
use crate::auth::model::user::User;
use crate::store::dump::{Change, Export, Key};
use crate::store::{Result, StoreError, codec};

/// How many records a step reads in their order, while requests wait.
const SCAN_MAX: usize = 256;
/// How many changed ones a step reads anew if fewer did not make them less: as many as a full queue changes
/// between two steps, each one record with one event, so that the reading ends.
const DRAIN_MAX: usize = 2 * QUEUE_MAX;
/// How many changed keys a journal holds.
const CHANGED_MAX: usize = 100_000;
/// How many readers there are at a time.
const READERS_MAX: usize = 4;

/// How far a reader has come, and what has changed behind it.
pub(super) struct Journal {
    /// The first key that is still to be read; none once all were.
    unread: Option<(Table, Vec<u8>)>,
    /// Read already, and changed since.
    changed: BTreeSet<(Table, Vec<u8>)>,
    /// How many of these the last step left.
    left: usize,
    /// Whether more has changed than is kept: the reader cannot go on.
    is_outrun: bool,
}

impl Default for Journal {
    fn default() -> Self {
        let unread = Some((Table::User, Vec::new()));
        Self { unread, changed: BTreeSet::new(), left: usize::MAX, is_outrun: false }
    }
}

impl Journal {
    /// Notes a change, unless what changed is still to be read.
    fn note(&mut self, table: Table, key: &[u8]) {
        if self.is_outrun {
            return;
        }
        let is_unread = self.unread.as_ref().is_some_and(|(unread_table, unread)| {
            (table, key) >= (*unread_table, unread.as_slice())
        });
        if !is_unread {
            self.changed.insert((table, key.to_vec()));
        }
        if self.changed.len() > CHANGED_MAX {
            self.is_outrun = true;
            self.changed.clear();
        }
    }

    /// How many changed ones are to be read in one step: few while they get fewer, since requests wait.
    fn drain_max(&self) -> usize {
        if self.changed.len() < self.left { SCAN_MAX } else { DRAIN_MAX }
    }
}

/// The journals of all readers.
#[derive(Default)]
pub(super) struct Journals(Vec<Weak<Mutex<Journal>>>);

impl Journals {
    /// Adds one, unless there are as many as may be.
    pub(super) fn follow(&mut self, journal: &Arc<Mutex<Journal>>) -> Result<()> {
        self.0.retain(|journal| journal.strong_count() > 0);
        if self.0.len() >= READERS_MAX {
            return Err(StoreError::Busy);
        }
        self.0.push(Arc::downgrade(journal));
        Ok(())
    }

    /// Notes a change in all of them.
    pub(super) fn note(&mut self, table: Table, key: &[u8]) {
        if self.0.is_empty() || !matches!(table, Table::User | Table::Post | Table::Audit) {
            return;
        }
        self.0.retain(|journal| {
            let Some(journal) = journal.upgrade() else { return false };
            journal.lock().unwrap_or_else(PoisonError::into_inner).note(table, key);
            true
        });
    }
}

/// The table that is read after this one.
const fn next_table(table: Table) -> Option<Table> {
    match table {
        Table::User => Some(Table::Post),
        Table::Post => Some(Table::Audit),
        _ => None,
    }
}

/// What a step has read.
#[derive(Default)]
struct Step {
    changes: Vec<Change>,
    left_out: u64,
    is_last: bool,
}

/// Reads on.
fn step(staged: &Staged<'_>, journal: &mut Journal) -> Result<Step> {
    if journal.is_outrun {
        return Err(StoreError::Outrun);
    }
    let mut step = Step::default();
    let mut left = SCAN_MAX;
    while let Some((table, from)) = journal.unread.take() {
        let entries = staged.scan(table, &Range::starting(from), left)?;
        journal.unread = match entries.last() {
            Some((last, _)) if entries.len() == left => Some((table, [last, &[0][..]].concat())),
            _ => next_table(table).map(|table| (table, Vec::new())),
        };
        left -= entries.len();
        for (key, value) in entries {
            let found = step.readable(stored(staged, table, &key, &value))?;
            step.changes.extend(found);
        }
        if left == 0 && journal.unread.is_some() {
            return Ok(step);
        }
    }
    for _ in 0..journal.drain_max() {
        let Some((table, key)) = journal.changed.pop_first() else { break };
        let found = match staged.get(table, &key)? {
            Some(value) => step.readable(stored(staged, table, &key, &value))?,
            None => None,
        };
        step.changes.push(found.map_or_else(|| removed(table, &key), Ok)?);
    }
    journal.left = journal.changed.len();
    step.is_last = journal.left == 0;
    Ok(step)
}

impl Step {
    /// What was found, nothing if it is corrupt.
    fn readable(&mut self, found: Result<Option<Change>>) -> Result<Option<Change>> {
        self.left_out += u64::from(matches!(found, Err(StoreError::Corrupt { .. })));
        skip_corrupt(found)
    }
}

/// The record; a post whose author is gone is gone too, and only still to be swept. Without a readable one
/// it could not be loaded.
fn stored(staged: &Staged<'_>, table: Table, key: &[u8], value: &[u8]) -> Result<Option<Change>> {
    Ok(match table {
        Table::User => Some(Change::User(codec::decode(table.name(), key, value)?)),
        Table::Post => {
            let post: Post = codec::decode(table.name(), key, value)?;
            let author: Option<User> = staged.record(Table::User, &post.author.to_bytes())?;
            author.map(|_| Change::Post(post))
        }
        _ => Some(Change::Audit(codec::decode(table.name(), key, value)?)),
    })
}

/// Word that there is no such record.
fn removed(table: Table, key: &[u8]) -> Result<Change> {
    let id = key.try_into().map_err(|_| codec::corrupt(table.name(), key))?;
    Ok(Change::Removed(match table {
        Table::User => Key::User(UserId::from_bytes(id)),
        Table::Post => Key::Post(PostId::from_bytes(id)),
        _ => Key::Audit(EventId::from_bytes(id)),
    }))
}

/// Reads step by step, each when it is asked for.
pub(super) struct SledExport {
    /// Weak: a reader does not keep the store open.
    queue: WeakSender<Command>,
    /// None while a step is waited for, and so for good when that is given up or fails: its records are lost.
    journal: Option<Arc<Mutex<Journal>>>,
    left_out: u64,
    is_over: bool,
}

impl SledExport {
    /// A reader whose journal is followed.
    pub(super) const fn new(queue: WeakSender<Command>, journal: Arc<Mutex<Journal>>) -> Self {
        Self { queue, journal: Some(journal), left_out: 0, is_over: false }
    }
}

#[async_trait]
impl Export for SledExport {
    async fn next(&mut self) -> Result<Option<Vec<Change>>> {
        if self.is_over {
            return Ok(None);
        }
        let journal = self.journal.take().ok_or(StoreError::Unavailable)?;
        let queue = self.queue.upgrade().ok_or(StoreError::Unavailable)?;
        // Unlike a request, it waits for its turn when there is much to do.
        let place = tokio::time::timeout(DEADLINE, queue.reserve()).await;
        let place = place.map_err(|_| StoreError::Busy)?.map_err(|_| StoreError::Unavailable)?;
        let read = Arc::clone(&journal);
        let (job, answer) = writer::job(move |staged| {
            step(staged, &mut read.lock().unwrap_or_else(PoisonError::into_inner))
        });
        place.send(Command::Run(job));
        let step: Step = writer::answer(answer, DEADLINE).await?;
        self.journal = Some(journal);
        self.left_out += step.left_out;
        self.is_over = step.is_last;
        Ok(Some(step.changes))
    }

    fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal_of_a_reader_at_its_end(changes: usize) -> Journal {
        let mut journal = Journal { unread: None, ..Journal::default() };
        for number in 0..changes {
            journal.note(Table::User, &number.to_be_bytes());
        }
        journal
    }

    #[test]
    fn a_journal_holds_so_many_keys_and_its_reader_is_outrun_by_more() {
        let full = journal_of_a_reader_at_its_end(CHANGED_MAX);
        assert_eq!((full.is_outrun, full.changed.len()), (false, CHANGED_MAX));
        let outrun = journal_of_a_reader_at_its_end(CHANGED_MAX + 2);
        assert_eq!((outrun.is_outrun, outrun.changed.len()), (true, 0));
    }

    #[test]
    fn a_step_reads_few_changes_while_they_get_fewer_and_many_when_they_do_not() {
        let mut journal = journal_of_a_reader_at_its_end(1000);
        assert_eq!(journal.drain_max(), SCAN_MAX);
        journal.left = 1001;
        assert_eq!(journal.drain_max(), SCAN_MAX);
        journal.left = 1000;
        assert_eq!(journal.drain_max(), DRAIN_MAX);
    }

    #[test]
    fn what_is_still_to_be_read_is_not_kept() {
        let mut journal = Journal::default();
        journal.note(Table::Post, &[1]);
        assert!(journal.changed.is_empty());
    }
}
