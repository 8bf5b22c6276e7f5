//! The names of the directories that a database may stand in, and the removal of those that none stands in.
//!
//! A rewritten database is built beside the current one, so there may be two; the manifest names the one that
//! counts.

use std::fs;
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

    /// Removes from the data directory what a rewriting has replaced or has not finished: the database before
    /// this one and the one after it. Any other is none that was left, but somebody's copy. What cannot be
    /// removed stays, with a warning: it only takes room.
    pub(super) fn remove_others(self, data: &Path) {
        for other in [Self(self.0.wrapping_sub(1)), self.next()] {
            let directory = other.path(data);
            if !fs::symlink_metadata(&directory).is_ok_and(|found| found.is_dir()) {
                continue;
            }
            let name = directory.display();
            match fs::remove_dir_all(&directory) {
                Ok(()) => tracing::info!(directory = %name, "removed an unused database"),
                Err(error) => tracing::warn!(directory = %name, %error, "an unused database stays"),
            }
        }
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

    /// What is left of these directories, a file and a link when `current` has removed the others.
    fn left_by(current: u32, directories: &[&str]) -> Vec<String> {
        let data = tempfile::tempdir().unwrap();
        for name in directories {
            fs::create_dir(data.path().join(name)).unwrap();
            fs::write(data.path().join(name).join("db"), "x").unwrap();
        }
        fs::write(data.path().join("db-7"), "a file").unwrap();
        std::os::unix::fs::symlink("db-7", data.path().join("db-9")).unwrap();
        DirectoryName(current).remove_others(data.path());
        let names = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        left
    }

    #[test]
    fn what_was_before_and_what_was_to_come_is_removed_and_nobodys_copy() {
        let all = ["backup", "db", "db-1", "db-2", "db-20260131", "db-3", "db-old"];
        let kept = ["backup", "db-1", "db-20260131", "db-3", "db-7", "db-9", "db-old"];
        assert_eq!(left_by(1, &all), kept);
        assert_eq!(left_by(0, &["db", "db-1", "db-2"]), ["db", "db-2", "db-7", "db-9"]);
        assert_eq!(left_by(8, &["db-8"]), ["db-7", "db-8", "db-9"]);
    }
}
