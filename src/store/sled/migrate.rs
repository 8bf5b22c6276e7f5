//! From the form in which an older release wrote to the present one. Each step says what it converts; the
//! rewriting and the switch are the same for all.

use ::sled::Db;

use super::database::Entry;
use super::filed::Filed;
use super::keys::Table;
use super::lease::Manifest;
use super::open::{OpenError, SledSettings};
use super::rewrite::rewrite;
use crate::auth::model::session::Session;
use crate::store::StoreError;
use crate::store::codec::{self, SCHEMA_VERSION};

/// Brings the database that `manifest` tells of to the present schema, in one aside. The old one counts
/// until the new one's manifest is written: broken off anywhere, it starts over.
pub(super) fn migrate(
    settings: &SledSettings,
    old: Db,
    manifest: &Manifest,
) -> Result<(Db, Manifest), OpenError> {
    let (from, to) = (manifest.schema, SCHEMA_VERSION);
    tracing::warn!(from, to, "bringing the database to the schema of this release");
    let mut tell = |entries| tracing::info!(entries, "still bringing the database over");
    let (new, next, entries) = rewrite(settings, &old, manifest, &mut convert, &mut tell)?;
    drop(old);
    tracing::info!(entries, "the database has the schema of this release");
    Ok((new, next))
}

/// From schema 1 to 2: a session says where its expiry entry stands, which was at its deadline always.
///
/// One that cannot be read stays as it is, to be denied and swept as it was.
fn convert(table: Table, (key, value): Entry) -> Entry {
    if table != Table::Session {
        return (key, value);
    }
    match filed(&key, &value) {
        Ok(value) => (key, value),
        Err(error) => {
            tracing::error!(%error, "a record cannot be brought over");
            (key, value)
        }
    }
}

fn filed(key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let name = Table::Session.name();
    let session: Session = codec::decode(name, key, value)?;
    codec::encode(name, key, &Filed::new(session))
}
