//! The data directory: whose it is, who holds it now, and the manifest that says what it holds.
//!
//! Everything here stands outside sled's own directory, and nothing here knows sled: this is what a lost,
//! truncated or foreign database is recognised by.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use super::directory::DirectoryName;
use super::open::OpenError;
use crate::store::codec::SCHEMA_VERSION;

/// Refuses to open a link.
const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();
const LOCK: &str = "keystile.lock";
const MANIFEST: &str = "manifest.json";
const MANIFEST_NEW: &str = "manifest.json.new";
/// What may stand in a directory before its first manifest: ours, and what a fresh volume brings.
const BEFORE_FIRST_START: [&str; 3] = [LOCK, MANIFEST_NEW, "lost+found"];

/// What the data directory says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Which instance it belongs to; the database says the same.
    pub(super) instance: String,
    /// The version of what stands in it.
    pub(super) schema: u32,
    /// Whether its beginning was completed: nothing was acknowledged before.
    pub(super) sealed: bool,
    /// The database file was never shorter since; a shorter one was cut off.
    pub(super) bytes_min: u64,
    /// Where the database stands; the first releases did not say, and had but one.
    #[serde(default)]
    pub(super) directory: DirectoryName,
    /// What has begun it; the first releases did not say, and had but one way.
    #[serde(default)]
    pub(super) beginning: Beginning,
}

/// What a database is begun by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Beginning {
    /// A first start; one that was broken off is begun again.
    #[default]
    FirstStart,
    /// An import; one that was broken off must not come up empty.
    Import,
}

/// Holds the data directory until it is dropped.
pub(super) struct Lease {
    path: PathBuf,
    manifest: Manifest,
    is_clean: AtomicBool,
    /// The lock goes with it.
    _lock: File,
}

impl Lease {
    /// Makes the directory if need be, makes sure that it is ours, and takes it.
    ///
    /// There is no manifest in a directory that is new.
    pub(super) fn take(path: &Path) -> Result<(File, Option<Manifest>), OpenError> {
        create(path)?;
        let found = fs::metadata(path).map_err(|error| OpenError::io(path, error))?;
        let user = rustix::process::geteuid().as_raw();
        if found.uid() != user {
            return Err(OpenError::Owner { path: path.to_owned(), owner: found.uid(), user });
        }
        // Looked at before the lock, so as to leave no lock file in a stranger's directory; and again
        // under it, since another process may have made its first start meanwhile.
        let foreign = || OpenError::Foreign { path: path.to_owned() };
        if !is_ours(path) && !is_vacant(path)? {
            return Err(foreign());
        }
        let lock = lock(path)?;
        let manifest = Manifest::read(path)?;
        if let Some(found) =
            manifest.as_ref().map(|found| found.schema).filter(|&s| s > SCHEMA_VERSION)
        {
            return Err(OpenError::Newer { path: path.to_owned(), found });
        }
        if manifest.is_none() {
            if !is_vacant(path)? {
                return Err(foreign());
            }
            keep_name(path)?;
        }
        if found.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "the data directory was open to others, it is 0700 now");
            fs::set_permissions(path, fs::Permissions::from_mode(0o700))
                .map_err(|error| OpenError::io(path, error))?;
        }
        Ok((lock, manifest))
    }

    /// Takes a directory in which a store was completed, and leaves nothing in one where none was.
    pub(super) fn take_completed(path: &Path) -> Result<(File, Manifest), OpenError> {
        let empty = || OpenError::Empty { path: path.to_owned() };
        if !is_ours(path) && (!path.exists() || is_vacant(path)?) {
            return Err(empty());
        }
        let (lock, manifest) = Self::take(path)?;
        match manifest {
            Some(manifest) => Ok((lock, manifest.completed(path)?.ok_or_else(empty)?)),
            None => Err(empty()),
        }
    }

    /// Keeps what was taken, with what the manifest says by now.
    pub(super) const fn keep(path: PathBuf, lock: File, manifest: Manifest) -> Self {
        Self { path, manifest, is_clean: AtomicBool::new(false), _lock: lock }
    }

    /// Says that the end to come is an orderly one.
    pub(super) fn mark_clean(&self) {
        self.is_clean.store(true, Ordering::Release);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.is_clean.load(Ordering::Acquire) {
            return;
        }
        // Only once the database is let go by everybody is its length the last one.
        if let Some(length) = settled_length(&self.manifest.directory.file(&self.path)) {
            let manifest = Manifest { bytes_min: length, ..self.manifest.clone() };
            if let Err(error) = manifest.replace(&self.path) {
                tracing::warn!(%error, "the orderly end could not be noted");
            }
        }
    }
}

impl Manifest {
    /// The manifest of a directory in which a store has been begun.
    pub(super) fn unsealed(instance: String) -> Self {
        let (directory, beginning) = (DirectoryName::default(), Beginning::default());
        Self { instance, schema: SCHEMA_VERSION, sealed: false, bytes_min: 0, directory, beginning }
    }

    /// Itself, if the store was completed; nothing was acknowledged in one that may be begun again.
    pub(super) fn completed(self, path: &Path) -> Result<Option<Self>, OpenError> {
        match (self.sealed, self.beginning) {
            (true, _) => Ok(Some(self)),
            (false, Beginning::FirstStart) => Ok(None),
            (false, Beginning::Import) => Err(OpenError::BrokenImport { path: path.to_owned() }),
        }
    }

    pub(super) fn read(path: &Path) -> Result<Option<Self>, OpenError> {
        let file = path.join(MANIFEST);
        let text = match fs::read(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(OpenError::io(&file, error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|_| OpenError::damaged(path, "its manifest is unreadable"))
    }

    /// Replaces the manifest: the old or the new one is there whenever the power fails.
    pub(super) fn replace(&self, path: &Path) -> Result<(), OpenError> {
        let write = || {
            let new = path.join(MANIFEST_NEW);
            let mut file = ours().write(true).create(true).truncate(true).open(&new)?;
            file.write_all(&serde_json::to_vec(self)?)?;
            file.sync_all()?;
            fs::rename(&new, path.join(MANIFEST))?;
            sync_directory(path)
        };
        write().map_err(|error| OpenError::io(path, error))
    }
}

/// How a file of the data directory is opened to be written: nobody else's is, by way of a link.
pub(super) fn ours() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600).custom_flags(NO_FOLLOW);
    options
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the directory and what is missing on the way to it; a name is there once its own directory is synced.
fn create(path: &Path) -> Result<(), OpenError> {
    let missing =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists());
    let missing: Vec<&Path> = missing.collect();
    let create = || {
        for &part in missing.iter().rev() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(part)?;
            sync_directory(parent(part))?;
        }
        Ok(())
    };
    create().map_err(|error| OpenError::io(path, error))
}

/// Makes the name of the directory durable, in case that a start before made it and was broken off.
fn keep_name(path: &Path) -> Result<(), OpenError> {
    match sync_directory(parent(path)) {
        // Where we may not look, we have made no name.
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            Err(OpenError::io(parent(path), error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The directory in which its name stands.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether a store was begun here, or is about to be.
fn is_ours(path: &Path) -> bool {
    [LOCK, MANIFEST].iter().any(|name| path.join(name).exists())
}

fn is_vacant(path: &Path) -> Result<bool, OpenError> {
    let names = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let names = names.map_err(|error| OpenError::io(path, error))?;
    Ok(names.iter().all(|entry| BEFORE_FIRST_START.iter().any(|name| entry.file_name() == *name)))
}

/// Takes the lock, or says who has it. The file is never removed: another one could be locked in its place.
fn lock(path: &Path) -> Result<File, OpenError> {
    let name = path.join(LOCK);
    let io = |error| OpenError::io(&name, error);
    let mut options = ours();
    options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(&name).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let holder =
                file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(OpenError::Locked { path: path.to_owned(), holder });
        }
        Err(error) => return Err(io(error.into())),
    }
    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    note(&mut file).map_err(io)?;
    Ok(file)
}

/// The length of `file` once no background task of the database holds it any more; nothing if one stays.
pub(super) fn settled_length(file: &Path) -> Option<u64> {
    let file = File::open(file).ok()?;
    for _ in 0..200 {
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            return file.metadata().ok().map(|found| found.len());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}
