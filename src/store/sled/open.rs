//! Opening: from a data directory, whatever state it is in, to the database that serves, or to the reason
//! why there is none.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ::sled::Db;

use super::aside::Aside;
use super::database::{Database, Durability};
use super::lease::{Beginning, Lease, Manifest};
use super::migrate;
use super::recover::{Purpose, recover, tighten};
use super::rewrite::rewrite;
use super::tally::Tally;
use crate::random::{self, SystemRandom};
use crate::store::codec::SCHEMA_VERSION;

/// How to open the store.
#[derive(Clone, Debug)]
pub struct SledSettings {
    /// The data directory.
    pub path: PathBuf,
    /// How much memory cached pages may take, roughly.
    pub cache_bytes: u64,
    /// What an acknowledgement waits for.
    pub durability: Durability,
    /// Below this much free space, steps that grow the store are `DiskFull`.
    pub min_free_bytes: u64,
}

/// Why the store cannot be opened. What the database holds is left as it was, but for a log that is cut off
/// after a kill, which sled may shorten before that shows; a migration may have left the dump that precedes it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves from this directory.
    #[error("{} is in use by {}", path.display(), holder_name(*holder))]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// The process that holds it, if it left its number.
        holder: Option<u32>,
    },
    /// The directory belongs to another user.
    #[error(
        "{path} belongs to user {owner}: run keystile by sudo -u '#{owner}', or first chown -R {user} {path}",
        path = path.display()
    )]
    Owner {
        /// The data directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// There is something in the directory, and it is not a store.
    #[error("{} is not empty and holds no keystile database: there is no manifest.json in it", path.display())]
    Foreign {
        /// The data directory.
        path: PathBuf,
    },
    /// Data that was acknowledged is not there.
    #[error("the database in {} is damaged: {reason}; restore it from a backup", path.display())]
    Damaged {
        /// The data directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no database yet, where one is to be worked on.
    #[error("there is no data in {}; name it with --data", path.display())]
    Empty {
        /// The data directory.
        path: PathBuf,
    },
    /// What an import was to bring is not there.
    #[error("an import into {} was broken off; repeat it, or empty the directory", path.display())]
    BrokenImport {
        /// The data directory.
        path: PathBuf,
    },
    /// The disk cannot hold the database twice.
    #[error("rewriting the database in {} takes {needed} bytes, and {free} are free", path.display())]
    Room {
        /// The data directory.
        path: PathBuf,
        /// How many bytes a copy may take.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// A newer release has written it.
    #[error("the database in {} has schema {found}, this release knows {SCHEMA_VERSION}", path.display())]
    Newer {
        /// The data directory.
        path: PathBuf,
        /// The schema it has.
        found: u32,
    },
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// What was to be opened, read or written.
        path: PathBuf,
        /// Why it was not.
        source: io::Error,
    },
    /// There is no randomness to name the instance by.
    #[error(transparent)]
    Random(#[from] random::RandomError),
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// What sled says of the database in `path`.
    pub(super) fn sled(path: &Path, error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(source) => Self::io(path, source),
            other => Self::damaged(path, &other.to_string()),
        }
    }

    pub(super) fn damaged(path: &Path, reason: &str) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_owned() }
    }
}

fn holder_name(holder: Option<u32>) -> String {
    holder.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

/// Opens the database; whether this is its first start.
pub(super) fn open(settings: &SledSettings) -> Result<(Database, bool), OpenError> {
    let path = settings.path.as_path();
    let (lock, manifest) = Lease::take(path)?;
    let completed = manifest.map(|manifest| manifest.completed(path)).transpose()?.flatten();
    let is_first_start = completed.is_none();
    let (db, manifest) = match completed {
        Some(manifest) => reopen(settings, &manifest)?,
        None => begin(settings, Beginning::FirstStart)?.switch()?,
    };
    let database = serve(settings, lock, db, manifest)?;
    Ok((database, is_first_start))
}

/// Opens the database if there is one.
pub(super) fn open_existing(settings: &SledSettings) -> Result<Database, OpenError> {
    let (lock, manifest) = Lease::take_completed(&settings.path)?;
    let (db, manifest) = reopen(settings, &manifest)?;
    serve(settings, lock, db, manifest)
}

/// Begins the first database, once more if one was not sealed: nothing was acknowledged of it.
pub(super) fn begin(settings: &SledSettings, beginning: Beginning) -> Result<Aside<'_>, OpenError> {
    let path = settings.path.as_path();
    let instance = u128::from_be_bytes(random::bytes(&SystemRandom)?);
    let unsealed = Manifest { beginning, ..Manifest::unsealed(format!("{instance:032x}")) };
    // What stands in the directory is a store from now on, though one that was not completed.
    unsealed.replace(path)?;
    let purpose = match beginning {
        Beginning::FirstStart => Purpose::Serve,
        Beginning::Import => Purpose::Fill,
    };
    Aside::begin(settings, unsealed, purpose)
}

/// Every later start: the database in the present schema.
fn reopen(settings: &SledSettings, manifest: &Manifest) -> Result<(Db, Manifest), OpenError> {
    if manifest.schema == SCHEMA_VERSION {
        return recover(settings, manifest, Purpose::Serve);
    }
    let mut tell = |entries| tracing::info!(entries, "still bringing the database over");
    let (next, _) = rewrite(settings, manifest, &mut tell)?;
    next.replace(&settings.path)?;
    migrate::conclude(&settings.path, manifest.schema);
    recover(settings, &next, Purpose::Serve)
}

/// Serves from `db`, and lets go of what stands beside it.
pub(super) fn serve(
    settings: &SledSettings,
    lock: File,
    db: Db,
    manifest: Manifest,
) -> Result<Database, OpenError> {
    let path = settings.path.as_path();
    let directory = manifest.directory;
    let finish = || {
        directory.remove_others(path);
        tighten(&directory.path(path))?;
        let file = File::open(directory.file(path))?;
        let tally = Tally::resume(&db, &directory.path(path), &manifest)?;
        let lease = Lease::keep(path.to_owned(), lock, manifest);
        Database::new(db, file, tally, settings.durability, lease)
    };
    finish().map_err(|error| OpenError::sled(path, error))
}
