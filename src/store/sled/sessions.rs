//! Steps on sessions. Each keeps the expiry index in agreement with the sessions.

use super::database::Entry;
use super::filed::Filed;
use super::keys::{self, Range, Table};
use super::read::skip_corrupt;
use super::staged::Staged;
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::{Nonce, SessionId, UserId};
use crate::auth::model::session::{Rotation, Session};
use crate::auth::model::user::User;
use crate::clock::Timestamp;
use crate::store::{OpenSession, Result, Rotate, StoreError, codec};

/// How many dead sessions of a user a login removes in passing.
const DEAD_MAX: usize = 64;

/// [`Store::open_session`](crate::store::Store::open_session).
pub(super) fn open(staged: &mut Staged<'_>, open: OpenSession) -> Result<bool> {
    let OpenSession { session, max_per_user, now, opened, on_eviction } = open;
    staged.require_room()?;
    let user = user(staged, session.user)?.ok_or(StoreError::Conflict)?;
    if !admits(&user, &session) {
        return Err(StoreError::Conflict);
    }
    if staged.contains(Table::Session, &keys::session(session.user, session.id))? {
        return Ok(false);
    }
    let (mut live, dead): (Vec<_>, Vec<_>) =
        all_of(staged, &user)?.into_iter().partition(|other| lives(&user, &other.session, now));
    live.sort_by_key(|other| (other.session.last_used_at, other.session.id));
    let beyond = live.len().saturating_add(1).saturating_sub(max_per_user.max(1));
    for ended in live.iter().take(beyond).chain(dead.iter().take(DEAD_MAX)) {
        remove(staged, ended);
    }
    let evicted = live.iter().take(beyond).next();
    if let Some(evicted) = evicted {
        staged.audit(&[AuditEvent { session: Some(evicted.session.id), ..on_eviction }])?;
    }
    file(staged, session)?;
    staged.audit(&[opened])?;
    Ok(evicted.is_some())
}

/// [`Store::rotate`](crate::store::Store::rotate).
pub(super) fn rotate(staged: &mut Staged<'_>, rotate: Rotate) -> Result<Rotation> {
    let Rotate { presented, next, grace, now, on_reuse, .. } = rotate;
    let user = user(staged, rotate.user)?.ok_or(StoreError::NotFound)?;
    let before = find(staged, rotate.user, rotate.session)?
        .filter(|filed| lives(&user, &filed.session, now))
        .ok_or(StoreError::NotFound)?;
    let rotation = before.session.clone().rotate(presented, next, grace, now);
    match &rotation {
        Rotation::Rotated(after) if *after != before.session => {
            if after.expires_at() < before.filed_at {
                refile(staged, &before, after.clone())?;
            } else {
                put(staged, &Filed { session: after.clone(), ..before })?;
            }
        }
        Rotation::Rotated(_) | Rotation::Replayed(_) => {}
        Rotation::Reused => {
            remove(staged, &before);
            staged.audit(&[on_reuse])?;
        }
    }
    Ok(rotation)
}

/// [`Store::end_session`](crate::store::Store::end_session).
pub(super) fn end(
    staged: &mut Staged<'_>,
    (id, session): (UserId, SessionId),
    accepting: Option<Nonce>,
    now: Timestamp,
    audit: &[AuditEvent],
) -> Result<bool> {
    let accepts = |session: &Session| accepting.is_none_or(|nonce| session.accepts(nonce, now));
    let Some(filed) = find(staged, id, session)?.filter(|filed| accepts(&filed.session)) else {
        return Ok(false);
    };
    remove(staged, &filed);
    let lived = user(staged, id)?.is_some_and(|user| lives(&user, &filed.session, now));
    if lived {
        staged.audit(audit)?;
    }
    Ok(lived)
}

/// [`Store::touch_session`](crate::store::Store::touch_session).
pub(super) fn touch(
    staged: &mut Staged<'_>,
    id: UserId,
    session: SessionId,
    now: Timestamp,
) -> Result<()> {
    match find(staged, id, session)?.filter(|filed| filed.session.last_used_at < now) {
        Some(Filed { session, filed_at }) => {
            let session = Session { last_used_at: now, ..session };
            put(staged, &Filed { session, filed_at })
        }
        None => Ok(()),
    }
}

/// Whether `session` is of the user's present epoch and the user may use it.
pub(super) const fn admits(user: &User, session: &Session) -> bool {
    !user.disabled && session.epoch == user.epoch
}

/// Whether `session` of `user` lives at `now`.
pub(super) fn lives(user: &User, session: &Session, now: Timestamp) -> bool {
    admits(user, session) && !session.expires_at().is_past(now)
}

/// Removes a session and its index entry.
pub(super) fn remove(staged: &mut Staged<'_>, filed: &Filed) {
    staged.remove(Table::Session, keys::session(filed.session.user, filed.session.id));
    staged.remove(Table::Expiry, keys::expiry(filed));
}

/// Writes what becomes of a filed session, and moves its index entry to the deadline it then has.
pub(super) fn refile(staged: &mut Staged<'_>, before: &Filed, after: Session) -> Result<()> {
    staged.remove(Table::Expiry, keys::expiry(before));
    file(staged, after)
}

/// Writes a session whose index entry stays.
pub(super) fn put(staged: &mut Staged<'_>, filed: &Filed) -> Result<()> {
    staged.put(Table::Session, keys::session(filed.session.user, filed.session.id), filed)
}

fn file(staged: &mut Staged<'_>, session: Session) -> Result<()> {
    let filed = Filed::new(session);
    staged.mark(Table::Expiry, keys::expiry(&filed));
    put(staged, &filed)
}

fn user(staged: &Staged<'_>, id: UserId) -> Result<Option<User>> {
    staged.record(Table::User, &id.to_bytes())
}

fn find(staged: &Staged<'_>, user: UserId, session: SessionId) -> Result<Option<Filed>> {
    staged.record(Table::Session, &keys::session(user, session))
}

fn all_of(staged: &Staged<'_>, user: &User) -> Result<Vec<Filed>> {
    let found = staged.scan(Table::Session, &Range::prefix(&user.id.to_bytes()), usize::MAX)?;
    let decode = |(key, value): &Entry| codec::decode(Table::Session.name(), key, value);
    found.iter().filter_map(|entry| skip_corrupt(decode(entry).map(Some)).transpose()).collect()
}
