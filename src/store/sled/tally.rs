//! The tally of commits: each commit writes its number into the database with itself, and beside the database
//! once it is on disk. Of the two numbers the one in the database is never the lower, unless data was lost.
//!
//! The file beside is written at every commit and synced at none: it survives a kill as it is, and a power cut
//! leaves it at most older, which claims less. Knows nothing of what is committed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ::sled::{Batch, Db, Tree};

use super::lease::{Manifest, ours, sync_directory};

/// The name of the file, and of the tree and its one key.
pub(super) const NAME: &str = "commits";

/// Counts the commits of one instance.
pub(super) struct Tally {
    tree: Tree,
    file: File,
    prefix: Vec<u8>,
    last: AtomicU64,
}

/// What the file beside the database says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Noted {
    /// This many commits were on disk.
    Commits(u64),
    /// It belongs to another instance, or another schema.
    Foreign,
    /// It is not there, or cannot be read: nothing is known.
    Nothing,
}

impl Tally {
    /// Goes on from what `db` holds, which stands in `directory` and which `manifest` tells of.
    pub(super) fn resume(db: &Db, directory: &Path, manifest: &Manifest) -> ::sled::Result<Self> {
        let tree = db.open_tree(NAME)?;
        let last = held(db, manifest)?;
        let prefix = prefix(manifest);
        let path = directory.join(NAME);
        let is_new = !path.exists();
        let file = ours().write(true).create(true).truncate(false).open(path)?;
        let tally = Self { tree, file, prefix, last: AtomicU64::new(last) };
        if is_new {
            tally.note()?;
            tally.file.sync_all()?;
            sync_directory(directory)?;
        }
        Ok(tally)
    }

    /// The next commit's own number, to be written with it.
    pub(super) fn next(&self) -> (&Tree, Batch) {
        let number = self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut batch = Batch::default();
        batch.insert(NAME, self.value(number));
        (&self.tree, batch)
    }

    /// Notes that all commits so far are on disk.
    pub(super) fn note(&self) -> io::Result<()> {
        let mut bytes = self.value(self.last.load(Ordering::Relaxed));
        bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }

    fn value(&self, number: u64) -> Vec<u8> {
        [&self.prefix, &number.to_be_bytes()[..]].concat()
    }
}

/// The last commit that `db` holds.
pub(super) fn held(db: &Db, manifest: &Manifest) -> ::sled::Result<u64> {
    let value = db.open_tree(NAME)?.get(NAME)?;
    Ok(value.and_then(|value| number_in(&value, &prefix(manifest))).unwrap_or(0))
}

/// What stands before the number of each commit.
pub(super) fn prefix(manifest: &Manifest) -> Vec<u8> {
    format!("commit:{}:{}:", manifest.instance, manifest.schema).into_bytes()
}

/// The number that follows `prefix` in `bytes`, wherever that stands.
pub(super) fn number_in(bytes: &[u8], prefix: &[u8]) -> Option<u64> {
    let at = bytes.windows(prefix.len()).position(|window| window == prefix)?;
    bytes.get(at + prefix.len()..)?.first_chunk().map(|number| u64::from_be_bytes(*number))
}

/// What stands beside the database in `directory`.
pub(super) fn noted(directory: &Path, manifest: &Manifest) -> io::Result<Noted> {
    let bytes = match std::fs::read(directory.join(NAME)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Noted::Nothing),
        Err(error) => return Err(error),
    };
    let Some((value, checksum)) = bytes.split_last_chunk() else { return Ok(Noted::Nothing) };
    if crc32fast::hash(value) != u32::from_le_bytes(*checksum) {
        return Ok(Noted::Nothing);
    }
    Ok(number_in(value, &prefix(manifest)).map_or(Noted::Foreign, Noted::Commits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(instance: &str) -> Manifest {
        Manifest::unsealed(instance.to_owned())
    }

    #[test]
    fn what_is_noted_is_read_and_a_damaged_note_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(noted(directory.path(), &manifest("a")).unwrap(), Noted::Nothing);
        let db = ::sled::open(directory.path()).unwrap();
        let tally = Tally::resume(&db, directory.path(), &manifest("a")).unwrap();
        assert_eq!(noted(directory.path(), &manifest("a")).unwrap(), Noted::Commits(0));
        for number in 1..=300 {
            drop(tally.next());
            tally.note().unwrap();
            assert_eq!(noted(directory.path(), &manifest("a")).unwrap(), Noted::Commits(number));
        }
        assert_eq!(noted(directory.path(), &manifest("b")).unwrap(), Noted::Foreign);
        let sound = std::fs::read(directory.path().join(NAME)).unwrap();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(directory.path().join(NAME), bytes).unwrap();
            assert_eq!(
                noted(directory.path(), &manifest("a")).unwrap(),
                Noted::Nothing,
                "bit {bit}"
            );
        }
        for length in 0..sound.len() {
            std::fs::write(directory.path().join(NAME), &sound[..length]).unwrap();
            assert_eq!(
                noted(directory.path(), &manifest("a")).unwrap(),
                Noted::Nothing,
                "{length} bytes"
            );
        }
    }
}
