//! Steps on the attempts at accounts. The rules are the domain's; here they are read and written as one.

use super::database::Database;
use super::keys::{Table, meta};
use super::staged::Staged;
use crate::auth::model::attempts::{Account, Attempt, Attempts, Outcome, Permit};
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::UserId;
use crate::clock::Timestamp;
use crate::store::{Result, StoreError};

/// [`Store::attempts`](crate::store::Store::attempts).
pub(super) fn read(database: &Database, account: Account) -> Result<Attempts> {
    Ok(database.record(Table::Attempts, &key(account))?.unwrap_or_default())
}

/// [`Store::throttle_reserve`](crate::store::Store::throttle_reserve).
pub(super) fn reserve(
    staged: &mut Staged<'_>,
    attempt: &Attempt,
    now: Timestamp,
) -> Result<Permit> {
    let mut attempts = find(staged, attempt.account)?;
    let permit = attempts.reserve(attempt.source, &attempt.limits, now);
    if matches!(permit, Permit::Go | Permit::Locked) {
        put(staged, attempt.account, &attempts)?;
    }
    Ok(permit)
}

/// [`Store::throttle_settle`](crate::store::Store::throttle_settle).
pub(super) fn settle(
    staged: &mut Staged<'_>,
    attempt: &Attempt,
    outcome: Outcome,
    now: Timestamp,
    on_lock: &[AuditEvent],
) -> Result<bool> {
    let mut attempts = find(staged, attempt.account)?;
    let is_locked_now = attempts.settle(attempt.source, outcome, &attempt.limits, now);
    put(staged, attempt.account, &attempts)?;
    if is_locked_now {
        staged.audit(on_lock)?;
    }
    Ok(is_locked_now)
}

/// [`Store::throttle_unlock`](crate::store::Store::throttle_unlock).
pub(super) fn unlock(staged: &mut Staged<'_>, user: UserId, audit: &[AuditEvent]) -> Result<()> {
    if !staged.contains(Table::User, &user.to_bytes())? {
        return Err(StoreError::NotFound);
    }
    lift(staged, user)?;
    staged.audit(audit)
}

/// Lifts the lock of `user`, and every wait, in the step of whatever does so.
pub(super) fn lift(staged: &mut Staged<'_>, user: UserId) -> Result<()> {
    let account = Account::User(user);
    let mut attempts = find(staged, account)?;
    attempts.unlock();
    put(staged, account, &attempts)
}

/// [`Store::throttle_key`](crate::store::Store::throttle_key).
pub(super) fn name_key(staged: &mut Staged<'_>, fresh: [u8; 32]) -> Result<[u8; 32]> {
    if let Some(stored) = staged.record(Table::Meta, meta::NAME_KEY)? {
        return Ok(stored);
    }
    staged.put(Table::Meta, meta::NAME_KEY.to_vec(), &fresh)?;
    Ok(fresh)
}

/// The key of an account: the user's id, or the shorter number of a record that strangers share.
pub(super) fn key(account: Account) -> Vec<u8> {
    match account {
        Account::User(id) => id.to_bytes().to_vec(),
        Account::Stranger(number) => number.to_be_bytes().to_vec(),
    }
}

fn find(staged: &Staged<'_>, account: Account) -> Result<Attempts> {
    Ok(staged.record(Table::Attempts, &key(account))?.unwrap_or_default())
}

/// Writes what is remembered, unless the user was deleted meanwhile: nothing of it may stay.
fn put(staged: &mut Staged<'_>, account: Account, attempts: &Attempts) -> Result<()> {
    if let Account::User(id) = account
        && !staged.contains(Table::User, &id.to_bytes())?
    {
        return Ok(());
    }
    staged.put(Table::Attempts, key(account), attempts)
}
