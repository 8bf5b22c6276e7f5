//! What takes its turn in a round: something kept busy while its process is measured from outside.

use std::fs;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use super::common::figures::{millis, number};
use super::common::load::{Client, drive};
use super::common::process::Process;
use super::common::served::Served;

/// `USER_HZ`, in which Linux counts CPU time towards user space on every architecture but Alpha.
const TICKS_PER_SEC: f64 = 100.0;

/// Something that can be kept busy.
pub trait Load {
    /// Where the work is done.
    fn process(&self) -> &Process;

    /// Makes ready for `span`, which is not measured.
    fn prepare(&mut self, _span: Duration) -> Result<()> {
        Ok(())
    }

    /// Keeps it busy for `span`; returns how long each operation took.
    fn drive(&mut self, runtime: &Runtime, span: Duration) -> Result<Vec<Duration>>;
}

/// Something measured under a name.
pub struct Subject {
    /// What the table calls it.
    pub name: &'static str,
    /// What keeps it busy.
    pub load: Box<dyn Load>,
}

/// What one round of one subject gave.
pub struct Round {
    /// CPU time of each operation, in milliseconds.
    pub cpu_ms: f64,
    /// Operations a second.
    pub per_sec: f64,
    /// The most memory meanwhile, in millions of bytes.
    pub peak_mb: f64,
    /// How long each operation took.
    pub times: Vec<Duration>,
}

impl Subject {
    /// Runs one round.
    pub fn run(&mut self, runtime: &Runtime, span: Duration) -> Result<Round> {
        self.load.prepare(span)?;
        forget_peak(self.load.process())?;
        let (before, started) = (cpu(self.load.process())?, Instant::now());
        let times = self.load.drive(runtime, span)?;
        let elapsed = started.elapsed();
        let spent = cpu(self.load.process())?.saturating_sub(before);
        let count = number(times.len());
        Ok(Round {
            cpu_ms: millis(spent) / count,
            per_sec: count / elapsed.as_secs_f64(),
            peak_mb: self.load.process().memory("VmHWM")?,
            times,
        })
    }
}

/// The load of several clients on one server.
pub struct HttpLoad<C> {
    served: Rc<Served>,
    clients: Vec<C>,
}

impl<C: Client> HttpLoad<C> {
    /// That of `clients` on `served`.
    pub fn on(served: &Rc<Served>, clients: Vec<C>) -> Self {
        Self { served: Rc::clone(served), clients }
    }

    /// Sends other clients.
    pub fn replace(&mut self, clients: Vec<C>) {
        self.clients = clients;
    }
}

impl<C: Client> Load for HttpLoad<C> {
    fn process(&self) -> &Process {
        &self.served.process
    }

    fn drive(&mut self, runtime: &Runtime, span: Duration) -> Result<Vec<Duration>> {
        runtime.block_on(drive(self.served.address, &mut self.clients, span))
    }
}

/// Has the peak of the memory of `process` count from now on.
pub fn forget_peak(process: &Process) -> Result<()> {
    Ok(fs::write(process.file("clear_refs"), "5")?)
}

/// The CPU time that all threads of `process` have used, those that have ended too.
fn cpu(process: &Process) -> Result<Duration> {
    let stat = fs::read_to_string(process.file("stat"))?;
    // The name of the program comes before, in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").context("no process statistics")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
    let ticks = ticks.sum::<Result<u32, _>>()?;
    Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SEC))
}
