//! The server under test: its release binary with its defaults, its log in a file.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::http::{self, Connection};
use super::process::Process;

/// The data directory, in the directory that the server is started in.
pub const DATA: &str = "data";
/// Its log, there.
pub const LOG: &str = "log";

const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A process that serves HTTP.
pub struct Served {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Served {
    /// Starts `binary` in `directory` with settings from the environment; returns as soon as it listens.
    pub fn start(binary: &Path, directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let log = directory.join(LOG);
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--data", DATA]);
        command.envs(settings.iter().copied());
        command.current_dir(directory).stderr(File::create(&log)?);
        let mut process = Process::spawn(&mut command)?;
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if let Some(address) = announced(&log)? {
                return Ok(Self { process, address });
            }
            if process.child().try_wait()?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        bail!("the server does not start: {}", fs::read_to_string(log)?)
    }

    /// Waits for its first 200.
    pub async fn answers(&self) -> Result<()> {
        let mut connection = Connection::open(self.address).await?;
        connection.exchange(&http::request("GET /healthz", "", "")).await?.success().map(drop)
    }
}

/// Where the server says that it listens. Its log is a file, since a pipe's reader would disturb it.
fn announced(log: &Path) -> Result<Option<SocketAddr>> {
    let text = fs::read_to_string(log)?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("listening"));
    let url = line.and_then(|line| line.split_whitespace().next()?.strip_prefix("http://"));
    Ok(url.map(str::parse).transpose()?)
}
