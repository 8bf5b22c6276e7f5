//! More logins than can be hashed: whether those who are signed in notice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::arguments::Plan;
use super::clients::{LIFE, Repeat, login};
use super::common::data;
use super::common::figures::Times;
use super::common::http::{Answer, with_bearer};
use super::common::load::{Client, drive};
use super::common::record::{Goal, Run, SPACE, Table, figure};
use super::common::served::{DATA, Served};
use super::subject::forget_peak;

/// Connections that check bearer tokens.
const SIGNED_IN: usize = 16;
/// Connections that log in, far more than may wait to be hashed.
const FLOODING: usize = 64;
/// The goal for bearer checks meanwhile.
const P99_MS_MAX: f64 = 50.0;

/// How often each status came, with the `code` of its body if it is an error.
type Statuses = BTreeMap<String, u32>;

/// Takes any answer, and counts.
struct Counted {
    request: Vec<u8>,
    statuses: Arc<Mutex<Statuses>>,
}

impl Client for Counted {
    fn next(&mut self) -> Option<&[u8]> {
        Some(&self.request)
    }

    fn answered(&mut self, answer: &Answer<'_>) -> Result<()> {
        let mut key = answer.status.to_string();
        if answer.status >= 400 {
            let body: Value = serde_json::from_slice(answer.body)?;
            let code = body.get("code").and_then(Value::as_str).unwrap_or("no code");
            key = format!("{key} {code}");
        }
        *self.statuses.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        Ok(())
    }
}

/// Floods a server of its own, and has sessions checked meanwhile.
pub fn measure(plan: &Plan, runtime: &Runtime, run: &mut Run) -> Result<()> {
    let directory = TempDir::new_in(Path::new(SPACE))?;
    let path = directory.path().join(DATA);
    let (signer, logins) = runtime.block_on(data::fill(&path, (0, SIGNED_IN), |_| Ok(())))?;
    // It is the queue that is to be full, not the patience with one name.
    let settings = [("KEYSTILE_THROTTLE__ENABLED", "false")];
    let served = Served::start(&plan.server, directory.path(), &settings)?;
    let mut signed_in = Vec::new();
    for login in &logins {
        signed_in.push(Repeat(with_bearer("GET /users/me", &signer.access(login, LIFE)?)));
    }
    let statuses = Arc::new(Mutex::new(Statuses::new()));
    // A name that nobody has is hashed for like any other.
    let flooding = |_| Counted { request: login("nobody"), statuses: Arc::clone(&statuses) };
    let mut flooding: Vec<_> = (0..FLOODING).map(flooding).collect();
    forget_peak(&served.process)?;
    let (checks, _) = runtime.block_on(async {
        tokio::try_join!(
            drive(served.address, &mut signed_in, plan.flood),
            drive(served.address, &mut flooding, plan.flood),
        )
    })?;
    let statuses = statuses.lock().unwrap_or_else(PoisonError::into_inner).clone();
    report(run, checks, &statuses, served.process.memory("VmHWM")?)
}

fn report(run: &mut Run, checks: Vec<Duration>, statuses: &Statuses, peak_mb: f64) -> Result<()> {
    let count = checks.len().to_string();
    let checks = Times::new(checks);
    let about = format!(
        "{FLOODING} connections log in as fast as they are answered, refused or not, while {SIGNED_IN} others \
         send `GET /users/me`. What may not wait to be hashed is to be refused with 503, and nobody else."
    );
    let mut table = Table::new(
        "While the hash queue is full",
        &about,
        &["what", "answers", "p50", "p99", "p99.9", "peak RSS"],
    );
    let ms = |per_mille| figure(checks.quantile(per_mille), "ms");
    let peak = figure(peak_mb, "MB");
    table.rows.push(vec![
        "`GET /users/me`: 200".to_owned(),
        count,
        ms(500),
        ms(990),
        ms(999),
        peak,
    ]);
    for (status, count) in statuses {
        let mut row = vec![format!("`POST /token`: {status}"), count.to_string()];
        row.resize(table.columns.len(), String::new());
        table.rows.push(row);
    }
    run.tables.push(table);
    let is_full = |status: &str| status == "503 unavailable";
    let others = |(status, _): &(&String, &u32)| status.starts_with('5') && !is_full(status);
    let failures: u32 = statuses.iter().filter(others).map(|(_, count)| count).sum();
    let refused = statuses.iter().any(|(status, _)| is_full(status));
    let p99 = if refused { checks.quantile(990) } else { f64::NAN };
    run.goals.push(Goal::at_most("bearer check, hash queue full: p99", p99, P99_MS_MAX, "ms"));
    let what = "answers 5xx but the queue's own 503";
    run.goals.push(Goal::at_most(what, f64::from(failures), 0.0, ""));
    ensure!(failures == 0, "a flood of logins has failed what it should not: {statuses:?}");
    Ok(())
}
