//! What is seen of the server from outside while traffic runs: memory, disk, and the end of a sweep.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::common::served::{LOG, Served};
use super::server::disk_mb;

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(250);
/// How long a sweep may take.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// What the server says at the end of a sweep that found something.
const SWEPT: &str = "swept what has expired";

/// One look at the server.
pub struct Look {
    /// When, since the traffic began.
    pub at: Duration,
    /// Resident memory, in millions of bytes.
    pub rss_mb: f64,
    /// The data directory, in millions of bytes.
    pub disk_mb: f64,
}

/// A sweep.
pub struct Sweep {
    /// When it began, since the traffic did.
    pub from: Duration,
    /// When it ended.
    pub to: Duration,
    /// How many records it went through.
    pub records: u32,
}

/// Looks until a sweep has ended and `after` has passed since; then sets `ended`.
pub async fn sweep(
    served: &Served,
    directory: &Path,
    after: Duration,
    ended: &AtomicBool,
) -> Result<(Vec<Look>, Sweep)> {
    let begun = Instant::now();
    let mut log = BufReader::new(File::open(directory.join(LOG))?);
    let mut line = String::new();
    let mut looks = Vec::new();
    let mut seen = None;
    loop {
        let at = begun.elapsed();
        let (rss_mb, disk_mb) = (served.process.memory("VmRSS")?, disk_mb(directory)?);
        looks.push(Look { at, rss_mb, disk_mb });
        if seen.is_none()
            && let Some((records, took)) = swept(&mut log, &mut line)?
        {
            seen = Some(Sweep { from: at.saturating_sub(took), to: at, records });
        }
        match seen {
            Some(sweep) if at >= sweep.to + after => {
                ended.store(true, Ordering::Relaxed);
                return Ok((looks, sweep));
            }
            None if at > PATIENCE => bail!("the sweep does not end"),
            _ => tokio::time::sleep(EVERY).await,
        }
    }
}

/// Reads on in the log, to the line that tells of a sweep if there is one: of how many records, in what time.
/// What there is of a line so far stays in `line`.
fn swept(log: &mut impl BufRead, line: &mut String) -> Result<Option<(u32, Duration)>> {
    while log.read_line(line)? > 0 && line.ends_with('\n') {
        if line.contains(SWEPT) {
            let entry: Value = serde_json::from_str(line)?;
            let records = entry.get("records").and_then(Value::as_u64).context("nothing swept")?;
            let took_ms =
                entry.get("duration_ms").and_then(Value::as_f64).context("no duration")?;
            let took = Duration::from_secs_f64(took_ms / 1000.0);
            return Ok(Some((u32::try_from(records)?, took)));
        }
        line.clear();
    }
    Ok(None)
}
