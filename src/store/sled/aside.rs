//! A database that is built where nobody looks yet: it is filled, sealed, and becomes the current one by the
//! one atomic replacement of the manifest. Until then a crash leaves what was there before.
//!
//! Knows neither where the records come from nor whether there was a database before.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ::sled::Db;

use super::database::{Entry, Trees};
use super::keys::{Table, meta};
use super::lease::{Manifest, sync_directory};
use super::open::{OpenError, SledSettings};
use super::recover::{self, Purpose, Sentinel};
use super::segments::SEGMENT_BYTES;
use super::tally::Tally;
use crate::store::codec::{self, SCHEMA_VERSION};

/// A database in the making.
pub(super) struct Aside<'a> {
    settings: &'a SledSettings,
    manifest: Manifest,
    trees: Trees,
    db: Db,
}

impl<'a> Aside<'a> {
    /// Begins an empty database in the directory that `manifest` names; what stands there is left over and
    /// removed.
    pub(super) fn begin(
        settings: &'a SledSettings,
        manifest: Manifest,
        purpose: Purpose,
    ) -> Result<Self, OpenError> {
        let path = settings.path.as_path();
        let directory = manifest.directory.path(path);
        let prepare = || {
            if directory.exists() {
                fs::remove_dir_all(&directory)?;
            }
            fs::DirBuilder::new().mode(0o700).create(&directory)
        };
        prepare().map_err(|error| OpenError::io(&directory, error))?;
        let db = recover::start(settings, &directory, purpose)
            .map_err(|failure| failure.into_error(path))?;
        let trees = Trees::open(&db).map_err(|error| failed(&directory, error))?;
        Ok(Self { settings, manifest, trees, db })
    }

    /// Writes an entry as it is to stand; durable only once all is sealed.
    pub(super) fn write(&self, table: Table, (key, value): Entry) -> Result<(), OpenError> {
        let written = self.trees.of(table).insert(key, value);
        written.map(drop).map_err(|error| failed(&self.directory(), error))
    }

    /// How many entries a table holds. Reads all of them.
    pub(super) fn count(&self, table: Table) -> Result<u64, OpenError> {
        let count = |sum: u64, entry: ::sled::Result<_>| entry.map(|_| sum + 1);
        let counted = self.trees.of(table).iter().try_fold(0, count);
        counted.map_err(|error| failed(&self.directory(), error))
    }

    fn directory(&self) -> PathBuf {
        self.manifest.directory.path(&self.settings.path)
    }

    /// Seals it, and makes it the current one.
    pub(super) fn switch(self) -> Result<(Db, Manifest), OpenError> {
        let path = self.settings.path.as_path();
        let (db, manifest) = self.seal()?;
        manifest.replace(path)?;
        Ok((db, manifest))
    }

    /// Says what it is and makes all of it durable; it is the current one once its manifest is written.
    pub(super) fn seal(self) -> Result<(Db, Manifest), OpenError> {
        let path = self.settings.path.as_path();
        let Self { mut manifest, trees, db, .. } = self;
        let sentinel = Sentinel { instance: manifest.instance.clone(), schema: SCHEMA_VERSION };
        let sentinel = codec::encode(Table::Meta.name(), meta::INSTANCE, &sentinel)
            .map_err(|error| OpenError::damaged(path, &error.to_string()))?;
        let directory = manifest.directory.path(path);
        manifest.schema = SCHEMA_VERSION;
        let settle = || {
            trees.of(Table::Meta).insert(meta::INSTANCE, sentinel)?;
            let tally = Tally::resume(&db, &directory, &manifest)?;
            let (tree, all_of_this) = tally.next();
            tree.apply_batch(all_of_this)?;
            db.flush()?;
            // sled never syncs most of these itself; a power cut would leave a torn `conf` that does not open.
            recover::tighten(&directory)?;
            sync_all(&directory)?;
            sync_directory(path)?;
            tally.note()?;
            Ok(fs::metadata(manifest.directory.file(path))?.len())
        };
        let length = settle().map_err(|error| failed(&directory, error))?;
        manifest.sealed = true;
        manifest.bytes_min = length.min(SEGMENT_BYTES);
        Ok((db, manifest))
    }
}

/// What sled says of a database in the making, which holds nothing yet that could be damaged.
fn failed(directory: &Path, error: ::sled::Error) -> OpenError {
    let source = match error {
        ::sled::Error::Io(source) => source,
        other => io::Error::other(other.to_string()),
    };
    OpenError::io(directory, source)
}

/// Syncs a directory with all that is in it.
fn sync_all(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(directory)
}
