//! The server with a million sessions, half of which have long expired: disk, memory, reopening, random bearer
//! checks, and what the sweep of the expired half does to traffic.
//!
//! `cargo bench --bench size` takes about ten minutes and 3 GB below the target directory; `-- --sessions
//! 20000` a minute. `-- --write` keeps the results and makes `BENCHMARKS.md` of them; `-- --server FILE`
//! measures another binary.

mod arguments;
#[path = "../common/mod.rs"]
mod common;
mod report;
mod server;
mod traffic;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::arguments::Plan;
use self::common::data::{self, Login, Signer};
use self::common::figures::{Times, number};
use self::common::load::{Once, drive};
use self::common::progress;
use self::common::record::{Run, SPACE};
use self::common::served::{DATA, Served};
use self::report::{Compacted, Found, Swept};
use self::server::{NO_SWEEP, compact, disk_mb, open, stop};
use self::traffic::Supply;

/// Connections of the random bearer checks, which ask as fast as they are answered.
const CONNECTIONS: usize = 16;
/// More than the random bearer checks ever take.
const LONG: Duration = Duration::from_secs(60 * 60);
/// How long traffic runs before a server is killed under it, or its sweep begins.
const BEFORE_SWEEP: &str = "20s";
/// How long it goes on after the sweep.
const AFTER_SWEEP: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let plan = Plan::parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let space = TempDir::new_in(SPACE)?;
    let found = measure(&plan, &runtime, space.path())?;
    let command = format!("cargo bench --bench size -- --sessions {}", plan.sessions);
    let mut run = Run::new(&format!("{} sessions", grouped(plan.sessions)), &command)?;
    report::report(&mut run, &found);
    run.print(&mut std::io::stdout().lock())?;
    if plan.write { run.write("size") } else { Ok(()) }
}

fn measure(plan: &Plan, runtime: &Runtime, directory: &Path) -> Result<Found> {
    let filling = Instant::now();
    let mut filled = Vec::new();
    let (signer, logins) = fill(plan, runtime, directory, &mut filled)?;
    let fill_took = filling.elapsed();
    let supply = Arc::new(Supply::new(signer, logins));
    let disk_filled_mb = disk_mb(directory)?;

    progress("a check of every session that lives, in random order, and a kill under load")?;
    let (mut served, open_first) = open(plan, runtime, directory, NO_SWEEP)?;
    let rss_opened_mb = served.process.memory("VmRSS")?;
    let mut clients: Vec<_> = supply.all_checks(CONNECTIONS)?.into_iter().map(Once::new).collect();
    let checks = Times::new(runtime.block_on(drive(served.address, &mut clients, LONG))?);
    let rss_checked_mb = served.process.memory("VmRSS")?;
    let peak_before_mb = runtime.block_on(kill_under_load(&mut served, &supply))?;

    progress("traffic, and the sweep of the expired half under it")?;
    let (served, open_killed) = open(plan, runtime, directory, BEFORE_SWEEP)?;
    let ended = Arc::new(AtomicBool::new(false));
    let (samples, (looks, sweep)) = runtime.block_on(async {
        tokio::try_join!(
            traffic::run(&served, &supply, &ended),
            watch::sweep(&served, directory, AFTER_SWEEP, &ended),
        )
    })?;
    let rss_end_mb = served.process.memory("VmRSS")?;
    let peak_mb = peak_before_mb.max(served.process.memory("VmHWM")?);
    let stop_took = stop(served)?;
    let (served, open_swept) = open(plan, runtime, directory, NO_SWEEP)?;
    stop(served)?;
    let disk_swept_mb = disk_mb(directory)?;
    let compacted = compacted(plan, runtime, directory)?;
    Ok(Found {
        sessions: plan.sessions,
        filled,
        fill_took,
        disk_filled_mb,
        rss_opened_mb,
        checks,
        rss_checked_mb,
        open_first,
        open_killed,
        open_swept,
        stop_took,
        swept: Swept { samples, looks, sweep },
        rss_end_mb,
        peak_mb,
        disk_swept_mb,
        compacted,
    })
}

/// Writes the sessions; `filled` gets the size on disk at each number of thousands on the way.
fn fill(
    plan: &Plan,
    runtime: &Runtime,
    directory: &Path,
    filled: &mut Vec<(f64, f64)>,
) -> Result<(Signer, Vec<Login>)> {
    /// How many sizes there are to draw.
    const SIZES: usize = 100;
    let half = plan.sessions / 2;
    let every = (plan.sessions / SIZES).next_multiple_of(1000);
    let path = directory.join(DATA);
    runtime.block_on(data::fill(&path, (plan.sessions - half, half), |done| {
        if done % every == 0 {
            filled.push((number(done) / 1000.0, disk_mb(directory)?));
        }
        if done % (10 * every) == 0 {
            progress(&format!("{} of {} sessions", grouped(done), grouped(plan.sessions)))?;
        }
        Ok(())
    }))
}

/// Runs traffic for a while and kills the server in the midst of it; returns the most memory it had.
async fn kill_under_load(served: &mut Served, supply: &Arc<Supply>) -> Result<f64> {
    const SPAN: Duration = Duration::from_secs(5);
    let id = Pid::from_child(served.process.child());
    let ended = Arc::new(AtomicBool::new(false));
    let peak_mb = tokio::select! {
        ended = traffic::run(served, supply, &ended) => {
            ended?;
            bail!("the traffic ended by itself");
        }
        () = tokio::time::sleep(SPAN) => {
            let peak_mb = served.process.memory("VmHWM")?;
            kill_process(id, Signal::KILL)?;
            peak_mb
        }
    };
    served.process.child().wait()?;
    Ok(peak_mb)
}

/// Compacts the database and opens it once more; nothing if the binary cannot.
fn compacted(plan: &Plan, runtime: &Runtime, directory: &Path) -> Result<Option<Compacted>> {
    progress("compacting")?;
    let Some(took) = compact(plan, directory)? else { return Ok(None) };
    let disk_mb = disk_mb(directory)?;
    let (served, open) = open(plan, runtime, directory, NO_SWEEP)?;
    stop(served)?;
    Ok(Some(Compacted { took, disk_mb, open }))
}

/// `count` with its thousands apart.
fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let mut groups: Vec<_> = tail.as_bytes().chunks(3).map(String::from_utf8_lossy).collect();
    if !head.is_empty() {
        groups.insert(0, head.into());
    }
    groups.join(",")
}
