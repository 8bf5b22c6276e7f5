//! Secrets as they are configured: the text's own type, and the files they come from.
//!
//! What a good secret is belongs to the room that signs with it.

use std::fmt;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The most a secret file may hold.
pub const SECRET_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A secret's text as it was written; wiped when dropped.
#[derive(Clone, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SecretText(String);

/// What a secret file held.
pub(super) struct SecretFile {
    /// The whole text, without the one newline at its end.
    pub text: SecretText,
    /// Whether every user of the machine can read it.
    pub exposed: bool,
}

/// Why a secret, or the file of one, is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretError {
    #[error("is empty")]
    Empty,
    #[error("the file cannot be read: {0}")]
    Io(#[from] std::io::Error),
    #[error("is not a regular file")]
    NotAFile,
    #[error("the file is longer than {SECRET_FILE_BYTES_MAX} bytes")]
    TooLong,
    #[error("the file belongs to another user: it must be this process's own, or root's")]
    ForeignOwner,
    #[error("the file can be changed by others: chmod go-w it")]
    Writable,
    #[error("the file is not UTF-8")]
    NotText,
}

impl SecretText {
    /// Takes any text but the empty one.
    pub(super) fn new(text: &str) -> Result<Self, SecretError> {
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(Self(text.to_owned())) }
    }

    /// The text, for those who make keys of it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// In a time that does not tell where two secrets differ.
impl PartialEq for SecretText {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretText")
    }
}

/// Reads a secret file. It is opened once and judged on what was opened, so that nobody can swap it
/// in between; a FIFO does not make the start wait.
pub(super) fn read_file(path: &Path) -> Result<SecretFile, SecretError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from)?;
    let file = std::fs::File::from(opened);
    let found = file.metadata()?;
    judge(
        &Judged {
            regular: found.is_file(),
            bytes: found.len(),
            owner: found.uid(),
            mode: found.mode(),
        },
        rustix::process::geteuid().as_raw(),
    )?;
    let mut bytes = Vec::new();
    file.take(SECRET_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_FILE_BYTES_MAX {
        return Err(SecretError::TooLong);
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        error.into_bytes().zeroize();
        SecretError::NotText
    })?;
    let trimmed = text.strip_suffix('\n').unwrap_or(&text);
    let secret = SecretText::new(trimmed.strip_suffix('\r').unwrap_or(trimmed));
    text.zeroize();
    Ok(SecretFile { text: secret?, exposed: found.mode() & 0o004 != 0 && !mounted(path) })
}

struct Judged {
    regular: bool,
    bytes: u64,
    owner: u32,
    mode: u32,
}

fn judge(file: &Judged, euid: u32) -> Result<(), SecretError> {
    if !file.regular {
        return Err(SecretError::NotAFile);
    }
    if file.owner != euid && file.owner != 0 {
        return Err(SecretError::ForeignOwner);
    }
    if file.mode & 0o022 != 0 {
        return Err(SecretError::Writable);
    }
    if file.bytes > SECRET_FILE_BYTES_MAX {
        return Err(SecretError::TooLong);
    }
    Ok(())
}

/// Whether an orchestrator put the file there; Docker and Kubernetes make such files readable to all
/// users of a container that has one.
fn mounted(path: &Path) -> bool {
    let root_link = std::fs::symlink_metadata(path)
        .is_ok_and(|found| found.file_type().is_symlink() && found.uid() == 0);
    path.starts_with("/run/secrets") || root_link
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    fn text(content: &[u8]) -> String {
        let (_dir, path) = file(content, 0o600);
        read_file(&path).unwrap().text.expose().to_owned()
    }

    #[test]
    fn one_newline_at_the_end_is_not_part_of_the_secret() {
        assert_eq!(text(b"abc"), "abc");
        assert_eq!(text(b"abc\n"), "abc");
        assert_eq!(text(b"abc\r\n"), "abc");
        assert_eq!(text(b" abc\n\n"), " abc\n");
    }

    #[test]
    fn a_file_without_text_is_refused() {
        for content in [b"".as_slice(), b"\n", b"\xff\xfe"] {
            let (_dir, path) = file(content, 0o600);
            assert!(read_file(&path).is_err(), "{content:?}");
        }
    }

    #[test]
    fn a_file_that_others_can_write_is_refused() {
        for (mode, good) in
            [(0o600, true), (0o400, true), (0o644, true), (0o660, false), (0o602, false)]
        {
            let (_dir, path) = file(b"abc", mode);
            assert_eq!(read_file(&path).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn a_file_that_all_can_read_is_pointed_out() {
        for (mode, exposed) in [(0o600, false), (0o640, false), (0o644, true)] {
            let (_dir, path) = file(b"abc", mode);
            assert_eq!(read_file(&path).unwrap().exposed, exposed, "{mode:o}");
        }
    }

    #[test]
    fn a_link_is_judged_by_what_it_opens() {
        let (dir, path) = file(b"abc", 0o666);
        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read_file(&link), Err(SecretError::Writable)));
    }

    #[test]
    fn only_regular_files_up_to_64_kib_are_read() {
        let (dir, path) = file(&vec![b'a'; 64 * 1024], 0o600);
        assert!(read_file(&path).is_ok());
        let (_dir, path) = file(&vec![b'a'; 64 * 1024 + 1], 0o600);
        assert!(matches!(read_file(&path), Err(SecretError::TooLong)));
        assert!(matches!(read_file(dir.path()), Err(SecretError::NotAFile)));
        assert!(matches!(read_file(Path::new("/dev/zero")), Err(SecretError::NotAFile)));
        let fifo = dir.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR).unwrap();
        assert!(matches!(read_file(&fifo), Err(SecretError::NotAFile)));
    }

    #[test]
    fn the_owner_is_root_or_this_process() {
        let owned = |owner| Judged { regular: true, bytes: 1, owner, mode: 0o600 };
        assert!(judge(&owned(0), 1000).is_ok());
        assert!(judge(&owned(1000), 1000).is_ok());
        assert!(matches!(judge(&owned(1001), 1000), Err(SecretError::ForeignOwner)));
    }

    #[test]
    fn debug_prints_the_type_name() {
        assert_eq!(format!("{:?}", SecretText::new("hunter2").unwrap()), "SecretText");
    }
}
