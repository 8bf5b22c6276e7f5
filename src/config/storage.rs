//! `[storage]`: where the data is, and how hard each change is pressed onto the disk.

use std::path::PathBuf;

use super::ConfigError;
use super::key::{Key, Kind};
use super::values::Values;

pub(super) const KEYS: &[Key] = &[
    Key::new("storage.path", Kind::Text, "data"),
    Key::new("storage.cache_mib", Kind::Number, "32"),
    Key::new("storage.durability", Kind::Text, "fsync"),
    Key::new("storage.min_free_mib", Kind::Number, "64"),
];

/// The admin socket stands in it, and a socket's path has at most 107 bytes.
const DIRECTORY_BYTES_MAX: usize = 107 - "/admin.sock".len();
const MIB_MAX: u32 = 1024 * 1024;

/// The section.
#[derive(Clone, Debug)]
pub struct Storage {
    /// The data directory.
    pub path: PathBuf,
    /// What the engine may keep of its file in memory.
    pub cache_mib: u32,
    /// What an acknowledged change survives.
    pub durability: Durability,
    /// The free space below which changes that grow the store are refused; 0 never refuses.
    pub min_free_mib: u32,
}

/// What an acknowledged change survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut.
    Fsync,
    /// The end of the process, but not a power cut.
    Flush,
}

impl Storage {
    pub(super) fn read(values: &Values) -> Result<Self, ConfigError> {
        Ok(Self {
            path: values.text("storage.path", directory)?,
            cache_mib: values.number("storage.cache_mib", 1..=MIB_MAX)?,
            durability: values.text("storage.durability", |text| match text {
                "fsync" => Ok(Durability::Fsync),
                "flush" => Ok(Durability::Flush),
                _ => Err("must be fsync or flush"),
            })?,
            min_free_mib: values.number("storage.min_free_mib", 0..=MIB_MAX)?,
        })
    }
}

/// A path that leaves room for the name of a socket.
fn directory(text: &str) -> Result<PathBuf, &'static str> {
    if text.len() > DIRECTORY_BYTES_MAX {
        return Err("must be at most 96 bytes, for the sake of the admin socket in it");
    }
    path(text)
}

/// A path that names something.
pub(super) fn path(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text.contains('\0') { Err("must be a path") } else { Ok(text.into()) }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{load, refusal};
    use super::*;

    #[test]
    fn durability_is_one_of_two() {
        let loaded = load("[storage]\ndurability = 'flush'").unwrap();
        assert_eq!(loaded.storage.durability, Durability::Flush);
        assert!(refusal("[storage]\ndurability = 'relaxed'").contains("storage.durability"));
    }

    #[test]
    fn sizes_have_bounds() {
        assert_eq!(
            load("[storage]\ncache_mib = 1\nmin_free_mib = 0").unwrap().storage.cache_mib,
            1
        );
        for bad in
            ["cache_mib = 0", "cache_mib = -1", "cache_mib = 1.5", "min_free_mib = 9999999999"]
        {
            assert!(refusal(&format!("[storage]\n{bad}")).contains("storage."), "{bad}");
        }
    }

    #[test]
    fn the_path_cannot_be_empty() {
        assert!(refusal("[storage]\npath = ''").contains("storage.path"));
    }

    #[test]
    fn the_path_leaves_room_for_the_admin_socket() {
        let path = |bytes| format!("[storage]\npath = '{}'", "d".repeat(bytes));
        load(&path(96)).unwrap();
        assert!(refusal(&path(97)).contains("at most 96 bytes"));
    }
}
