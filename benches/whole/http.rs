//! As much of HTTP/1.1 as a load generator needs: one request after another on a kept connection.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A connection.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::with_capacity(4096) })
    }

    /// Sends `request` and returns the body of the answer.
    ///
    /// # Errors
    /// When the answer is not a 2xx, too: a refusal is quick, and would flatter the figures.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let body = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                bail!("the server closed the connection");
            }
            let end = self.received.windows(END_OF_HEAD.len()).position(|at| at == END_OF_HEAD);
            let Some((head, rest)) = end.and_then(|end| self.received.split_at_checked(end)) else {
                continue;
            };
            let head = str::from_utf8(head)?;
            if !head.starts_with("HTTP/1.1 2") {
                bail!("answered {:?}", String::from_utf8_lossy(&self.received));
            }
            if rest.len() >= END_OF_HEAD.len() + content_length(head)? {
                break head.len() + END_OF_HEAD.len();
            }
        };
        self.received.get(body..).context("no body")
    }
}

/// Sends one request of its own connection and reads the JSON it is answered with.
pub async fn json(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let mut connection = Connection::open(address).await?;
    Ok(serde_json::from_slice(connection.exchange(request).await?)?)
}

/// A request; `headers` are whole lines.
pub fn request(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("{line} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn content_length(head: &str) -> Result<usize> {
    let named = |line: &str| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    };
    head.lines().find_map(named).context("an answer without a length")
}
