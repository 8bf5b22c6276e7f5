//! Loading a dump into a store that is new. It counts only once all of it is there: broken off anywhere,
//! the directory is good for nothing but doing it again.

use std::io::BufRead;
use std::path::PathBuf;

use super::aside::Aside;
use super::keys::{self, Table, meta};
use super::lease::{Beginning, Lease};
use super::open::{self, OpenError, SledSettings};
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::user::User;
use crate::store::dump::{Change, Contents, DumpError};
use crate::store::{SigningKeys, StoreError, StoredKey, codec};

/// How many records are loaded between two tellings.
const TELL_EVERY: u64 = 1000;

/// What a new store is to begin with.
pub struct Load<'a, R> {
    /// The dump, from its beginning.
    pub dump: R,
    /// What it was found to come to.
    pub contents: &'a Contents,
    /// New signing keys: a store with users and without keys would count as damaged.
    pub keys: Vec<StoredKey>,
    /// What is noted of it.
    pub audit: Vec<AuditEvent>,
}

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// There is a store already.
    #[error("{} holds data already; import into an empty directory", path.display())]
    Occupied {
        /// The data directory.
        path: PathBuf,
    },
    /// There is no making one.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The dump is not what it was when it was judged.
    #[error(transparent)]
    Dump(#[from] DumpError),
    /// A record cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes a store of a dump, and tells now and then how many records are loaded. Blocks.
///
/// No token from before lives on, although users keep their epochs: every token names a session, and there
/// is none here until somebody logs in, under an id that was never used.
///
/// # Errors
/// [`ImportError`]; what was begun then is refused by everything but another import.
pub fn import<R: BufRead>(
    settings: &SledSettings,
    load: Load<'_, R>,
    tell: &mut dyn FnMut(u64),
) -> Result<(), ImportError> {
    let (lock, manifest) = Lease::take(&settings.path)?;
    if manifest.is_some_and(|manifest| manifest.sealed) {
        return Err(ImportError::Occupied { path: settings.path.clone() });
    }
    let aside = open::begin(settings, Beginning::Import)?;
    let Load { dump, contents, keys, audit } = load;
    let mut records = 0_u64;
    contents.load(dump, |change| {
        records += 1;
        if records.is_multiple_of(TELL_EVERY) {
            tell(records);
        }
        write(&aside, &change)
    })?;
    for event in audit {
        write(&aside, &Change::Audit(event))?;
    }
    put(&aside, Table::Meta, meta::SIGNING_KEYS.to_vec(), &SigningKeys { version: 1, keys })?;
    let (db, manifest) = aside.switch()?;
    open::serve(settings, lock, db, manifest)?.finish();
    Ok(())
}

/// Writes a record with its entries in other tables.
fn write(aside: &Aside<'_>, change: &Change) -> Result<(), ImportError> {
    match change {
        Change::User(user) => write_user(aside, user),
        Change::Post(post) => {
            mark(aside, Table::Author, keys::author(post.author, post.id))?;
            put(aside, Table::Post, post.id.to_bytes().to_vec(), post)
        }
        Change::Audit(event) => put(aside, Table::Audit, event.id.to_bytes().to_vec(), event),
        Change::Removed(_) => Ok(()),
    }
}

/// Writes a user with its entries in other tables.
fn write_user(aside: &Aside<'_>, user: &User) -> Result<(), ImportError> {
    let key = user.id.to_bytes().to_vec();
    put(aside, Table::Name, user.username.as_str().as_bytes().to_vec(), &user.id)?;
    if user.is_active_admin() {
        mark(aside, Table::Admin, key.clone())?;
    }
    put(aside, Table::User, key, user)
}

/// Writes `record` at `key`.
fn put<T: serde::Serialize>(
    aside: &Aside<'_>,
    table: Table,
    key: Vec<u8>,
    record: &T,
) -> Result<(), ImportError> {
    let value = codec::encode(table.name(), &key, record)?;
    Ok(aside.write(table, (key, value))?)
}

/// Writes `key` into a table that holds nothing else.
fn mark(aside: &Aside<'_>, table: Table, key: Vec<u8>) -> Result<(), ImportError> {
    Ok(aside.write(table, (key, Vec::new()))?)
}
