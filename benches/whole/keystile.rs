//! The server under test: its release binary with its defaults, in an empty directory, its log in a file.

use std::cell::Cell;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http;
use super::load::{Client, Served};
use super::process::Process;

/// Below `sessions.max_per_user`, so that no login ends the session of another client.
const SESSIONS_PER_USER: usize = 16;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const PASSWORD: &str = "correct horse battery staple";
const JSON: &str = "content-type: application/json\r\n";
const FORM: &str = "content-type: application/x-www-form-urlencoded\r\n";

/// A running server and the directory that goes with it.
pub struct Server {
    /// The server.
    pub served: Rc<Served>,
    accounts: Cell<usize>,
    _directory: TempDir,
}

/// A login, as its client knows it.
pub struct Session {
    access: String,
    refresh: String,
}

impl Server {
    /// Starts `binary`; returns as soon as it listens.
    pub fn start(binary: &Path) -> Result<Self> {
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let log = directory.path().join("log");
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--data", "data"]);
        command.current_dir(directory.path()).stderr(File::create(&log)?);
        let process = Process::spawn(&mut command)?;
        let address = announced(&log)?;
        let served = Rc::new(Served { process, address });
        Ok(Self { served, accounts: Cell::new(0), _directory: directory })
    }

    /// Opens `count` sessions, of as many users as that takes.
    pub async fn sessions(&self, count: usize) -> Result<Vec<Session>> {
        let mut sessions = Vec::new();
        let mut login = Vec::new();
        while sessions.len() < count {
            if sessions.len() % SESSIONS_PER_USER == 0 {
                login = self.account().await?;
            }
            sessions.push(Session::of(&http::json(self.served.address, &login).await?)?);
        }
        Ok(sessions)
    }

    /// Clients that log in over and over, one account each.
    pub async fn logins(&self, count: usize) -> Result<Vec<Client>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(Client { request: self.account().await?, follow: None });
        }
        Ok(clients)
    }

    /// Registers one more user; returns what logs it in.
    async fn account(&self) -> Result<Vec<u8>> {
        let number = self.accounts.get();
        self.accounts.set(number + 1);
        let name = format!("user-{number}");
        let body = json!({ "username": name, "password": PASSWORD }).to_string();
        http::json(self.served.address, &http::request("POST /auth", JSON, &body)).await?;
        let form = format!("username={name}&password={}", PASSWORD.replace(' ', "+"));
        Ok(http::request("POST /token", FORM, &form))
    }
}

impl Session {
    fn of(pair: &Value) -> Result<Self> {
        let token = |name: &str| {
            let token = pair.get(name).and_then(Value::as_str).map(str::to_owned);
            token.with_context(|| format!("a pair without {name}"))
        };
        Ok(Self { access: token("access_token")?, refresh: token("refresh_token")? })
    }

    /// A client that asks who it is.
    pub fn me(&self) -> Client {
        Client { request: http::request("GET /users/me", &bearer(&self.access), ""), follow: None }
    }

    /// A client that exchanges each refresh token for the next.
    pub fn refresh(&self) -> Client {
        let next = |body: &[u8]| {
            let pair = Self::of(&serde_json::from_slice(body)?)?;
            Ok(http::request("POST /refresh", &bearer(&pair.refresh), ""))
        };
        let request = http::request("POST /refresh", &bearer(&self.refresh), "");
        Client { request, follow: Some(next) }
    }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// Where the server says that it listens. Its log is a file, since a pipe's reader would disturb it.
fn announced(log: &Path) -> Result<SocketAddr> {
    let started = Instant::now();
    while started.elapsed() < START_TIMEOUT {
        let text = fs::read_to_string(log)?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix("listening"));
        let url = line.and_then(|line| line.split_whitespace().next()?.strip_prefix("http://"));
        if let Some(address) = url {
            return Ok(address.parse()?);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    bail!("the server does not start: {}", fs::read_to_string(log)?)
}
