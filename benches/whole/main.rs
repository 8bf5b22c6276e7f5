//! The server measured as a whole, beside bare references of what its operations stand on.
//!
//! `cargo bench --bench whole` takes about three minutes; `-- --quick` a third of it. `-- --write` keeps the
//! results and makes `BENCHMARKS.md` of them; `-- --server FILE` measures another binary, `-- --only refresh`
//! the operations of that name, for a profiler. What is compared runs in turns within one run, so that a busy
//! machine disturbs both alike, and counts in CPU time of the serving process: read the ratios, not the
//! absolute figures.

mod arguments;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod flood;
mod peers;
mod reference;
mod report;
mod start;
mod subject;

use std::path::Path;
use std::rc::Rc;

use anyhow::Result;
use keystile::password::settings::{default_workers, memory_limit_kib};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::arguments::{Arguments, Plan};
use self::clients::{FirstSeen, LIFE, LOGINS_PER_CLIENT, Refresh, Repeat, logins};
use self::common::http::with_bearer;
use self::common::record::{Run, SPACE};
use self::common::served::{DATA, Served};
use self::common::{data, progress};
use self::reference::{BareRoute, bare_append, bare_hash};
use self::report::{APPEND, FIRST_SEEN, HASH, LOGIN, REFRESH, ROUTE, Report, SEEN};
use self::subject::{HttpLoad, Load, Subject};

/// As many connections as a busy reverse proxy keeps open.
const CONNECTIONS: usize = 64;
const ABOUT: &str = "\
Each operation runs in turns with the bare reference of what it stands on, round by round, against a server of \
its own and with the same load generator: 64 connections that each send as soon as they are answered (logins: \
one more than hash at a time). CPU/op is user and system time of the serving process from `/proc`, the median \
of the rounds; ratio is that beside the reference's; p50, p99 and p99.9 are of all rounds together; peak RSS is \
the most memory under that load. A *seen* token has been verified before; a *first seen* one costs an Ed25519 \
verification more. *Bare append + sync* is one thread that writes as many bytes to a file and syncs them, for \
64 waiting threads at once.";

/// Operations and what they stand on, the last.
type Group = Vec<Subject>;

fn main() -> Result<()> {
    match Arguments::parse()? {
        Arguments::Reference(kind) => reference::serve(&kind),
        Arguments::Measure(plan) => measure(&plan),
    }
}

fn measure(plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut run = Run::new("The server as a whole", plan.command)?;
    let mut at_rest = None;
    if plan.only.is_none() {
        progress("starts and idle memory")?;
        at_rest = Some(start::measure(plan, &runtime, &mut run)?);
    }
    let report = operations(plan, &runtime)?;
    run.tables.insert(0, report.table(ABOUT));
    if let Some((cold_ms, idle_mb)) = at_rest {
        progress("flooding with logins")?;
        flood::measure(plan, &runtime, &mut run)?;
        run.goals.splice(0..0, report.goals());
        let us = |name| report.cpu_ms(name) * 1000.0;
        let idle_mib = idle_mb * 1_000_000.0 / 1_048_576.0;
        let keystile = [us(SEEN), us(REFRESH), report.cpu_ms(LOGIN), idle_mib, cold_ms];
        run.tables.push(peers::table(keystile));
        report.draw(&mut run)?;
    }
    run.print(&mut std::io::stdout().lock())?;
    if plan.write { run.write("whole") } else { Ok(()) }
}

/// Every operation and its reference in turns.
fn operations(plan: &Plan, runtime: &Runtime) -> Result<Report> {
    progress("preparing users and sessions")?;
    let space = TempDir::new_in(SPACE)?;
    let mut groups = [
        checks(plan, runtime, &space.path().join("checks"))?,
        refreshes(plan, runtime, &space.path().join("refreshes"))?,
        hashes(plan, runtime, &space.path().join("hashes"))?,
    ];
    let mut report = Report::default();
    for (round, span) in plan.rounds() {
        progress(&format!("round {round} of {}", plan.rounds))?;
        for group in &mut groups {
            let Some(reference) = group.last().map(|subject| subject.name) else { continue };
            if !group.iter().any(|subject| plan.wants(subject.name)) {
                continue;
            }
            for subject in group {
                let measured = subject.run(runtime, span)?;
                if round > 0 {
                    report.add(subject.name, reference, measured);
                }
            }
        }
    }
    Ok(report)
}

fn checks(plan: &Plan, runtime: &Runtime, directory: &Path) -> Result<Group> {
    let count = CONNECTIONS * LOGINS_PER_CLIENT;
    let path = directory.join(DATA);
    let (signer, logins) = runtime.block_on(data::fill(&path, (0, count), |_| Ok(())))?;
    let served = Rc::new(Served::start(&plan.server, directory, &[])?);
    let mut seen = Vec::new();
    for login in logins.iter().take(CONNECTIONS) {
        seen.push(Repeat(with_bearer("GET /users/me", &signer.access(login, 2 * LIFE / 3)?)));
    }
    let route = BareRoute::start()?;
    Ok(vec![
        subject(SEEN, HttpLoad::on(&served, seen.clone())),
        subject(FIRST_SEEN, FirstSeen::on(&served, signer, logins)),
        subject(ROUTE, HttpLoad::on(&route.0, seen)),
    ])
}

fn refreshes(plan: &Plan, runtime: &Runtime, directory: &Path) -> Result<Group> {
    let path = directory.join(DATA);
    let (signer, logins) = runtime.block_on(data::fill(&path, (0, CONNECTIONS), |_| Ok(())))?;
    let served = Rc::new(Served::start(&plan.server, directory, &[])?);
    let mut clients = Vec::new();
    for login in &logins {
        clients.push(Refresh::from(&signer.refresh(login)?));
    }
    Ok(vec![
        subject(REFRESH, HttpLoad::on(&served, clients)),
        subject(APPEND, bare_append(CONNECTIONS)?),
    ])
}

fn hashes(plan: &Plan, runtime: &Runtime, directory: &Path) -> Result<Group> {
    std::fs::create_dir(directory)?;
    let served = Rc::new(Served::start(&plan.server, directory, &[])?);
    let workers = default_workers(reference::MEMORY_KIB, memory_limit_kib());
    // One more than hash at a time, so that no worker waits for a client.
    let clients = runtime.block_on(logins(&served, workers + 1))?;
    Ok(vec![subject(LOGIN, HttpLoad::on(&served, clients)), subject(HASH, bare_hash(workers)?)])
}

fn subject(name: &'static str, load: impl Load + 'static) -> Subject {
    Subject { name, load: Box::new(load) }
}
