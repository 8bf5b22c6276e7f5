//! The running server's end of the admin socket: `<data>/admin.sock`, open to the owner of the data
//! directory and to root.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::WriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::admin::protocol::{LINE_BYTES_MAX, Refusal, Reply, Request};
use crate::admin::{Answer, next_reply, perform};
use crate::auth::Auth;
use crate::auth::export::Dump;
use crate::auth::policy::Operator;
use crate::socket::{SocketError, SocketFile, vacate};

/// How many operators may be connected at a time.
const CONNECTIONS_MAX: u32 = 16;
/// How long a connection may stay silent, and may take to read an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait before accepting again after that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the server on `data` listens for its operator.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("admin.sock")
}

/// The bound socket; its file goes when it is dropped.
pub struct AdminSocket {
    listener: UnixListener,
    owner: u32,
    _file: SocketFile,
}

impl AdminSocket {
    /// Binds the socket of the data directory, whose lock the caller holds.
    ///
    /// # Errors
    /// When something else than what a process left has its name, or it cannot be bound.
    pub async fn bind(data: &Path) -> Result<Self, SocketError> {
        let path = socket_path(data);
        vacate(&path).await?;
        // The directory is 0700, so nobody else reaches the socket before its own mode is set.
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let owner = std::fs::metadata(data)?.uid();
        Ok(Self { listener, owner, _file: SocketFile::of(path)? })
    }

    /// Answers operators until `stopped`; a command under way is finished.
    pub async fn serve(self, auth: Arc<Auth>, stopped: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        let mut stopping = stopped.clone();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stopping.wait_for(|stopped| *stopped) => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "the admin socket cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(operator) = self.admit(&stream) else { continue };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let (auth, stopped) = (Arc::clone(&auth), stopped.clone());
            tokio::spawn(async move {
                if let Err(error) = converse(&auth, &operator, stream, stopped).await {
                    tracing::debug!(%error, "an operator's connection broke");
                }
                drop(place);
            });
        }
        // What is still connected is at a command, which the deadlines of hashing, store and reader bound; a
        // dump is broken off.
        drop(places.acquire_many(CONNECTIONS_MAX).await);
    }

    /// The peer as the operator, if the kernel says that it is the owner or root.
    fn admit(&self, stream: &UnixStream) -> Option<Operator> {
        let uid = stream.peer_cred().ok()?.uid();
        if uid == self.owner || uid == 0 {
            return Some(Operator::checked());
        }
        tracing::warn!(uid, "somebody else tried the admin socket");
        None
    }
}

/// Answers one line after the other, until there is no other or it is time to stop.
async fn converse(
    auth: &Auth,
    operator: &Operator,
    mut stream: UnixStream,
    mut stopped: watch::Receiver<bool>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = zeroize::Zeroizing::new(Vec::new());
        let mut limited = (&mut reader).take(LINE_BYTES_MAX);
        let read = tokio::time::timeout(IDLE_TIMEOUT, limited.read_until(b'\n', &mut line));
        tokio::select! {
            read = read => read??,
            _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
        };
        if line.is_empty() {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            // Whatever follows would be read as a command of its own.
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without an end"));
        }
        let answer = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => perform(auth, operator, request).await,
            Err(_) => Err(Refusal("this server does not know that command".to_owned())),
        };
        match answer {
            Ok(Answer::One(reply)) => send(&mut writer, Ok(reply)).await?,
            Err(refusal) => send(&mut writer, Err(refusal)).await?,
            Ok(Answer::Dump(dump)) => tokio::select! {
                sent = send_dump(&mut writer, dump) => sent?,
                // It may take long, and nothing is lost with it: whoever reads misses its end.
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(()),
            },
        }
    }
}

/// Sends one reply after the other, up to the end or a refusal.
async fn send_dump(writer: &mut WriteHalf<'_>, mut dump: Dump) -> io::Result<()> {
    while let Some(reply) = next_reply(&mut dump).await.transpose() {
        let is_refusal = reply.is_err();
        send(writer, reply).await?;
        if is_refusal {
            break;
        }
    }
    Ok(())
}

/// Sends one line to an operator who reads.
async fn send(writer: &mut WriteHalf<'_>, answer: Result<Reply, Refusal>) -> io::Result<()> {
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    tokio::time::timeout(IDLE_TIMEOUT, writer.write_all(&line)).await?
}
