//! From what was found to tables, goals and plots.

use std::time::Duration;

use super::common::figures::{Times, millis, number};
use super::common::plot::{Axis, Line, Plot, Shape};
use super::common::record::{Goal, Run, Table, figure};
use super::common::ruler::Scale;
use super::traffic::{CHECKS_PER_SEC, REFRESHES_PER_SEC, Sample, Samples, between};
use super::watch::{Look, Sweep};

/// The traffic before this has opened connections and warmed the cache, and does not count.
const WARM: Duration = Duration::from_secs(5);
const RSS_MB_MAX: f64 = 200.0;
const REOPEN_SECS_MAX: f64 = 3.0;
const CHECK_P99_MS_MAX: f64 = 5.0;
/// How much the p99 of traffic may grow during the sweep.
const SWEEP_TIMES_MAX: f64 = 2.0;
/// And its memory, which is called flat within that.
const FLAT_TIMES_MAX: f64 = 1.1;

/// All that was measured.
pub struct Found {
    /// Sessions written, half of them expired.
    pub sessions: usize,
    /// The size on disk after so many thousands of them.
    pub filled: Vec<(f64, f64)>,
    /// How long that took.
    pub fill_took: Duration,
    /// And what it took on disk in the end.
    pub disk_filled_mb: f64,
    /// Memory of the server that has just opened it.
    pub rss_opened_mb: f64,
    /// A check of every session that lives.
    pub checks: Times,
    /// Memory after that.
    pub rss_checked_mb: f64,
    /// Opening what has just been written and closed in good order.
    pub open_first: Duration,
    /// Opening after a kill under load, every session having been touched.
    pub open_killed: Duration,
    /// Opening what the sweep has left, after an orderly stop.
    pub open_swept: Duration,
    /// That stop.
    pub stop_took: Duration,
    /// The sweep.
    pub swept: Swept,
    /// Memory at the end of the traffic.
    pub rss_end_mb: f64,
    /// The most memory that any of the servers had.
    pub peak_mb: f64,
    /// What is on disk once the expired half is gone.
    pub disk_swept_mb: f64,
    /// Compaction, if there is such a command.
    pub compacted: Option<Compacted>,
}

/// The sweep and the traffic around it.
pub struct Swept {
    /// The traffic.
    pub samples: Samples,
    /// The server meanwhile.
    pub looks: Vec<Look>,
    /// The sweep.
    pub sweep: Sweep,
}

/// What compaction came to.
pub struct Compacted {
    /// How long it took.
    pub took: Duration,
    /// What it left on disk.
    pub disk_mb: f64,
    /// Opening after it.
    pub open: Duration,
}

/// Tells all of it.
pub fn report(run: &mut Run, found: &Found) {
    run.tables.push(size_table(found));
    run.tables.push(sweep_table(&found.swept));
    goals(run, found);
    let (swept, seconds) = (&found.swept, "seconds of traffic");
    let line = |name: &str, points| Line { name: name.to_owned(), points, is_reference: false };
    let looks = |of: fn(&Look) -> f64| {
        swept.looks.iter().map(|look| (look.at.as_secs_f64(), of(look))).collect()
    };
    let p99 = |samples: &[Sample]| p99_by_second(samples);
    let during = |file: &str, title: &str, y, lines| {
        let Sweep { from, to, .. } = swept.sweep;
        let band = Some((from.as_secs_f64(), to.as_secs_f64(), "the sweep".to_owned()));
        let shape = Shape::Lines { x: axis(seconds, Scale::Linear), y, lines, band };
        Plot { file: file.to_owned(), title: title.to_owned(), shape }
    };
    let [memory, disk] = [axis("MB", Scale::Linear), axis("MB", Scale::Linear)];
    let latency = vec![
        line("refresh", p99(&swept.samples.refreshes)),
        line("bearer check", p99(&swept.samples.checks)),
    ];
    run.plots.extend([
        Plot {
            file: "size-fill.svg".to_owned(),
            title: "Disk while sessions are written".to_owned(),
            shape: Shape::Lines {
                x: axis("thousands of sessions", Scale::Linear),
                y: axis("MB", Scale::Linear),
                lines: vec![line("disk", found.filled.clone())],
                band: None,
            },
        },
        during("sweep-p99.svg", "p99 of each second", axis("ms", Scale::Log), latency),
        during(
            "sweep-memory.svg",
            "Resident memory",
            memory,
            vec![line("RSS", looks(|look| look.rss_mb))],
        ),
        during("sweep-disk.svg", "Disk", disk, vec![line("disk", looks(|look| look.disk_mb))]),
    ]);
}

fn size_table(found: &Found) -> Table {
    let about = "\
Half of the sessions live, half expired a day ago. They are written by the library as logins would write them, \
in a random order of 20 sessions to each user, with their audit events. Opening is timed from the start of the \
process to its first 200. The bearer checks are of every session that lives, once, in random order, each token \
seen for the first time, by 16 connections that ask as fast as they are answered. Memory is all that is \
resident, with the default cache of 32 MiB.";
    let mut table = Table::new("Size", about, &["what", "figure"]);
    let mut row = |what: &str, figure: String| table.rows.push(vec![what.to_owned(), figure]);
    let rate = number(found.sessions) / found.fill_took.as_secs_f64();
    let checks = &found.checks;
    row("writing the sessions, through the store's steps", figure(rate, "per s"));
    row("disk, all of them", figure(found.disk_filled_mb, "MB"));
    row("open, all just written and closed", seconds(found.open_first));
    row("open after kill -9 under load", seconds(found.open_killed));
    row("orderly stop, after the sweep", seconds(found.stop_took));
    row("open after that", seconds(found.open_swept));
    row("memory, just opened", figure(found.rss_opened_mb, "MB"));
    row("memory, after a check of every session", figure(found.rss_checked_mb, "MB"));
    row("memory, at the end of the traffic", figure(found.rss_end_mb, "MB"));
    row("memory, the most that was ever seen", figure(found.peak_mb, "MB"));
    for (name, per_mille) in [("p50", 500), ("p99", 990), ("p99.9", 999)] {
        row(&format!("random bearer checks: {name}"), figure(checks.quantile(per_mille), "ms"));
    }
    row("disk, after the sweep and its traffic", figure(found.disk_swept_mb, "MB"));
    if let Some(compacted) = &found.compacted {
        row("`keystile compact`", seconds(compacted.took));
        row("disk, compacted", figure(compacted.disk_mb, "MB"));
        row("open after that", seconds(compacted.open));
    }
    table
}

fn sweep_table(swept: &Swept) -> Table {
    let Sweep { from, to, records } = swept.sweep;
    let took = to.saturating_sub(from);
    let about = format!(
        "{CHECKS_PER_SEC} bearer checks of random sessions and up to {REFRESHES_PER_SEC} refreshes of others a second, \
         at a steady pace, before the sweep of the expired half and during it. A request that was due while the \
         one before it was not answered counts from when it was due. The sweep took {records} records, expired \
         sessions and surplus audit events, in {}: {} a second.",
        seconds(took),
        figure(f64::from(records) / took.as_secs_f64(), ""),
    );
    let columns =
        ["traffic", "p50", "p99", "p99.9", "p50 in sweep", "p99 in sweep", "p99.9 in sweep"];
    let mut table = Table::new("Sweeping", &about, &columns);
    for (name, samples) in
        [("bearer check", &swept.samples.checks), ("refresh", &swept.samples.refreshes)]
    {
        let (without, within) = (between(samples, WARM, from), between(samples, from, to));
        let ms = |times: &Times| {
            [500, 990, 999].map(|per_mille| figure(times.quantile(per_mille), "ms"))
        };
        let cells = ms(&without).into_iter().chain(ms(&within));
        table.rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
    }
    table
}

fn goals(run: &mut Run, found: &Found) {
    let Swept { samples, looks, sweep } = &found.swept;
    let opens = [found.open_first, found.open_killed, found.open_swept];
    let reopen = opens.into_iter().max().unwrap_or_default().as_secs_f64();
    let check_p99 = found.checks.quantile(990);
    let sessions = &run.title;
    let mut goals = vec![
        Goal::at_most(&format!("{sessions}: RSS at most"), found.peak_mb, RSS_MB_MAX, "MB"),
        Goal::at_most(&format!("{sessions}: reopen at worst"), reopen, REOPEN_SECS_MAX, "s"),
        Goal::at_most(
            &format!("{sessions}: random bearer check p99"),
            check_p99,
            CHECK_P99_MS_MAX,
            "ms",
        ),
    ];
    for (name, samples) in [("checks", &samples.checks), ("refreshes", &samples.refreshes)] {
        let without = between(samples, WARM, sweep.from).quantile(990);
        let within = between(samples, sweep.from, sweep.to).quantile(990);
        let what = format!("p99 of {name} during the sweep, beside before");
        goals.push(Goal::at_most(&what, within / without, SWEEP_TIMES_MAX, "times"));
    }
    let most = |from: Duration, to: Duration| {
        let within = looks.iter().filter(|look| (from..=to).contains(&look.at));
        within.map(|look| look.rss_mb).fold(f64::NAN, f64::max)
    };
    let growth = most(sweep.from, sweep.to) / most(WARM, sweep.from);
    let what = "memory during the sweep, beside before";
    goals.push(Goal::at_most(what, growth, FLAT_TIMES_MAX, "times"));
    run.goals.extend(goals);
}

/// The p99 of every second that has samples, in milliseconds.
fn p99_by_second(samples: &[Sample]) -> Vec<(f64, f64)> {
    let last = samples.iter().map(|sample| sample.at.as_secs()).max().unwrap_or(0);
    let second = |second: u64| {
        let from = Duration::from_secs(second);
        let times = between(samples, from, from + Duration::from_secs(1));
        (from.as_secs_f64(), times.quantile(990))
    };
    (0..=last).map(second).filter(|(_, p99)| p99.is_finite()).collect()
}

fn seconds(span: Duration) -> String {
    figure(millis(span) / 1000.0, "s")
}

fn axis(name: &str, scale: Scale) -> Axis {
    Axis { name: name.to_owned(), scale }
}
