//! Opening: the checks that keep a lost or foreign database from coming up as a fresh one, and recovery.
//!
//! Whatever can be refused is refused before sled sees it, since sled repairs by discarding.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::sled::Db;
use serde::{Deserialize, Serialize};

use super::database::{Database, Durability};
use super::keys::{Table, meta};
use super::lease::{Lease, Manifest, database_directory, database_file, sync_directory};
use crate::random::{self, SystemRandom};
use crate::store::codec::{self, SCHEMA_VERSION};

/// How often sled's own thread flushes and collects garbage; it collects nowhere else.
const FLUSH_EVERY_MS: u64 = 500;
/// The length below which sled never truncates its file while it runs: its first segment stays.
const SEGMENT_BYTES: u64 = 512 * 1024;
/// What each segment of sled's file starts with.
const SEGMENT_HEADER_BYTES: u64 = 20;
/// And what that starts with.
const SEGMENT_CHECKSUM_BYTES: u64 = 4;

/// How to open the store.
#[derive(Clone, Debug)]
pub struct SledSettings {
    /// The data directory.
    pub path: PathBuf,
    /// How much of the database sled keeps in memory, counted as on disk.
    pub cache_bytes: u64,
    /// What an acknowledgement waits for.
    pub durability: Durability,
    /// Below this much free space, steps that grow the store are `DiskFull`.
    pub min_free_bytes: u64,
}

/// Why the store cannot be opened. The database is left as it was found.
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
    #[error("{} is not empty and holds no keystile database", path.display())]
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

    pub(super) fn damaged(path: &Path, reason: &str) -> Self {
        Self::Damaged { path: path.to_owned(), reason: reason.to_owned() }
    }
}

fn holder_name(holder: Option<u32>) -> String {
    holder.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

/// What the database itself says of the instance; it must agree with the manifest.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Sentinel {
    instance: String,
    schema: u32,
}

/// Opens the database; whether this is its first start.
pub(super) fn open(settings: &SledSettings) -> Result<(Database, bool), OpenError> {
    let path = settings.path.as_path();
    let (lock, manifest) = Lease::take(path)?;
    if let Some(found) = manifest.as_ref().map(|found| found.schema).filter(|&s| s > SCHEMA_VERSION)
    {
        return Err(OpenError::Newer { path: path.to_owned(), found });
    }
    match manifest.filter(|manifest| manifest.sealed) {
        Some(manifest) => reopen(settings, lock, manifest).map(|database| (database, false)),
        None => initialise(settings, lock).map(|database| (database, true)),
    }
}

/// The first start, or one more after a first start that broke off before anything was acknowledged.
fn initialise(settings: &SledSettings, lock: File) -> Result<Database, OpenError> {
    let path = settings.path.as_path();
    let directory = database_directory(path);
    let instance = u128::from_be_bytes(random::bytes(&SystemRandom)?);
    let unsealed = Manifest::unsealed(format!("{instance:032x}"));
    let prepare = || {
        unsealed.write(path)?;
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::DirBuilder::new().mode(0o700).create(&directory)
    };
    prepare().map_err(|error| OpenError::io(&directory, error))?;

    let db = start(settings).map_err(|failure| failure.into_error(path))?;
    let sentinel = Sentinel { instance: unsealed.instance.clone(), schema: SCHEMA_VERSION };
    let sentinel = codec::encode(Table::Meta.name(), meta::INSTANCE, &sentinel)
        .map_err(|error| OpenError::damaged(path, &error.to_string()))?;
    let file = File::open(database_file(path)).map_err(|error| OpenError::io(path, error))?;
    let seal = || {
        db.open_tree(Table::Meta.name())?.insert(meta::INSTANCE, sentinel)?;
        let sealed = Manifest { sealed: true, ..unsealed };
        let lease = Lease::keep(path.to_owned(), lock, sealed.clone());
        let database = Database::new(db, file, settings.durability, lease)?;
        database.make_durable()?;
        // sled never syncs these itself; a power cut would leave a torn `conf` that does not open again.
        tighten(&directory)?;
        for name in ["db", "conf"] {
            File::open(directory.join(name))?.sync_all()?;
        }
        sync_directory(&directory)?;
        let bytes_min = fs::metadata(database_file(path))?.len();
        Manifest { bytes_min, ..sealed }.write(path)?;
        Ok(database)
    };
    seal().map_err(|error: ::sled::Error| OpenError::io(path, error.into()))
}

/// Every later start.
fn reopen(settings: &SledSettings, lock: File, manifest: Manifest) -> Result<Database, OpenError> {
    let path = settings.path.as_path();
    inspect(path, &manifest)?;
    let db = recover(settings)?;
    verify(path, &db, &manifest)?;
    let bytes_min = manifest.bytes_min.min(SEGMENT_BYTES);
    let manifest = Manifest { bytes_min, ..manifest };
    let finish = || {
        manifest.write(path)?;
        tighten(&database_directory(path))?;
        let file = File::open(database_file(path))?;
        let lease = Lease::keep(path.to_owned(), lock, manifest);
        Database::new(db, file, settings.durability, lease)
    };
    finish().map_err(|error: ::sled::Error| OpenError::io(path, error.into()))
}

/// Looks at the files only: what is missing or too short here would come up empty.
fn inspect(path: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    let directory = database_directory(path);
    for name in ["conf", "db"] {
        if !directory.join(name).is_file() {
            return Err(OpenError::damaged(path, &format!("db/{name} is missing")));
        }
    }
    let file = database_file(path);
    let length = fs::metadata(&file).map_err(|error| OpenError::io(&file, error))?.len();
    if length < manifest.bytes_min {
        let reason = format!("db/db has {length} bytes of at least {}", manifest.bytes_min);
        return Err(OpenError::damaged(path, &reason));
    }
    if !is_log(&file, length).map_err(|error| OpenError::io(&file, error))? {
        return Err(OpenError::damaged(path, "db/db is not a database"));
    }
    Ok(())
}

/// Whether any segment of the file starts as sled's do: after the checksum stands the segment's number in
/// the log, a multiple of its length. sled would take a file without one for an empty log, and clear it.
fn is_log(file: &Path, length: u64) -> io::Result<bool> {
    /// What sled combines the number with.
    const MASK: u64 = 0x7FFF_FFFF_FFFF_FFFF;
    let file = File::open(file)?;
    let mut number = [0; 8];
    let starts = (0..).map(|index| index * SEGMENT_BYTES);
    for start in starts.take_while(|start| start + SEGMENT_HEADER_BYTES <= length) {
        file.read_exact_at(&mut number, start + SEGMENT_CHECKSUM_BYTES)?;
        if (u64::from_le_bytes(number) ^ MASK).is_multiple_of(SEGMENT_BYTES) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The sentinel was written before the first acknowledgement: a database without it has lost data.
fn verify(path: &Path, db: &Db, manifest: &Manifest) -> Result<(), OpenError> {
    let io = |error: ::sled::Error| OpenError::io(path, error.into());
    let lost = || OpenError::damaged(path, "what was written is no longer in it");
    if !db.tree_names().iter().any(|name| name == Table::Meta.name().as_bytes()) {
        return Err(lost());
    }
    let tree = db.open_tree(Table::Meta.name()).map_err(io)?;
    let bytes = tree.get(meta::INSTANCE).map_err(io)?.ok_or_else(lost)?;
    let sentinel: Sentinel = codec::decode(Table::Meta.name(), meta::INSTANCE, &bytes)
        .map_err(|error| OpenError::damaged(path, &error.to_string()))?;
    if sentinel.schema > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: sentinel.schema });
    }
    if sentinel.instance != manifest.instance {
        return Err(OpenError::damaged(path, "it belongs to another manifest.json"));
    }
    Ok(())
}

/// Why sled did not open.
enum StartFailure {
    Sled(::sled::Error),
    Panic,
}

impl StartFailure {
    fn into_error(self, path: &Path) -> OpenError {
        match self {
            Self::Sled(::sled::Error::Io(error)) => OpenError::io(path, error),
            Self::Sled(error) => OpenError::damaged(path, &error.to_string()),
            Self::Panic => OpenError::damaged(path, "it cannot be replayed"),
        }
    }
}

/// Opens sled; a snapshot that a killed start has left is dropped, and one that is bad is done without.
fn recover(settings: &SledSettings) -> Result<Db, OpenError> {
    let path = settings.path.as_path();
    let io = |error| OpenError::io(path, error);
    for unfinished in snapshots(path).map_err(io)?.iter().filter(|name| is_unfinished(name)) {
        fs::remove_file(unfinished).map_err(io)?;
    }
    let failure = match start(settings) {
        Ok(db) => return Ok(db),
        Err(failure) => failure,
    };
    let bad = snapshots(path).map_err(io)?;
    let is_corrupt = matches!(
        failure,
        StartFailure::Panic | StartFailure::Sled(::sled::Error::Corruption { .. })
    );
    if !is_corrupt || bad.is_empty() {
        return Err(failure.into_error(path));
    }
    let aside: Vec<_> =
        bad.iter().filter_map(|from| Some((from, path.join(aside_name(from)?)))).collect();
    for (from, to) in &aside {
        tracing::error!(snapshot = %from.display(), to = %to.display(), "moved a bad snapshot aside");
        fs::rename(from, to).map_err(io)?;
    }
    start(settings).map_err(|failure| {
        for (from, to) in &aside {
            if let Err(error) = fs::rename(to, from) {
                tracing::error!(%error, snapshot = %to.display(), "a snapshot stays moved aside");
            }
        }
        failure.into_error(path)
    })
}

fn start(settings: &SledSettings) -> Result<Db, StartFailure> {
    let config = ::sled::Config::new()
        .path(database_directory(&settings.path))
        .cache_capacity(settings.cache_bytes)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => opened.map_err(StartFailure::Sled),
        Err(_) => Err(StartFailure::Panic),
    }
}

fn snapshots(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(database_directory(path))? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b"snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_unfinished(snapshot: &Path) -> bool {
    snapshot.extension().is_some_and(|extension| extension == "generating")
}

fn aside_name(snapshot: &Path) -> Option<String> {
    Some(format!("bad-{}", snapshot.file_name()?.to_str()?))
}

/// Takes from others what a loose umask gave them.
fn tighten(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        let mode = if found.is_dir() { 0o700 } else { 0o600 };
        if found.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
