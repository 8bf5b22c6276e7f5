//! `keystile healthcheck`: whether a running server is well, for a container that has no `curl`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketType};

use super::{Common, load_config, output};
use crate::config::listen::Address;

/// How long connecting, and then answering, may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A status line is far shorter.
const STATUS_LINE_BYTES_MAX: u64 = 256;

/// Whom to ask.
#[derive(Args)]
pub struct HealthcheckArgs {
    /// Where to ask, http://HOST:PORT[/PATH] or unix:SOCKET [default: /readyz on the first configured address]
    #[arg(long)]
    url: Option<String>,
}

/// Carries out `healthcheck`.
///
/// # Errors
/// When the server does not answer, or answers anything but 200.
pub fn run(common: &Common, args: &HealthcheckArgs) -> anyhow::Result<()> {
    let (url, host) = match &args.url {
        Some(url) => (url.clone(), None),
        None => default_url(common)?,
    };
    let status =
        status_of(&url, host.as_deref()).with_context(|| format!("no answer from {url}"))?;
    if status != 200 {
        bail!("{url} answers {status}");
    }
    if common.json {
        output::json(&serde_json::json!({ "healthy": true }))?;
    } else {
        output::line("healthy")?;
    }
    Ok(())
}

/// The URL, and the host to name there unless its own will do.
fn default_url(common: &Common) -> anyhow::Result<(String, Option<String>)> {
    let config = load_config(common, &[])?;
    let url = match config.server.listen.first().context("server.listen is empty")? {
        Address::Tcp(address) => format!("http://{}/readyz", reachable(*address)),
        unix @ Address::Unix(_) => unix.to_string(),
    };
    Ok((url, config.server.allowed_hosts.into_iter().next()))
}

/// The address itself, or one of those it stands for.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    address
}

/// The status code of a GET, with `named` as its host unless the URL's own will do.
fn status_of(url: &str, named: Option<&str>) -> anyhow::Result<u16> {
    if let Some(socket) = url.strip_prefix("unix:") {
        let stream = connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        return status_over(stream, "readyz", named.unwrap_or("localhost"));
    }
    let rest = url.strip_prefix("http://").context("the URL must start with http:// or unix:")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, "readyz"));
    let with_port = if host.rsplit(']').next().is_some_and(|tail| tail.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = with_port.to_socket_addrs()?.next().context("the host has no address")?;
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    status_over(stream, path, named.unwrap_or(host))
}

/// Connects to a socket whose listener may have no room for one more and never get it: connecting waits for as long
/// as sending may take.
fn connect(path: &str) -> anyhow::Result<UnixStream> {
    let socket = net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT))?;
    net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// Asks: one line of HTTP/1.1 each way, for which no client library is carried along.
fn status_over(mut stream: impl Read + Write, path: &str, host: &str) -> anyhow::Result<u16> {
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(STATUS_LINE_BYTES_MAX)).read_line(&mut line)?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|digits| digits.parse().ok()).context("the answer is not HTTP")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_listener_that_has_no_room_for_one_more_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.sock");
        let listener = UnixListener::bind(&path).unwrap();
        net::listen(&listener, 0).unwrap();
        let path = path.to_str().unwrap();
        let first = connect(path);
        assert!(first.is_ok());
        let refused = status_of(&format!("unix:{path}"), None).unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&rustix::io::Errno::AGAIN));
        drop(listener.accept().unwrap());
        assert!(connect(path).is_ok());
    }
}
