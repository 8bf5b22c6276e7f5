//! The fuzz targets: what reads a stranger's bytes, and what must hold whatever they are.
//!
//! Knows the targets by name only: each room keeps its own next to what it checks. Built for fuzzing and for
//! the tests, which replay the kept corpus; the program has none of it.

use crate::{auth, http, password, store, token};

/// Judges bytes; a broken promise is a panic.
type Target = fn(&[u8]);

/// Every target with its name, which is also that of its corpus.
const TARGETS: [(&str, Target); 12] = [
    ("dump", store::dump::fuzz::dump),
    ("field", http::fuzz::field),
    ("framing", http::fuzz::framing),
    ("json", http::fuzz::json),
    ("multipart", http::fuzz::multipart),
    ("password", password::fuzz::password),
    ("proxy", http::fuzz::proxy),
    ("record", store::sled::fuzz::record),
    ("scope", auth::model::fuzz::scope),
    ("token", token::fuzz::token),
    ("urlencoded", http::fuzz::urlencoded),
    ("username", auth::model::fuzz::username),
];

/// Gives `bytes` to the target called `name`.
///
/// # Panics
/// When the target finds a broken promise, or there is no such target.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    assert!(target.is_some(), "there is no target {name}");
    if let Some((_, target)) = target {
        target(bytes);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    /// What stands in a directory below `fuzz`, in order.
    fn list(directory: &str) -> Vec<PathBuf> {
        // Tests run in the directory of the package.
        let entries = fs::read_dir(format!("fuzz/{directory}")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn stems(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn sc_06_every_target_is_fuzzed_and_survives_its_corpus() {
        let names = TARGETS.map(|(name, _)| name);
        assert_eq!(stems(&list("fuzz_targets")), names);
        assert_eq!(stems(&list("corpus")), names);
        for name in names {
            let inputs = list(&format!("corpus/{name}"));
            assert!(!inputs.is_empty(), "{name} has no corpus");
            for input in inputs {
                let bytes = fs::read(&input).unwrap();
                let outcome = std::panic::catch_unwind(|| run(name, &bytes));
                assert!(outcome.is_ok(), "{} breaks a promise", input.display());
            }
        }
    }

    #[test]
    #[should_panic(expected = "there is no target")]
    fn a_target_that_is_none_is_not_passed_over() {
        run("tokens", b"");
    }
}
