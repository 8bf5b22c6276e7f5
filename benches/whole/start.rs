//! What a start costs: the time to the first answer, the memory of a server that does nothing.

use std::time::{Duration, Instant};

use anyhow::Result;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::arguments::Plan;
use super::common::figures::{megabytes, millis};
use super::common::record::{Goal, Run, SPACE, Table, figure};
use super::common::served::Served;
use super::report::median;

/// Long enough for the first heartbeat and the first sweep.
const SETTLED_AFTER: Duration = Duration::from_secs(7);
const RSS_MB_MAX: f64 = 9.0;
const START_MS_MAX: f64 = 20.0;
const BINARY_MB_MAX: f64 = 12.0;

/// Starts on an empty directory, and a server that nobody asks anything. Returns milliseconds to the first
/// 200, and millions of bytes resident.
pub fn measure(plan: &Plan, runtime: &Runtime, run: &mut Run) -> Result<(f64, f64)> {
    let mut times = Vec::new();
    for _ in 0..plan.starts {
        let directory = TempDir::new_in(SPACE)?;
        let started = Instant::now();
        let served = Served::start(&plan.server, directory.path(), &[])?;
        runtime.block_on(served.answers())?;
        times.push(millis(started.elapsed()));
    }
    let directory = TempDir::new_in(SPACE)?;
    let idle = Served::start(&plan.server, directory.path(), &[])?;
    std::thread::sleep(SETTLED_AFTER);
    let memory = |name| Ok::<_, anyhow::Error>(figure(idle.process.memory(name)?, "MB"));
    let (cold, rss) = (median(times), idle.process.memory("VmRSS")?);
    let binary = megabytes(std::fs::metadata(&plan.server)?.len());
    let about = "A start is timed from the process on an empty directory to its first 200, keys made and \
                 everything synced. Idle memory is taken 7 s after a start. MB are millions of bytes.";
    let mut table = Table::new("At rest", about, &["what", "figure"]);
    let mut row = |what: &str, figure: String| table.rows.push(vec![what.to_owned(), figure]);
    row(&format!("cold start, the median of {}", plan.starts), figure(cold, "ms"));
    row("idle memory, all that is resident", memory("VmRSS")?);
    row("of that its own", memory("RssAnon")?);
    row("of that the binary and libraries", memory("RssFile")?);
    row("binary", figure(binary, "MB"));
    run.tables.push(table);
    run.goals.push(Goal::at_most("idle RSS", rss, RSS_MB_MAX, "MB"));
    run.goals.push(Goal::at_most("cold start", cold, START_MS_MAX, "ms"));
    run.goals.push(Goal::at_most("release binary", binary, BINARY_MB_MAX, "MB"));
    Ok((cold, rss))
}
