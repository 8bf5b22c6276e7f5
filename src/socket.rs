//! A Unix socket at a path: it appears with the mode it is to have, takes the place of nothing but what a
//! process of the same user left there, and goes at the end. Knows nothing of who connects, or for what.

use std::ffi::OsString;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Bytes that the path of a [`LocalSocket`] may have: a socket's has at most 107, and it is made beside its
/// place, under a name that is longer by two dots and a process id.
pub const PATH_BYTES_MAX: usize = 107 - "..4194304".len();

/// Connections that the kernel holds until they are accepted; beyond them a proxy is turned away.
const BACKLOG: u32 = 1024;

/// A socket that listens; its file goes when it is dropped.
#[derive(Debug)]
pub struct LocalSocket {
    /// Where connections come from.
    pub listener: UnixListener,
    /// Where it is found.
    pub file: SocketFile,
}

/// The file of a socket of this process; removed when dropped, unless another has taken its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

/// Why a socket cannot stand where it should.
#[derive(Debug, Error)]
pub enum SocketError {
    /// Something else has its name.
    #[error("something that is no socket is there")]
    NotASocket,
    /// It is not ours to remove.
    #[error("a socket of another user is there, of uid {0}")]
    Foreign(u32),
    /// It is in use.
    #[error("another process listens there")]
    Live,
    /// Whoever writes to its directory can put another one in its place.
    #[error("its directory is another user's, or others can write to it")]
    Shared,
    /// The system refuses.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LocalSocket {
    /// Listens at `path`, to which whoever has the permission of `mode` may connect.
    ///
    /// The socket is made beside its place and moved there once it listens with its mode (HT-18). Before it
    /// listens nobody can connect, whatever mode it has until then.
    ///
    /// # Errors
    /// When others can write to its directory, something is there that must stay, see [`vacate`], or the system
    /// refuses.
    pub async fn bind(path: &Path, mode: u32) -> Result<Self, SocketError> {
        if !is_private(path)? {
            return Err(SocketError::Shared);
        }
        vacate(path).await?;
        let beside = beside(path);
        vacate(&beside).await?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(&beside)?;
        let mut file = SocketFile::of(beside)?;
        fs::set_permissions(&file.path, Permissions::from_mode(mode))?;
        let listener = socket.listen(BACKLOG)?;
        fs::rename(&file.path, path)?;
        path.clone_into(&mut file.path);
        Ok(Self { listener, file })
    }
}

impl SocketFile {
    /// Takes over the file at `path`.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(path: PathBuf) -> io::Result<Self> {
        let device_and_inode = device_and_inode(&fs::symlink_metadata(&path)?);
        Ok(Self { path, device_and_inode })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| device_and_inode(&found) == self.device_and_inode)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, path = %self.path.display(), "a socket cannot be removed");
        }
    }
}

/// Removes the socket that a process of this user left at `path` when it ended.
///
/// # Errors
/// When something else is there, or somebody listens: nothing is touched then.
pub async fn vacate(path: &Path) -> Result<(), SocketError> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::NotASocket);
    }
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(SocketError::Foreign(found.uid()));
    }
    match UnixStream::connect(path).await.map_err(|error| (error.kind(), error)) {
        Err((io::ErrorKind::ConnectionRefused, _)) => Ok(fs::remove_file(path)?),
        // Who is too busy to accept is there all the same.
        Ok(_) | Err((io::ErrorKind::WouldBlock, _)) => Err(SocketError::Live),
        Err((_, error)) => Err(error.into()),
    }
}

/// Whether nobody but this user and root can put anything beside `path`. That a directory is sticky does not help:
/// while nobody listens, the name is free.
fn is_private(path: &Path) -> io::Result<bool> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let found = fs::metadata(directory.unwrap_or(Path::new(".")))?;
    let is_ours = [0, rustix::process::geteuid().as_raw()].contains(&found.uid());
    Ok(is_ours && found.permissions().mode() & 0o022 == 0)
}

/// A name of this process in the same directory.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

fn device_and_inode(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net as blocking;

    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn it_listens_with_its_mode_alone_in_its_directory_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        for mode in [0o600, 0o660, 0o666] {
            let socket = LocalSocket::bind(&path, mode).await.unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
            assert_eq!(
                (names(directory.path()), socket.file.path()),
                (vec!["a.sock".into()], &*path)
            );
            let (accepted, connected) =
                tokio::join!(socket.listener.accept(), UnixStream::connect(&path));
            assert!(accepted.is_ok() && connected.is_ok());
            drop(socket);
            assert_eq!(names(directory.path()), [""; 0]);
        }
    }

    #[tokio::test]
    async fn what_a_process_left_behind_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        for left in [path.clone(), beside(&path)] {
            drop(blocking::UnixListener::bind(&left).unwrap());
            assert!(left.exists());
            drop(LocalSocket::bind(&path, 0o660).await.unwrap());
            assert_eq!(names(directory.path()), [""; 0]);
        }
    }

    #[tokio::test]
    async fn ht_18_a_busy_socket_and_what_is_none_are_refused_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let refusal = async || LocalSocket::bind(&path, 0o660).await.unwrap_err();

        fs::write(&path, "mine").unwrap();
        assert!(matches!(refusal().await, SocketError::NotASocket));
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();

        let elsewhere = directory.path().join("b.sock");
        drop(blocking::UnixListener::bind(&elsewhere).unwrap());
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(refusal().await, SocketError::NotASocket));
        assert_eq!(names(directory.path()), ["a.sock", "b.sock"]);
        fs::remove_file(&path).unwrap();

        let other = UnixSocket::new_stream().unwrap();
        other.bind(&path).unwrap();
        let _busy = other.listen(0).unwrap();
        // The first try takes the only place in its queue, so that the second finds none.
        for _ in 0..2 {
            assert!(matches!(refusal().await, SocketError::Live));
        }
        assert_eq!(names(directory.path()), ["a.sock", "b.sock"]);
    }

    #[tokio::test]
    async fn ht_18_a_directory_that_others_can_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        for (mode, is_refused) in [(0o755, false), (0o775, true), (0o1777, true), (0o700, false)] {
            fs::set_permissions(directory.path(), Permissions::from_mode(mode)).unwrap();
            let bound = LocalSocket::bind(&path, 0o660).await;
            assert_eq!(matches!(bound, Err(SocketError::Shared)), is_refused, "{mode:o}");
        }
    }

    #[tokio::test]
    async fn ht_18_a_socket_of_another_user_is_refused_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        drop(blocking::UnixListener::bind(&path).unwrap());
        if std::os::unix::fs::chown(&path, Some(1), None).is_err() {
            return println!("skipped: only root can give a file away");
        }
        let refused = LocalSocket::bind(&path, 0o660).await.unwrap_err();
        assert!(matches!(refused, SocketError::Foreign(1)), "{refused}");
        assert_eq!(names(directory.path()), ["a.sock"]);
    }

    #[tokio::test]
    async fn a_file_that_took_its_place_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let socket = LocalSocket::bind(&path, 0o660).await.unwrap();
        fs::remove_file(&path).unwrap();
        // The first is not freed as long as it is open, so its number is not given again.
        let next = LocalSocket::bind(&path, 0o660).await.unwrap();
        drop(socket);
        assert_eq!(names(directory.path()), ["a.sock"]);
        drop(next);
        assert_eq!(names(directory.path()), [""; 0]);
    }

    #[test]
    fn the_longest_path_leaves_room_for_the_name_beside() {
        let path = PathBuf::from(format!("/{}", "s".repeat(PATH_BYTES_MAX - 1)));
        let pid = std::process::id().to_string();
        let longest = beside(&path).as_os_str().len() - pid.len() + "4194304".len();
        assert_eq!(longest, 107);
    }
}
