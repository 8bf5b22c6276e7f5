//! The server measured as a whole, beside bare references of what its operations stand on.
//!
//! `cargo bench --bench whole` takes about two minutes; `-- --quick` a third of it. `-- --server FILE` measures
//! another binary, `-- --only refresh` one operation, for a profiler. What is compared runs in turns within one run, so that a busy machine disturbs both
//! alike, and counts in CPU time of the serving process: read the ratios, not the absolute figures.

mod arguments;
mod http;
mod keystile;
mod load;
mod process;
mod reference;
mod report;
mod start;

use std::io::Write;
use std::time::Duration;

use anyhow::Result;

use self::arguments::{Arguments, Plan};
use self::keystile::{Server, Session};
use self::load::HttpLoad;
use self::reference::{BareRoute, bare_append, bare_hash};
use self::report::{Report, Subject};

/// As many connections as a busy reverse proxy keeps open.
const CONNECTIONS: usize = 64;

fn main() -> Result<()> {
    match Arguments::parse()? {
        Arguments::Reference(kind) => reference::serve(&kind),
        Arguments::Measure(plan) => measure(&plan),
    }
}

fn measure(plan: &Plan) -> Result<()> {
    let mut report = Report::default();
    if plan.only.is_none() {
        progress("cold start")?;
        start::cold(plan, &mut report)?;
        progress("idle memory")?;
        start::idle(plan, &mut report)?;
    }
    progress("preparing accounts and sessions")?;
    let server = Server::start(&plan.server)?;
    let workers = ::keystile::password::settings::default_workers(reference::MEMORY_KIB);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reading = runtime.block_on(server.sessions(CONNECTIONS))?;
    let refreshing = runtime.block_on(server.sessions(CONNECTIONS))?;
    let bearers: Vec<_> = reading.iter().map(Session::me).collect();
    // One more than hash at a time, so that no worker waits for a client.
    let logins = runtime.block_on(server.logins(workers + 1))?;
    let refreshes = refreshing.iter().map(Session::refresh).collect();
    let route = BareRoute::start()?;
    let subject = |name, load| Subject { name, load };
    let mut pairs = [
        (
            subject("GET /users/me", Box::new(HttpLoad::on(&server.served, bearers.clone())) as _),
            subject("bare poem route", Box::new(HttpLoad::on(&route.0, bearers)) as _),
        ),
        (
            subject("POST /token (login)", Box::new(HttpLoad::on(&server.served, logins)) as _),
            subject("bare Argon2id", Box::new(bare_hash(workers)?) as _),
        ),
        (
            subject("POST /refresh", Box::new(HttpLoad::on(&server.served, refreshes)) as _),
            subject("bare append + sync", Box::new(bare_append(CONNECTIONS)?) as _),
        ),
    ];
    for (round, span) in plan.rounds() {
        progress(&format!("round {round} of {}", plan.rounds))?;
        for (subject, reference) in pairs.iter_mut().filter(|(subject, _)| plan.wants(subject.name))
        {
            let (ours, bare) = (subject.run(&runtime, span)?, reference.run(&runtime, span)?);
            if round > 0 {
                report.add(subject.name, reference.name, ours, bare);
            }
        }
    }
    report.print(&mut std::io::stdout().lock())
}

fn progress(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{text} ...")?)
}

/// The part of a second that a figure is made of, in milliseconds.
fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}
