//! Copies a whole database, sessions and keys included, into one that is built aside. What sled has left of
//! changed and removed records stays behind.
//!
//! Decides neither when to do so nor what becomes of the old one.

use std::fs;
use std::io;
use std::path::Path;

use ::sled::Db;

use super::aside::Aside;
use super::database::{Entry, Trees};
use super::keys::Table;
use super::lease::{Lease, Manifest, settled_length};
use super::open::{self, OpenError, SledSettings};

/// How many entries are copied between two tellings.
const TELL_EVERY: u64 = 10_000;

/// What a compaction has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// How many entries the database holds.
    pub entries: u64,
    /// How large its files were.
    pub bytes_before: u64,
    /// How large they are.
    pub bytes_after: u64,
}

/// Rewrites the database in place of itself, and tells now and then how many entries are copied. Blocks.
///
/// # Errors
/// When the store cannot be opened, or there is too little room for both. A failure and a crash alike leave
/// the old database or the new one, whole.
pub fn compact(settings: &SledSettings, tell: &mut dyn FnMut(u64)) -> Result<Compacted, OpenError> {
    let path = settings.path.as_path();
    let io = |error| OpenError::io(path, error);
    let (_lock, manifest) = Lease::take(path)?;
    let empty = || OpenError::Empty { path: path.to_owned() };
    let manifest = manifest.filter(|manifest| manifest.sealed).ok_or_else(empty)?;
    let (old, manifest) = open::reopen(settings, manifest)?;
    manifest.write(path).map_err(io)?;

    let bytes_before = size(&manifest.directory.path(path)).map_err(io)?;
    let (new, next, entries) = rewrite(settings, &old, &manifest, &mut |_, entry| entry, tell)?;
    drop((old, new));
    settled_length(&manifest.directory.file(path));
    let bytes_min = settled_length(&next.directory.file(path)).unwrap_or(next.bytes_min);
    let bytes_after = size(&next.directory.path(path)).map_err(io)?;
    Manifest { bytes_min, ..next.clone() }.write(path).map_err(io)?;
    next.directory.remove_others(path).map_err(io)?;
    Ok(Compacted { entries, bytes_before, bytes_after })
}

/// Copies `old`, which `manifest` tells of, into a database aside, each entry as `convert` makes it. The
/// other one counts once its manifest is written. Returns how many entries it holds.
pub(super) fn rewrite(
    settings: &SledSettings,
    old: &Db,
    manifest: &Manifest,
    convert: &mut dyn FnMut(Table, Entry) -> Entry,
    tell: &mut dyn FnMut(u64),
) -> Result<(Db, Manifest, u64), OpenError> {
    let path = settings.path.as_path();
    require_room(path, &manifest.directory.path(path))?;
    let next = Manifest { directory: manifest.directory.next(), ..manifest.clone() };
    let filled = Aside::begin(settings, next).and_then(|aside| {
        let entries = fill(&aside, path, old, convert, tell)?;
        let (new, next) = aside.seal()?;
        Ok((new, next, entries))
    });
    if filled.is_err()
        && let Err(error) = manifest.directory.remove_others(path)
    {
        tracing::warn!(%error, "an unfinished database stays until the next start");
    }
    filled
}

fn fill(
    aside: &Aside<'_>,
    path: &Path,
    old: &Db,
    convert: &mut dyn FnMut(Table, Entry) -> Entry,
    tell: &mut dyn FnMut(u64),
) -> Result<u64, OpenError> {
    let sled = |error: ::sled::Error| OpenError::io(path, error.into());
    let trees = Trees::open(old).map_err(sled)?;
    let mut entries = 0_u64;
    for table in Table::ALL {
        let before = entries;
        for entry in trees.of(table) {
            let (key, value) = entry.map_err(sled)?;
            aside.write(table, convert(table, (key.to_vec(), value.to_vec())))?;
            entries += 1;
            if entries.is_multiple_of(TELL_EVERY) {
                tell(entries);
            }
        }
        let (copied, found) = (entries - before, aside.count(table)?);
        if copied != found {
            let name = table.name();
            let reason = format!("{copied} entries of table {name} became {found} when copied");
            return Err(OpenError::damaged(path, &reason));
        }
    }
    Ok(entries)
}

/// Refuses to begin what the disk cannot hold: a copy is at most about as large as what it is made of.
fn require_room(path: &Path, directory: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::io(path, error);
    let needed = size(directory).map_err(io)?;
    let disk = rustix::fs::statvfs(path).map_err(|error| io(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        return Err(OpenError::Room { path: path.to_owned(), needed, free });
    }
    Ok(())
}

/// What the files of a database take on the disk.
fn size(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let found = entry.metadata()?;
        bytes += if found.is_dir() { size(&entry.path())? } else { found.len() };
    }
    Ok(bytes)
}
