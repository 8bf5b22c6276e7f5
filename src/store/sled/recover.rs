//! What is done before a database that was there already is trusted: files that are missing or cut off are
//! refused, sled recovers what it can, and what it holds must be what the manifest says.
//!
//! Whatever can be refused is refused before sled sees it, since sled repairs by discarding.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::sled::Db;
use serde::{Deserialize, Serialize};

use super::keys::{Table, meta};
use super::lease::{Manifest, settled_length};
use super::log;
use super::loose;
use super::open::{OpenError, SledSettings};
use super::segments::SEGMENT_BYTES;
use super::snapshot;
use super::tail;
use super::tally::{self, Noted};
use crate::store::codec::{self, SCHEMA_VERSION};

/// What is wrong with a database whose instance is not the manifest's.
const FOREIGN: &str = "it belongs to another manifest.json";

/// sled weighs a cached page by its size on disk; in memory it takes about this many times as much, as measured
/// with a million sessions.
const MEMORY_PER_CACHED_BYTE: u64 = 4;

/// What the database itself says of the instance; it must agree with the manifest.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sentinel {
    /// The manifest's instance.
    pub(super) instance: String,
    /// The version of the records.
    pub(super) schema: u32,
}

/// What a database is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be changed all the time.
    Serve,
    /// To be filled as fast as can be.
    Fill,
    /// To be read once.
    Copy,
}

impl Purpose {
    /// How often, in ms, sled's own thread flushes and collects garbage. Little is collected elsewhere, and the less
    /// the longer it rests: under 4,000 refreshes a second the file grows on and on with 500 ms, more slowly
    /// with 200, and stays below twice what it holds with 100.
    const fn flush_every_ms(self) -> Option<u64> {
        match self {
            Self::Serve => Some(100),
            Self::Fill => Some(10),
            Self::Copy => None,
        }
    }
}

/// Opens the database that `manifest` tells of; that, as it has to stand while the database is open, comes
/// with it. If it is refused, what it holds is left as [`OpenError`] says.
pub(super) fn recover(
    settings: &SledSettings,
    manifest: &Manifest,
    purpose: Purpose,
) -> Result<(Db, Manifest), OpenError> {
    let path = settings.path.as_path();
    let directory = manifest.directory.path(path);
    let file = manifest.directory.file(path);
    let io = |error| OpenError::io(&file, error);
    tail::put_back(&directory).map_err(io)?;
    inspect(path, manifest)?;
    let (promised, loose) = promised(path, manifest)?;
    tail::keep(&directory).map_err(io)?;
    loose::clear(&file, &loose).map_err(io)?;
    // sled may shorten the file as soon as it has it, and a kill must not make that look like a loss.
    let loosened =
        Manifest { bytes_min: manifest.bytes_min.min(SEGMENT_BYTES), ..manifest.clone() };
    loosened.replace(path)?;
    let opened = replay(settings, &directory, purpose).and_then(|db| {
        verify(path, &db, manifest, promised)?;
        Ok(db)
    });
    match opened {
        Ok(db) => {
            tail::let_go(&directory).map_err(io)?;
            Ok((db, loosened))
        }
        Err(error) => {
            if let Err(error) = undo(path, manifest) {
                tracing::error!(%error, "the database is put back as it was at the next start");
            }
            Err(error)
        }
    }
}

/// Leaves the database as it was before an opening that failed.
fn undo(path: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    let file = manifest.directory.file(path);
    let io = |error| OpenError::io(&file, error);
    // sled shortens the file in the background, even after it has failed.
    if settled_length(&file).is_none() {
        return Err(io(io::ErrorKind::ResourceBusy.into()));
    }
    tail::put_back(&manifest.directory.path(path)).map_err(io)?;
    if length(&file) >= Some(manifest.bytes_min) {
        manifest.replace(path)?;
    }
    Ok(())
}

/// Opens sled in `directory`, where it makes a database if there is none.
pub(super) fn start(
    settings: &SledSettings,
    directory: &Path,
    purpose: Purpose,
) -> Result<Db, StartFailure> {
    let config = ::sled::Config::new()
        .path(directory)
        .cache_capacity(settings.cache_bytes / MEMORY_PER_CACHED_BYTE)
        .flush_every_ms(purpose.flush_every_ms());
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(opened) => opened.map_err(StartFailure::Sled),
        Err(_) => Err(StartFailure::Panic),
    }
}

/// Why sled did not open.
pub(super) enum StartFailure {
    /// It says why.
    Sled(::sled::Error),
    /// It panicked.
    Panic,
}

impl StartFailure {
    /// The error of opening the store in `path`.
    pub(super) fn into_error(self, path: &Path) -> OpenError {
        match self {
            Self::Sled(error) => OpenError::sled(path, error),
            Self::Panic => OpenError::damaged(path, "it cannot be replayed"),
        }
    }
}

/// Takes from others what a loose umask gave them.
pub(super) fn tighten(directory: &Path) -> io::Result<()> {
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

/// Looks at the files only, before anything is touched: what is missing or too short here would come up empty.
fn inspect(path: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    let name = manifest.directory;
    for part in ["conf", "db"] {
        if !name.path(path).join(part).is_file() {
            return Err(OpenError::damaged(path, &format!("{name}/{part} is missing")));
        }
    }
    let file = name.file(path);
    let length = fs::metadata(&file).map_err(|error| OpenError::io(&file, error))?.len();
    if length < manifest.bytes_min {
        let reason = format!("{name}/db has {length} bytes of at least {}", manifest.bytes_min);
        return Err(OpenError::damaged(path, &reason));
    }
    Ok(())
}

/// How many commits were answered for all that is known; refused if sled would not recover all of them. With
/// it, where in the file the segments stand that are to be cleared before.
fn promised(path: &Path, manifest: &Manifest) -> Result<(u64, Vec<u64>), OpenError> {
    let name = manifest.directory;
    let directory = name.path(path);
    let io = |error| OpenError::io(&name.file(path), error);
    let promised = match tally::noted(&directory, manifest).map_err(io)? {
        Noted::Commits(promised) => promised,
        Noted::Nothing => {
            tracing::warn!(
                "the count of commits is not there: a loss of the last ones would not be seen"
            );
            0
        }
        Noted::Foreign => return Err(OpenError::damaged(path, FOREIGN)),
    };
    let inspected = log::inspect(&directory, manifest, promised).map_err(io)?;
    let loose =
        inspected.map_err(|damage| OpenError::damaged(path, &format!("{name}/db: {damage}")))?;
    Ok((promised, loose))
}

/// The sentinel was written before the first acknowledgement: a database without it has lost data.
fn verify(path: &Path, db: &Db, manifest: &Manifest, promised: u64) -> Result<(), OpenError> {
    let sled = |error| OpenError::sled(path, error);
    let lost = || OpenError::damaged(path, "what was written is no longer in it");
    if !db.tree_names().iter().any(|name| name == Table::Meta.name().as_bytes()) {
        return Err(lost());
    }
    let tree = db.open_tree(Table::Meta.name()).map_err(sled)?;
    let bytes = tree.get(meta::INSTANCE).map_err(sled)?.ok_or_else(lost)?;
    let sentinel: Sentinel = codec::decode(Table::Meta.name(), meta::INSTANCE, &bytes)
        .map_err(|error| OpenError::damaged(path, &error.to_string()))?;
    if sentinel.schema > SCHEMA_VERSION {
        return Err(OpenError::Newer { path: path.to_owned(), found: sentinel.schema });
    }
    if sentinel.instance != manifest.instance {
        return Err(OpenError::damaged(path, FOREIGN));
    }
    if sentinel.schema != manifest.schema {
        return Err(OpenError::damaged(path, "manifest.json tells of another schema"));
    }
    if tally::held(db, manifest).map_err(sled)? < promised {
        return Err(lost());
    }
    Ok(())
}

fn length(file: &Path) -> Option<u64> {
    Some(fs::metadata(file).ok()?.len())
}

/// Opens sled; a snapshot that a killed start has left is dropped, and one that is bad is done without.
fn replay(settings: &SledSettings, directory: &Path, purpose: Purpose) -> Result<Db, OpenError> {
    let path = settings.path.as_path();
    let io = |error| OpenError::io(path, error);
    for unfinished in snapshots(directory).map_err(io)?.iter().filter(|name| is_unfinished(name)) {
        fs::remove_file(unfinished).map_err(io)?;
    }
    let failure = match start(settings, directory, purpose) {
        Ok(db) => return Ok(db),
        Err(failure) => failure,
    };
    let bad = snapshots(directory).map_err(io)?;
    let is_corrupt = matches!(
        failure,
        StartFailure::Panic | StartFailure::Sled(::sled::Error::Corruption { .. })
    );
    // A sound snapshot is not what is wrong: without it, what is would be taken for the end of the log.
    if !is_corrupt || bad.is_empty() || snapshot::log_end(directory).map_err(io)? != 0 {
        return Err(failure.into_error(path));
    }
    let aside: Vec<_> =
        bad.iter().filter_map(|from| Some((from, path.join(aside_name(from)?)))).collect();
    for (from, to) in &aside {
        tracing::error!(snapshot = %from.display(), to = %to.display(), "moved a bad snapshot aside");
        fs::rename(from, to).map_err(io)?;
    }
    start(settings, directory, purpose).map_err(|failure| {
        for (from, to) in &aside {
            if let Err(error) = fs::rename(to, from) {
                tracing::error!(%error, snapshot = %to.display(), "a snapshot stays moved aside");
            }
        }
        failure.into_error(path)
    })
}

fn snapshots(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
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
