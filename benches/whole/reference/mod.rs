//! The bare references: what the server's operations would cost if it did nothing of its own.
//!
//! Each runs in a process of its own, which is this very binary started with another word, so that its CPU
//! time is counted like the server's.

mod append;
mod hash;
mod route;

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::runtime::Runtime;

pub use self::hash::MEMORY_KIB;
use super::common::process::Process;
use super::common::served::Served;
use super::subject::Load;

/// The argument that makes this binary a reference.
pub const WORD: &str = "reference";

/// Is the reference that `arguments` name.
pub fn serve(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["route"] => route::serve(),
        ["hash", workers] => hash::serve(workers.parse()?),
        ["append", clients] => append::serve(clients.parse()?),
        other => bail!("no reference is called {other:?}"),
    }
}

/// A poem route that answers a constant.
pub struct BareRoute(pub Rc<Served>);

impl BareRoute {
    /// Starts it.
    pub fn start() -> Result<Self> {
        let mut process = start(&["route"])?;
        let stdout = process.child().stdout.take().context("no pipe")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address: SocketAddr = line.trim().parse()?;
        Ok(Self(Rc::new(Served { process, address })))
    }
}

/// A process that is told on its standard input for how many milliseconds to work, and answers with how
/// many microseconds each piece of work took.
pub struct Worker {
    process: Process,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Argon2id with the server's parameters, in as many threads as it has workers.
pub fn bare_hash(workers: usize) -> Result<Worker> {
    Worker::start(&["hash", &workers.to_string()])
}

/// Records appended to a file by one thread for `clients` others, and synced in groups.
pub fn bare_append(clients: usize) -> Result<Worker> {
    Worker::start(&["append", &clients.to_string()])
}

impl Worker {
    fn start(arguments: &[&str]) -> Result<Self> {
        let mut process = start(arguments)?;
        let orders = process.child().stdin.take().context("no pipe")?;
        let answers = BufReader::new(process.child().stdout.take().context("no pipe")?);
        Ok(Self { process, orders, answers })
    }
}

impl Load for Worker {
    fn process(&self) -> &Process {
        &self.process
    }

    fn drive(&mut self, _: &Runtime, span: Duration) -> Result<Vec<Duration>> {
        writeln!(self.orders, "{}", span.as_millis())?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let micros: Vec<u64> = serde_json::from_str(&line)?;
        Ok(micros.into_iter().map(Duration::from_micros).collect())
    }
}

fn start(arguments: &[&str]) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(WORD).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    Process::spawn(&mut command)
}

/// The child's side of a [`Worker`]; ends with its parent.
fn obey(mut work: impl FnMut(Duration) -> Result<Vec<Duration>>) -> Result<()> {
    for order in std::io::stdin().lines() {
        let times = work(Duration::from_millis(order?.parse()?))?;
        let micros: Vec<_> = times.iter().map(Duration::as_micros).collect();
        writeln!(std::io::stdout(), "{}", serde_json::to_string(&micros)?)?;
    }
    Ok(())
}
