//! Steps on users. Each keeps `user`, `name` and `admin` in agreement.

use super::attempts;
use super::filed::Filed;
use super::keys::{Range, Table};
use super::sessions;
use super::staged::Staged;
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::{SessionId, UserId};
use crate::auth::model::session::Session;
use crate::auth::model::user::{Expect, SessionsAfter, Standing, User, UserUpdate};
use crate::store::{Result, StoreError};

/// [`Store::create_user`](crate::store::Store::create_user).
pub(super) fn create(
    staged: &mut Staged<'_>,
    user: &User,
    actor: Option<&Standing>,
    audit: &[AuditEvent],
) -> Result<()> {
    staged.require_room()?;
    let key = user.id.to_bytes().to_vec();
    let name = user.username.as_str().as_bytes().to_vec();
    match staged.record::<UserId>(Table::Name, &name)? {
        Some(holder) if holder == user.id => return Ok(()),
        Some(_) => return Err(StoreError::Conflict),
        None if staged.contains(Table::User, &key)? => return Err(StoreError::Conflict),
        None => {}
    }
    if !still_stands(staged, actor)? {
        return Err(StoreError::Conflict);
    }
    staged.put(Table::User, key.clone(), user)?;
    staged.put(Table::Name, name, &user.id)?;
    if user.is_active_admin() {
        staged.mark(Table::Admin, key);
    }
    staged.audit(audit)
}

/// [`Store::update_user`](crate::store::Store::update_user).
pub(super) fn update(
    staged: &mut Staged<'_>,
    id: UserId,
    update: UserUpdate,
    audit: &[AuditEvent],
) -> Result<User> {
    let key = id.to_bytes().to_vec();
    let mut user: User = staged.record(Table::User, &key)?.ok_or(StoreError::NotFound)?;
    check(staged, &user, &update.expect)?;
    if update.change.adds_text() {
        staged.require_room()?;
    }
    let kept = match update.sessions {
        SessionsAfter::Keep | SessionsAfter::EndAll => None,
        SessionsAfter::EndAllBut(session) => Some(living(staged, &user, session)?),
    };
    let (before, was_admin) = (user.clone(), user.is_active_admin());
    let is_rebound =
        update.change.password_hash.is_some() && update.sessions == SessionsAfter::EndAll;
    update.change.apply(&mut user);
    if update.sessions != SessionsAfter::Keep {
        user.epoch = user.epoch.saturating_add(1);
    }
    if let Some(Filed { session, filed_at }) = kept {
        let session = Session { epoch: user.epoch, ..session };
        sessions::put(staged, &Filed { session, filed_at })?;
    }
    match (was_admin, user.is_active_admin()) {
        (true, false) => dismiss(staged, id)?,
        (false, true) => staged.mark(Table::Admin, key.clone()),
        _ => {}
    }
    if user != before {
        staged.put(Table::User, key, &user)?;
    }
    if is_rebound {
        attempts::lift(staged, id)?;
    }
    staged.audit(audit)?;
    Ok(user)
}

/// [`Store::delete_user`](crate::store::Store::delete_user).
pub(super) fn delete(
    staged: &mut Staged<'_>,
    id: UserId,
    expect: &Expect,
    audit: &[AuditEvent],
) -> Result<()> {
    let key = id.to_bytes().to_vec();
    let user: User = staged.record(Table::User, &key)?.ok_or(StoreError::NotFound)?;
    check(staged, &user, expect)?;
    if user.is_active_admin() {
        dismiss(staged, id)?;
    }
    staged.remove(Table::User, key.clone());
    staged.remove(Table::Name, user.username.as_str().as_bytes().to_vec());
    staged.remove(Table::Attempts, key.clone());
    staged.mark(Table::Deleted, key);
    staged.audit(audit)
}

/// Refuses a change of `user` that was decided by something else than what is stored.
fn check(staged: &Staged<'_>, user: &User, expect: &Expect) -> Result<()> {
    let holds = expect.hash.as_ref().is_none_or(|hash| *hash == user.password_hash)
        && expect.roles.as_ref().is_none_or(|roles| *roles == user.roles)
        && still_stands(staged, expect.actor.as_ref())?;
    if holds { Ok(()) } else { Err(StoreError::Conflict) }
}

/// Whether the one who asks still has the authority that the change was allowed by.
pub(super) fn still_stands(staged: &Staged<'_>, actor: Option<&Standing>) -> Result<bool> {
    let Some(actor) = actor else { return Ok(true) };
    let stored: Option<User> = staged.record(Table::User, &actor.id.to_bytes())?;
    Ok(stored.is_some_and(|stored| stored.standing() == *actor))
}

/// The session to carry over, unless it is dead already.
fn living(staged: &Staged<'_>, user: &User, session: SessionId) -> Result<Filed> {
    let key = super::keys::session(user.id, session);
    staged
        .record(Table::Session, &key)?
        .filter(|filed: &Filed| sessions::admits(user, &filed.session))
        .ok_or(StoreError::Conflict)
}

/// Strikes `id` off the administrators, unless it is the last.
fn dismiss(staged: &mut Staged<'_>, id: UserId) -> Result<()> {
    let key = id.to_bytes().to_vec();
    let two = staged.scan(Table::Admin, &Range::all(), 2)?;
    if two.iter().all(|(admin, _)| *admin == key) {
        return Err(StoreError::LastAdmin);
    }
    staged.remove(Table::Admin, key);
    Ok(())
}
