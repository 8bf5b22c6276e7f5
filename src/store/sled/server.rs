//! Steps on what belongs to the server itself: its signing keys and its clock.

use super::keys::{Table, meta};
use super::staged::Staged;
use crate::auth::model::audit::AuditEvent;
use crate::clock::Timestamp;
use crate::store::{Result, SigningKeys, StoreError, StoredKey};

/// [`Store::replace_signing_keys`](crate::store::Store::replace_signing_keys).
pub(super) fn replace_keys(
    staged: &mut Staged<'_>,
    expected_version: u64,
    keys: Vec<StoredKey>,
    audit: &[AuditEvent],
) -> Result<u64> {
    let stored: Option<SigningKeys> = staged.record(Table::Meta, meta::SIGNING_KEYS)?;
    let stored = stored.unwrap_or_default();
    let version = expected_version.saturating_add(1);
    if stored.version == version && stored.keys == keys {
        return Ok(version); // the same step again, its answer was lost
    }
    if stored.version != expected_version {
        return Err(StoreError::Conflict);
    }
    staged.put(Table::Meta, meta::SIGNING_KEYS.to_vec(), &SigningKeys { version, keys })?;
    staged.audit(audit)?;
    Ok(version)
}

/// [`Store::heartbeat`](crate::store::Store::heartbeat): written even if the mark stays, to try the disk.
pub(super) fn heartbeat(staged: &mut Staged<'_>, mark: Timestamp) -> Result<()> {
    let stored: Option<Timestamp> = staged.record(Table::Meta, meta::CLOCK)?;
    let mark = stored.map_or(mark, |stored| stored.max(mark));
    staged.put(Table::Meta, meta::CLOCK.to_vec(), &mark)
}
