//! What a new password must not be. Not asked at login: imported passwords keep working.
//!
//! Length and known weakness only; no composition rules (NIST SP 800-63B-4 §3.1.1.2).
//!
//! `common.txt` holds those of the 20,000 common passwords of Django 5.2
//! (`django/contrib/auth/common-passwords.txt.gz`, compiled by Royce Williams, BSD 3-Clause, © Django Software
//! Foundation and individual contributors) that are ASCII of at least 8 characters, in byte order; what else is
//! there is too short or garbled. Its licence stands beside it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use zeroize::Zeroizing;

use super::{NotAPassword, Password};
use crate::auth::model::username::Username;

/// The least `min_length` that can be configured, in characters.
pub const MIN_LENGTH_FLOOR: usize = 8;

/// The largest file of breached passwords, in bytes.
const BREACHED_FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A run of one character at the end that is this long is padding.
const PADDING_CHARS_MIN: usize = 3;

/// Lower-case lines in byte order, searched as they stand: no memory beyond the binary's own pages.
const COMMON: &str = include_str!("common.txt");

/// The rules for new passwords.
#[derive(Debug)]
pub struct PasswordPolicy {
    min_length: usize,
    breached: Option<BreachedList>,
}

/// The rule that a password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Too few characters.
    #[error("a password has at least {min} characters")]
    TooShort {
        /// The configured least length.
        min: usize,
    },
    /// Not a password at all.
    #[error(transparent)]
    NotAPassword(#[from] NotAPassword),
    /// The same as the user name.
    #[error("the password is the username")]
    Username,
    /// The name of the product or of the service.
    #[error("the password is the name of this service")]
    ServiceName,
    /// On the bundled list, or one repeated character.
    #[error("the password is one of the most common ones")]
    Common,
    /// On the operator's list.
    #[error("the password is known from a breach")]
    Breached,
}

impl PasswordPolicy {
    /// The policy with this least length in characters, at least [`MIN_LENGTH_FLOOR`], and the operator's list.
    #[must_use]
    pub fn new(min_length: usize, breached: Option<BreachedList>) -> Self {
        Self { min_length: min_length.max(MIN_LENGTH_FLOOR), breached }
    }

    /// Checks a password that is about to be set for `username`; `forbidden` are the names of the product and
    /// the service.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn check(
        &self,
        password: &Password,
        username: &Username,
        forbidden: &[&str],
    ) -> Result<(), PolicyError> {
        let normal = password.normalised()?;
        if normal.chars().count() < self.min_length {
            return Err(PolicyError::TooShort { min: self.min_length });
        }
        let lower = Zeroizing::new(normal.to_lowercase());
        if *lower == username.as_str().to_lowercase() {
            return Err(PolicyError::Username);
        }
        if forbidden.iter().any(|name| *lower == name.to_lowercase()) {
            return Err(PolicyError::ServiceName);
        }
        if is_common(&lower) || is_common(without_padding(&lower)) {
            return Err(PolicyError::Common);
        }
        match &self.breached {
            Some(list) if list.contains(&lower) => Err(PolicyError::Breached),
            _ => Ok(()),
        }
    }
}

/// Passwords from a file of the operator's, one a line, compared without case.
///
/// Kept as sorted 64-bit hashes, 8 bytes a line: a password that is not in the file is mistaken for one that
/// is about once in 10^12 at ten million lines.
#[derive(Debug)]
pub struct BreachedList(Vec<u64>);

impl BreachedList {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// Those of reading, and `FileTooLarge` beyond 256 MiB.
    pub fn load(path: &Path) -> io::Result<Self> {
        let file = std::fs::File::open(path)?;
        if file.metadata()?.len() > BREACHED_FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let mut hashes = Vec::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line?;
            hashes.push(hash_of(&String::from_utf8_lossy(line.trim_ascii_end()).to_lowercase()));
        }
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        Ok(Self(hashes))
    }

    fn contains(&self, lower: &str) -> bool {
        self.0.binary_search(&hash_of(lower)).is_ok()
    }
}

fn hash_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// `text` less the run of one character that makes it longer: `password1!!!!!!` is no better than `password1`.
/// What is nothing but such a run comes back empty.
fn without_padding(text: &str) -> &str {
    let Some(last) = text.chars().next_back() else { return text };
    let trimmed = text.trim_end_matches(last);
    let padding = text.get(trimmed.len()..).map_or(0, |run| run.chars().count());
    if padding >= PADDING_CHARS_MIN { trimmed } else { text }
}

/// Whether `lower` is a line of the bundled list, or nothing.
fn is_common(lower: &str) -> bool {
    lower.is_empty() || has_line(COMMON, lower)
}

/// Binary search over sorted lines: halves a byte range and judges the line its middle falls into.
fn has_line(sorted: &str, wanted: &str) -> bool {
    let mut rest = sorted;
    while let Some((before, line, after)) = middle_line(rest) {
        match wanted.cmp(line) {
            std::cmp::Ordering::Equal => return true,
            std::cmp::Ordering::Less => rest = before,
            std::cmp::Ordering::Greater => rest = after,
        }
    }
    false
}

/// The line in the middle of `lines`, with what stands before and after it; `None` when there is none.
fn middle_line(lines: &str) -> Option<(&str, &str, &str)> {
    let first_half = lines.as_bytes().get(..lines.len() / 2)?;
    let start = first_half.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (before, from_line) = lines.split_at_checked(start)?;
    let (line, after) = from_line.split_once('\n').unwrap_or((from_line, ""));
    (!lines.is_empty()).then_some((before, line, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::model::username::NamePolicy;

    #[track_caller]
    fn check(policy: &PasswordPolicy, password: &str) -> Result<(), PolicyError> {
        let alice = Username::parse("alice.liddell", NamePolicy::Ascii).unwrap();
        policy.check(&Password::new(password.to_owned()), &alice, &["keystile", "id.example"])
    }

    #[track_caller]
    fn default(password: &str) -> Result<(), PolicyError> {
        check(&PasswordPolicy::new(8, None), password)
    }

    #[test]
    fn length_counts_characters_after_normalisation() {
        assert_eq!(default("zq7kvw2"), Err(PolicyError::TooShort { min: 8 }));
        assert_eq!(default("zq7kvw2x"), Ok(()));
        assert_eq!(default("\u{e9}\u{fc}\u{f1}zq7k"), Err(PolicyError::TooShort { min: 8 }));
        assert_eq!(default("e\u{301}e\u{301}zq7kv"), Err(PolicyError::TooShort { min: 8 }));
        let long = PasswordPolicy::new(15, None);
        assert_eq!(check(&long, "zq7kvw2xzq7kvw"), Err(PolicyError::TooShort { min: 15 }));
        assert_eq!(check(&long, "zq7kvw2xzq7kvw2"), Ok(()));
    }

    #[test]
    fn no_configuration_goes_below_eight_characters() {
        let short = PasswordPolicy::new(1, None);
        assert_eq!(check(&short, "zq7kvw2"), Err(PolicyError::TooShort { min: 8 }));
    }

    #[test]
    fn a_password_is_refused_rather_than_truncated_or_repaired() {
        assert_eq!(default(&"zq7kvw2x".repeat(128)), Ok(()));
        let long = format!("{}x", "zq7kvw2x".repeat(128));
        assert_eq!(default(&long), Err(PolicyError::NotAPassword(NotAPassword::TooLong)));
        let control = PolicyError::NotAPassword(NotAPassword::Characters);
        assert_eq!(default("zq7kvw2x\0"), Err(control));
    }

    #[test]
    fn spaces_and_any_alphabet_are_welcome() {
        assert_eq!(default("correct horse battery staple"), Ok(()));
        assert_eq!(
            default("\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c} \u{43a}\u{43e}\u{442}"),
            Ok(())
        );
        assert_eq!(default("zzqqzzqq"), Ok(()));
    }

    #[test]
    fn names_are_refused_in_any_case() {
        assert_eq!(default("Alice.Liddell"), Err(PolicyError::Username));
        assert_eq!(default("alice.liddell!"), Ok(()));
        assert_eq!(default("KeyStile"), Err(PolicyError::ServiceName));
        assert_eq!(default("ID.example"), Err(PolicyError::ServiceName));
    }

    #[test]
    fn common_passwords_are_refused_in_any_case_and_padded() {
        for bad in ["password", "PassWord", "password1", "iloveyou", "12345678", "qwertyuiop"] {
            assert_eq!(default(bad), Err(PolicyError::Common), "{bad}");
        }
        for padded in [
            "Password1!!!!!!",
            "aaaaaaaaaaaaaaa",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert_eq!(default(padded), Err(PolicyError::Common), "{padded}");
        }
    }

    #[test]
    fn the_list_is_sorted_lower_case_and_long_enough_and_every_line_is_found() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.len() >= 3000);
        assert!(lines.is_sorted());
        for line in lines {
            assert!(line.chars().count() >= 8 && line.to_lowercase() == line, "{line}");
            assert!(has_line(COMMON, line), "{line}");
            assert!(!has_line(COMMON, &format!("{line}\u{1}")), "{line}");
        }
        for absent in ["", "\u{1}", "\u{10ffff}", "passwor", "\n"] {
            assert!(!has_line(COMMON, absent), "{absent:?}");
        }
    }

    #[test]
    fn a_breached_file_adds_to_the_list() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("breached.txt");
        std::fs::write(&path, b"Zq7kvw2x\r\n\xff\xff\nother one\n").unwrap();
        let policy = PasswordPolicy::new(8, Some(BreachedList::load(&path).unwrap()));
        assert_eq!(check(&policy, "zQ7kvw2x"), Err(PolicyError::Breached));
        assert_eq!(check(&policy, "zq7kvw2y"), Ok(()));
        assert!(BreachedList::load(&directory.path().join("missing")).is_err());
    }

    #[test]
    fn an_oversized_breached_file_is_refused_unread() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(BREACHED_FILE_BYTES_MAX + 1).unwrap();
        let refused = BreachedList::load(file.path()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }
}
