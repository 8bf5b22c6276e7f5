//! The command line's end of the admin socket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::admin::protocol::{LINE_BYTES_MAX, Refusal, Reply, Request};
use crate::admin::server::socket_path;

/// How long an answer may take: hashing may have to queue.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to the server that runs on a data directory.
pub struct Client {
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the server on `data`; nothing when none listens there.
    ///
    /// # Errors
    /// When the socket is there but this user may not open it.
    pub fn connect(data: &Path) -> io::Result<Option<Self>> {
        let stream = match UnixStream::connect(socket_path(data)) {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                    _ => Err(error),
                };
            }
        };
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Some(Self { stream: BufReader::new(stream) }))
    }

    /// Sends one command and waits for its answer, or the first reply of it.
    ///
    /// # Errors
    /// When the connection breaks or the server does not answer in time.
    pub fn call(&mut self, request: &Request) -> io::Result<Result<Reply, Refusal>> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let sent = self.stream.get_mut().write_all(&line);
        zeroize::Zeroize::zeroize(&mut line);
        sent.map_err(in_time)?;
        self.reply()
    }

    /// Waits for the next reply to the command that was sent last, which has to have one.
    ///
    /// # Errors
    /// When the connection breaks or the server does not answer in time.
    pub fn reply(&mut self) -> io::Result<Result<Reply, Refusal>> {
        let mut answer = String::new();
        self.stream.by_ref().take(LINE_BYTES_MAX).read_line(&mut answer).map_err(in_time)?;
        if answer.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up"));
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

/// Says so if `error` is that the time was up, which the system calls "temporarily unavailable".
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let text = format!("no answer for {} s", ANSWER_TIMEOUT.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, text)
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_said_to_be_silent() {
        let late = in_time(io::ErrorKind::WouldBlock.into());
        assert_eq!(late.to_string(), "no answer for 30 s");
        let gone = in_time(io::ErrorKind::BrokenPipe.into());
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }
}
