//! What a start costs: the time to the first answer, the memory of a server that does nothing.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::arguments::Plan;
use super::keystile::Server;
use super::report::{Report, median};
use super::{http, millis};

/// Long enough for the first heartbeat and the first sweep.
const SETTLED_AFTER: Duration = Duration::from_secs(7);

/// From the start of the process on an empty directory to its first 200.
pub fn cold(plan: &Plan, report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let request = http::request("GET /healthz", "", "");
    let mut times = Vec::new();
    for _ in 0..plan.starts {
        let started = Instant::now();
        let server = Server::start(&plan.server)?;
        runtime.block_on(http::json(server.served.address, &request))?;
        times.push(millis(started.elapsed()));
    }
    let starts = plan.starts;
    report.note(format!("cold start   {:.1} ms, the median of {starts}", median(&mut times)));
    Ok(())
}

/// The resident memory of a server nobody has asked anything yet, and the size of its binary.
pub fn idle(plan: &Plan, report: &mut Report) -> Result<()> {
    let server = Server::start(&plan.server)?;
    std::thread::sleep(SETTLED_AFTER);
    let mib = |name| Ok::<_, anyhow::Error>(server.served.process.status_kib(name)? / 1024.0);
    report.note(format!(
        "idle memory  {:.1} MiB resident: {:.1} of its own, {:.1} of the binary and libraries",
        mib("VmRSS")?,
        mib("RssAnon")?,
        mib("RssFile")?,
    ));
    let bytes = u32::try_from(std::fs::metadata(&plan.server)?.len())?;
    report.note(format!("binary       {:.1} MiB", f64::from(bytes) / 1024.0 / 1024.0));
    Ok(())
}
