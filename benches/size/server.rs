//! The server on its filled directory: how it is opened and ended, and what it takes on disk.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::runtime::Runtime;

use super::arguments::Plan;
use super::common::figures::megabytes;
use super::common::served::{DATA, Served};

/// A rest of the sweeper that outlasts whatever is measured without it.
pub const NO_SWEEP: &str = "1h";

/// What clap exits with when it does not know a command.
const USAGE: i32 = 2;

/// Starts the server, its sweeper resting for `sweep_interval` first; how long the first 200 took.
pub fn open(
    plan: &Plan,
    runtime: &Runtime,
    directory: &Path,
    sweep_interval: &str,
) -> Result<(Served, Duration)> {
    let settings = [
        ("KEYSTILE_SESSIONS__SWEEP_INTERVAL", sweep_interval),
        ("KEYSTILE_LOG__LEVEL", "info,keystile::app::background=debug"),
    ];
    let started = Instant::now();
    let served = Served::start(&plan.server, directory, &settings)?;
    runtime.block_on(served.answers())?;
    Ok((served, started.elapsed()))
}

/// Ends it in good order; how long that took.
pub fn stop(mut served: Served) -> Result<Duration> {
    let asked = Instant::now();
    let child = served.process.child();
    kill_process(Pid::from_child(child), Signal::TERM)?;
    let status = child.wait()?;
    if !status.success() {
        bail!("the server ended with {status}");
    }
    Ok(asked.elapsed())
}

/// Rewrites the database; how long that took, or nothing if the binary has no such command.
pub fn compact(plan: &Plan, directory: &Path) -> Result<Option<Duration>> {
    let started = Instant::now();
    let mut command = Command::new(&plan.server);
    let done = command.args(["compact", "--data", DATA]).current_dir(directory).output()?;
    match done.status.code() {
        Some(0) => Ok(Some(started.elapsed())),
        Some(USAGE) => Ok(None),
        _ => bail!("compact: {}", String::from_utf8_lossy(&done.stderr)),
    }
}

/// What the data directory takes on disk, in millions of bytes.
pub fn disk_mb(directory: &Path) -> Result<f64> {
    Ok(megabytes(allocated(&directory.join(DATA))?))
}

fn allocated(path: &Path) -> Result<u64> {
    /// What `st_blocks` counts in.
    const BLOCK_BYTES: u64 = 512;
    let mut bytes = 0;
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => bytes += allocated(&path)?,
            Ok(found) => bytes += found.blocks() * BLOCK_BYTES,
            // The server removes files of its own meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}
