//! Copies a whole database, sessions and keys included, into one that is built aside. What sled has left of
//! changed and removed records stays behind.
//!
//! Decides neither when to do so nor what becomes of the old one.

use std::fs;
use std::io;
use std::path::Path;

use ::sled::Db;

use super::aside::Aside;
use super::database::Trees;
use super::keys::Table;
use super::lease::{Lease, Manifest, settled_length};
use super::migrate;
use super::open::{OpenError, SledSettings};
use super::recover::{Purpose, recover};
use super::segments::SEGMENT_BYTES;
use crate::store::codec::SCHEMA_VERSION;

/// How many entries are copied between two tellings.
const TELL_EVERY: u64 = 10_000;

/// Even the smallest database takes whole segments while it is written to.
const HEADROOM_BYTES: u64 = 4 * SEGMENT_BYTES;

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
    let (_lock, manifest) = Lease::take_completed(path)?;
    let bytes_before = size(&manifest.directory.path(path)).map_err(io)?;
    let (next, entries) = rewrite(settings, &manifest, tell)?;
    let bytes_after = size(&next.directory.path(path)).map_err(io)?;
    next.replace(path)?;
    next.directory.remove_others(path);
    migrate::conclude(path, manifest.schema);
    Ok(Compacted { entries, bytes_before, bytes_after })
}

/// Copies the database that `manifest` tells of into one aside, in the present schema. That is the current one
/// once the manifest returned here is written. Also returns how many entries it holds.
pub(super) fn rewrite(
    settings: &SledSettings,
    manifest: &Manifest,
    tell: &mut dyn FnMut(u64),
) -> Result<(Manifest, u64), OpenError> {
    let path = settings.path.as_path();
    require_room(path, manifest)?;
    let (old, current) = recover(settings, manifest, Purpose::Copy)?;
    let next = Manifest { directory: current.directory.next(), ..current.clone() };
    let fill = || {
        migrate::prepare(settings, &old, manifest.schema)?;
        let aside = Aside::begin(settings, next, Purpose::Fill)?;
        let entries = fill(&aside, path, (&old, manifest.schema), tell)?;
        let (new, next) = aside.seal()?;
        drop(new);
        let bytes_min = settled_length(&next.directory.file(path)).unwrap_or(next.bytes_min);
        Ok((Manifest { bytes_min, ..next }, entries))
    };
    let filled = fill();
    drop(old);
    // Its last background task is over before its files go.
    let length = settled_length(&current.directory.file(path));
    if filled.is_err() {
        current.directory.remove_others(path);
        // As when it was found: opening it has cut nothing off, and nothing may be cut off later.
        if length >= Some(manifest.bytes_min) {
            manifest.replace(path)?;
        }
    }
    filled
}

fn fill(
    aside: &Aside<'_>,
    path: &Path,
    (old, schema): (&Db, u32),
    tell: &mut dyn FnMut(u64),
) -> Result<u64, OpenError> {
    let sled = |error| OpenError::sled(path, error);
    let trees = Trees::open(old).map_err(sled)?;
    let mut entries = 0_u64;
    for table in Table::ALL {
        let before = entries;
        for entry in trees.of(table) {
            let (key, value) = entry.map_err(sled)?;
            let entry = (key.to_vec(), value.to_vec());
            aside.write(table, migrate::convert(schema, table, entry))?;
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

/// Refuses to begin what the disk can hardly hold: another database about as large as the one it is made of,
/// and the dump before a migration, which holds less.
fn require_room(path: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    let io = |error| OpenError::io(path, error);
    let copies = if manifest.schema == SCHEMA_VERSION { 1 } else { 2 };
    let needed = copies * size(&manifest.directory.path(path)).map_err(io)? + HEADROOM_BYTES;
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
