//! User names and e-mail addresses, parsed once at the edge.

use std::fmt;

use precis_profiles::precis_core::profile::PrecisFastInvocation;
use serde::{Deserialize, Serialize};
use unicode_security::MixedScript;

/// The longest user name, in characters.
pub const USERNAME_CHARS_MAX: usize = 64;
/// The longest e-mail address, in bytes (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const EMAIL_BYTES_MAX: usize = 254;

/// Which names may be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamePolicy {
    /// `a-z 0-9 . _ - @ +` after ASCII lower-casing.
    #[default]
    Ascii,
    /// RFC 8265 §3.3 `UsernameCaseMapped`, less what would read as a path or a pair.
    Unicode,
}

/// A user name in its canonical form, by which it is looked up: `Alice` and `alice` are one user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Username(String);

/// The rule of user names that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// Empty, or longer than [`USERNAME_CHARS_MAX`].
    #[error("a username has 1 to 64 characters")]
    Length,
    /// A character outside the policy's alphabet.
    #[error("a username consists of letters a-z, digits and . _ - @ +")]
    Alphabet,
    /// Starts with neither a letter nor a digit.
    #[error("a username starts with a letter or a digit")]
    Start,
    /// Not a valid RFC 8265 name.
    #[error("this is not a valid username (RFC 8265 UsernameCaseMapped)")]
    Unicode,
    /// Letters of several scripts, of which some look alike.
    #[error("a username keeps to the letters of one script")]
    Scripts,
}

impl Username {
    /// The canonical form of `text`.
    ///
    /// # Errors
    /// The first rule of `policy` that `text` breaks.
    pub fn parse(text: &str, policy: NamePolicy) -> Result<Self, UsernameError> {
        // Bounded before anything walks it: a form field may be 16 KiB.
        if text.is_empty() || text.len() > USERNAME_CHARS_MAX * 4 {
            return Err(UsernameError::Length);
        }
        let name = match policy {
            NamePolicy::Ascii => text.to_ascii_lowercase(),
            NamePolicy::Unicode => case_mapped(text)?,
        };
        if name.chars().count() > USERNAME_CHARS_MAX {
            return Err(UsernameError::Length);
        }
        let allowed = |c: char| {
            c.is_ascii_lowercase() || c.is_ascii_digit() || "._-@+".contains(c) || !c.is_ascii()
        };
        if !name.chars().all(allowed) || policy == NamePolicy::Ascii && !name.is_ascii() {
            return Err(UsernameError::Alphabet);
        }
        if !name.starts_with(char::is_alphanumeric) {
            return Err(UsernameError::Start);
        }
        Ok(Self(name))
    }

    /// What a name must be besides to be taken anew: of a single script (UTS 39 §5.1), or it could look like
    /// another. Names that stand are not asked, or they would be locked out and dumps of them unreadable.
    ///
    /// # Errors
    /// [`UsernameError::Scripts`].
    pub fn check_new(&self) -> Result<(), UsernameError> {
        if self.0.is_single_script() { Ok(()) } else { Err(UsernameError::Scripts) }
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 8265 §3.3.3, applied until it changes nothing more, so that canonicalisation is idempotent.
fn case_mapped(text: &str) -> Result<String, UsernameError> {
    let mut name = text.to_owned();
    for _ in 0..4 {
        let next = precis_profiles::UsernameCaseMapped::enforce(name.as_str())
            .map_err(|_| UsernameError::Unicode)?
            .into_owned();
        if next == name {
            return Ok(name);
        }
        name = next;
    }
    Err(UsernameError::Unicode)
}

impl fmt::Display for Username {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An e-mail address: data about a user, not unique and no login name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email(String);

/// The text is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address looks like name@example.com, with at most 254 bytes and no spaces")]
pub struct EmailError;

impl Email {
    /// Checks the outer form only; whether mail arrives is not this server's business.
    ///
    /// # Errors
    /// [`EmailError`] when there is no single `@` between two parts, or a space or control character.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let (local, domain) = text.rsplit_once('@').ok_or(EmailError)?;
        let sound = text.len() <= EMAIL_BYTES_MAX
            && !local.is_empty()
            && !local.contains('@')
            && !domain.is_empty()
            && !domain.starts_with('.')
            && !domain.ends_with('.')
            && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if sound { Ok(Self(text.to_owned())) } else { Err(EmailError) }
    }

    /// The address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Email")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ascii(text: &str) -> Result<Username, UsernameError> {
        Username::parse(text, NamePolicy::Ascii)
    }

    #[test]
    fn spellings_that_differ_in_case_are_one_name() {
        assert_eq!(ascii("Alice"), ascii("aLICE"));
        assert_eq!(ascii("Alice").unwrap().as_str(), "alice");
        assert_eq!(ascii("joe+x@example.com").unwrap().as_str(), "joe+x@example.com");
    }

    #[test]
    fn each_rule_refuses_what_breaks_it() {
        assert_eq!(ascii(""), Err(UsernameError::Length));
        assert_eq!(ascii(&"a".repeat(65)), Err(UsernameError::Length));
        assert!(ascii(&"a".repeat(64)).is_ok());
        assert_eq!(ascii("al ice"), Err(UsernameError::Alphabet));
        assert_eq!(ascii("al:ice"), Err(UsernameError::Alphabet));
        assert_eq!(ascii("a/b"), Err(UsernameError::Alphabet));
        assert_eq!(ascii("müller"), Err(UsernameError::Alphabet));
        assert_eq!(ascii("a\0"), Err(UsernameError::Alphabet));
        assert_eq!(ascii(".."), Err(UsernameError::Start));
        assert_eq!(ascii("-a"), Err(UsernameError::Start));
    }

    #[test]
    fn the_length_is_counted_in_characters_whatever_bytes_they_take() {
        let widest = |count| Username::parse(&"\u{10428}".repeat(count), NamePolicy::Unicode);
        assert!(widest(64).is_ok());
        assert_eq!(widest(65), Err(UsernameError::Length));
    }

    #[test]
    fn unicode_names_are_case_mapped_when_the_policy_says_so() {
        let name = |text| Username::parse(text, NamePolicy::Unicode);
        assert_eq!(name("MÜLLER").unwrap().as_str(), "müller");
        assert_eq!(name("a:b"), Err(UsernameError::Alphabet));
        assert_eq!(name("a/../b"), Err(UsernameError::Alphabet));
        assert_eq!(name("a b"), Err(UsernameError::Unicode));
        assert_eq!(name("a\u{200b}b"), Err(UsernameError::Unicode));
    }

    #[test]
    fn an_address_has_one_at_sign_between_two_parts() {
        assert!(Email::parse("a@example.com").is_ok());
        for bad in ["", "a", "@b", "a@", "a@@b", "a b@c", "a@b\n", "a@.b", "a@b."] {
            assert_eq!(Email::parse(bad), Err(EmailError), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn canonical_names_are_their_own_canonical_form(text in "\\PC{1,20}") {
            for policy in [NamePolicy::Ascii, NamePolicy::Unicode] {
                if let Ok(name) = Username::parse(&text, policy) {
                    prop_assert_eq!(Username::parse(name.as_str(), policy), Ok(name));
                }
            }
        }
    }
}
