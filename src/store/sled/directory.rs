//! The names of the directories that a database may stand in, and the removal of those that none stands in.
//!
//! A rewritten database is built beside the current one, so there may be two; the manifest names the one that
//! counts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The name of a database's directory: `db`, `db-1`, `db-2` and so on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct DirectoryName(u32);

/// A name that is none of ours.
#[derive(Debug, thiserror::Error)]
#[error("not the name of a database directory")]
pub(super) struct ForeignName;

impl DirectoryName {
    /// Another name than this one.
    pub(super) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The directory of this name in the data directory.
    pub(super) fn path(self, data: &Path) -> PathBuf {
        data.join(self.to_string())
    }

    /// The file in it that holds the data.
    pub(super) fn file(self, data: &Path) -> PathBuf {
        self.path(data).join("db")
    }

    /// Removes every database directory but this one from the data directory: what a rewriting has replaced,
    /// or has not finished.
    pub(super) fn remove_others(self, data: &Path) -> io::Result<()> {
        for entry in fs::read_dir(data)? {
            let entry = entry?;
            let name = entry.file_name().into_string().ok().map(Self::try_from);
            let is_other = matches!(name, Some(Ok(name)) if name != self);
            if is_other && entry.file_type()?.is_dir() {
                tracing::info!(directory = %entry.path().display(), "removing a database that is not in use");
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for DirectoryName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => formatter.write_str("db"),
            number => write!(formatter, "db-{number}"),
        }
    }
}

impl From<DirectoryName> for String {
    fn from(name: DirectoryName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for DirectoryName {
    type Error = ForeignName;

    fn try_from(text: String) -> Result<Self, ForeignName> {
        let number = text.strip_prefix("db-").map_or(Ok(0), str::parse);
        let name = number.map(Self).map_err(|_| ForeignName)?;
        // One spelling each: neither `db-0` nor `db-01` is ours.
        if name.to_string() == text { Ok(name) } else { Err(ForeignName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_spelling() {
        let parse = |text: &str| DirectoryName::try_from(text.to_owned()).ok();
        for (text, number) in [("db", 0), ("db-1", 1), ("db-4294967295", u32::MAX)] {
            assert_eq!(parse(text), Some(DirectoryName(number)), "{text}");
        }
        for text in
            ["", "d", "dbx", "db-", "db-0", "db-01", "db-+1", "db-4294967296", "db/..", "db-1 "]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn only_database_directories_are_removed_and_never_the_current_one() {
        let data = tempfile::tempdir().unwrap();
        for name in ["db", "db-1", "db-2", "db-old", "backup"] {
            fs::create_dir(data.path().join(name)).unwrap();
            fs::write(data.path().join(name).join("db"), "x").unwrap();
        }
        fs::write(data.path().join("db-3"), "a file").unwrap();
        std::os::unix::fs::symlink("backup", data.path().join("db-4")).unwrap();
        DirectoryName(1).remove_others(data.path()).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["backup", "db-1", "db-3", "db-4", "db-old"]);
    }
}
