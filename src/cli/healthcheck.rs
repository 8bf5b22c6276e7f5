//! `keystile healthcheck`: whether a running server is well, for a container that has no `curl`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::{Common, load_config, output};

/// How long connecting, and then answering, may take.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A status line is far shorter.
const STATUS_LINE_BYTES_MAX: u64 = 256;

/// Whom to ask.
#[derive(Args)]
pub struct HealthcheckArgs {
    /// Where to ask, http://HOST:PORT[/PATH] [default: /readyz on the first configured address]
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
    let mut address = *config.server.listen.first().context("server.listen is empty")?;
    if address.ip().is_unspecified() {
        let loopback: IpAddr = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        address.set_ip(loopback);
    }
    Ok((format!("http://{address}/readyz"), config.server.allowed_hosts.into_iter().next()))
}

/// The status code of a GET: one line of HTTP/1.1 each way, for which no client library is carried along.
fn status_of(url: &str, named: Option<&str>) -> anyhow::Result<u16> {
    let rest = url.strip_prefix("http://").context("the URL must start with http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, "readyz"));
    let with_port = if host.rsplit(']').next().is_some_and(|tail| tail.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let address = with_port.to_socket_addrs()?.next().context("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let host = named.unwrap_or(host);
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut line = String::new();
    BufReader::new(stream.take(STATUS_LINE_BYTES_MAX)).read_line(&mut line)?;
    let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    status.and_then(|digits| digits.parse().ok()).context("the answer is not HTTP")
}
