//! The sweeper's step: removes what is dead already. Nothing depends on its having run.

use super::filed::Filed;
use super::keys::{self, Range, Table};
use super::sessions;
use super::staged::Staged;
use super::surplus::Surplus;
use crate::clock::Timestamp;
use crate::store::{Result, StoreError, Swept, codec};

/// How long audit events are kept: 90 days.
const AUDIT_KEPT_MS: u64 = 90 * 24 * 60 * 60 * 1000;
/// How long an expired session stays, so that no clock that is a little behind can miss it: a minute, and
/// twice the 5 s that a token's times may be off.
const MARGIN_MS: u64 = 70 * 1000;
/// How many audit events may go in the place of one other record, which weighs as much: whoever has a session
/// brings them about faster than they would go one by one.
pub(super) const EVENTS_A_RECORD: usize = 8;

/// [`Store::sweep`](crate::store::Store::sweep), of the audit events `surplus` besides those that are too old.
pub(super) fn sweep(
    staged: &mut Staged<'_>,
    now: Timestamp,
    surplus: Surplus,
    limit: usize,
) -> Result<Swept> {
    let earlier = |ms| Timestamp::from_millis(now.millis().saturating_sub(ms));
    let mut done = expired_sessions(staged, earlier(MARGIN_MS), limit)?;
    done += left_by_deleted_users(staged, limit.saturating_sub(done))?;
    let left = limit.saturating_sub(done);
    let events = audit_events(staged, earlier(AUDIT_KEPT_MS), surplus, left)?;
    Ok(Swept { records: done + events.records, is_done: left > 0 && events.is_done })
}

fn expired_sessions(staged: &mut Staged<'_>, now: Timestamp, limit: usize) -> Result<usize> {
    let end = now.millis().saturating_add(1).to_be_bytes().to_vec();
    let entries = staged.scan(Table::Expiry, &Range::all().before(end), limit)?;
    for (entry, _) in &entries {
        let session = keys::expiring(entry).unwrap_or_default();
        match staged.record::<Filed>(Table::Session, session) {
            Ok(Some(filed)) if keys::expiry(&filed) != *entry => {
                staged.remove(Table::Expiry, entry.clone());
            }
            Ok(Some(filed)) if filed.session.expires_at().is_past(now) => {
                sessions::remove(staged, &filed);
            }
            // It was refreshed since it was filed.
            Ok(Some(filed)) => sessions::refile(staged, &filed, filed.session.clone())?,
            Ok(None) => staged.remove(Table::Expiry, entry.clone()),
            // One bad record must not stop the sweep for ever. It goes with its entry, without which it
            // would stay; nobody could use it any more.
            Err(StoreError::Corrupt { table, key }) => {
                tracing::error!(table, key, "a record cannot be read and is removed");
                staged.remove(Table::Session, session.to_vec());
                staged.remove(Table::Expiry, entry.clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(entries.len())
}

fn left_by_deleted_users(staged: &mut Staged<'_>, limit: usize) -> Result<usize> {
    let mut removed = 0;
    for (user, _) in staged.scan(Table::Deleted, &Range::all(), limit)? {
        let range = Range::prefix(&user);
        for (key, value) in staged.scan(Table::Session, &range, limit - removed)? {
            match codec::decode::<Filed>(Table::Session.name(), &key, &value) {
                Ok(filed) => sessions::remove(staged, &filed),
                Err(_) => staged.remove(Table::Session, key),
            }
            removed += 1;
        }
        for (key, _) in staged.scan(Table::Author, &range, limit - removed)? {
            if let Some(post) = key.get(16..) {
                staged.remove(Table::Post, post.to_vec());
            }
            staged.remove(Table::Author, key);
            removed += 1;
        }
        if removed == limit {
            return Ok(removed);
        }
        staged.remove(Table::Deleted, user);
        removed += 1;
    }
    Ok(removed)
}

/// Removes the audit events of a time `before`, and those of `surplus`, in the place of `limit` records.
fn audit_events(
    staged: &mut Staged<'_>,
    before: Timestamp,
    mut surplus: Surplus,
    limit: usize,
) -> Result<Swept> {
    let limit = limit.saturating_mul(EVENTS_A_RECORD);
    let floor = keys::ids_from(before);
    let mut gone = staged.scan(Table::Audit, &Range::all().before(floor.clone()), limit)?;
    gone.extend(surplus.events.drain(..).filter(|(key, _)| *key >= floor));
    gone.truncate(limit);
    for (key, _) in &gone {
        staged.remove(Table::Audit, key.clone());
    }
    let is_surplus_gone = surplus.note(staged, &gone)?;
    // What was counted and is not found does not keep the sweeper busy.
    let is_done = gone.is_empty() || gone.len() < limit && is_surplus_gone;
    Ok(Swept { records: gone.len(), is_done })
}
