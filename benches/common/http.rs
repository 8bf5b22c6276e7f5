//! As much of HTTP/1.1 as a load generator needs: one request after another on a kept connection.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A connection.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// What came back.
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: &'a [u8],
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends `request` and returns the answer.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (status, body) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the server closed the connection");
            }
            let end = self.received.windows(END_OF_HEAD.len()).position(|at| at == END_OF_HEAD);
            let Some((head, rest)) = end.and_then(|end| self.received.split_at_checked(end)) else {
                continue;
            };
            let head = str::from_utf8(head)?;
            if rest.len() >= END_OF_HEAD.len() + content_length(head)? {
                break (status(head)?, head.len() + END_OF_HEAD.len());
            }
        };
        Ok(Answer { status, body: self.received.get(body..).context("no body")? })
    }
}

impl<'a> Answer<'a> {
    /// The body of a 2xx: a refusal is quick, and would flatter the figures.
    pub fn success(&self) -> Result<&'a [u8]> {
        if self.status / 100 != 2 {
            bail!("answered {} {}", self.status, String::from_utf8_lossy(self.body));
        }
        Ok(self.body)
    }
}

/// A request; `headers` are whole lines.
pub fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A request that presents `token`.
pub fn with_bearer(line: &str, token: &str) -> Vec<u8> {
    request(line, &format!("authorization: Bearer {token}\r\n"), "")
}

fn status(head: &str) -> Result<u16> {
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.context("an answer without a status")?.parse().context("no status")
}

fn content_length(head: &str) -> Result<usize> {
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(named).context("an answer without a length")
}
