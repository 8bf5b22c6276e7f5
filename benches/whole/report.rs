//! From the rounds to tables, goals and plots.

use anyhow::{Context, Result};

use super::common::figures::Times;
use super::common::plot::{Axis, Line, Plot, Shape};
use super::common::record::{Goal, Run, Table, figure};
use super::common::ruler::Scale;
use super::subject::Round;

/// A bearer check whose token the server has seen before.
pub const SEEN: &str = "GET /users/me";
/// One whose token it has not.
pub const FIRST_SEEN: &str = "GET /users/me, first seen";
/// A refresh.
pub const REFRESH: &str = "POST /refresh";
/// A login.
pub const LOGIN: &str = "POST /token (login)";
/// What a bearer check stands on.
pub const ROUTE: &str = "bare poem route";
/// What a refresh stands on.
pub const APPEND: &str = "bare append + sync";
/// What a login stands on.
pub const HASH: &str = "bare Argon2id";

/// Parts in a thousand whose latency is drawn.
const DRAWN: [u16; 17] =
    [500, 600, 700, 750, 800, 850, 900, 925, 950, 970, 980, 985, 990, 993, 996, 998, 999];

/// Everything measured so far, in the order of the table.
#[derive(Default)]
pub struct Report(Vec<Measured>);

struct Measured {
    name: &'static str,
    reference: &'static str,
    rounds: Vec<Round>,
}

/// The figure in the middle; not a number when there is none.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<_> = figures.into_iter().collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Report {
    /// Adds a round of `name`, which stands beside `reference`.
    pub fn add(&mut self, name: &'static str, reference: &'static str, round: Round) {
        match self.0.iter_mut().find(|row| row.name == name) {
            Some(row) => row.rounds.push(round),
            None => self.0.push(Measured { name, reference, rounds: vec![round] }),
        }
    }

    /// The median of the CPU time of each operation, in milliseconds.
    pub fn cpu_ms(&self, name: &str) -> f64 {
        median(self.rounds(name).iter().map(|round| round.cpu_ms))
    }

    /// What `of` gives for each round of `name` and the round of `other` that went with it: the median.
    fn compare(&self, name: &str, other: &str, of: impl Fn(&Round, &Round) -> f64) -> f64 {
        let pairs = self.rounds(name).iter().zip(self.rounds(other));
        median(pairs.map(|(ours, others)| of(ours, others)))
    }

    fn rounds(&self, name: &str) -> &[Round] {
        self.0.iter().find(|row| row.name == name).map_or(&[], |row| &row.rounds)
    }

    fn times(&self, name: &str) -> Times {
        Times::new(self.rounds(name).iter().flat_map(|round| &round.times).copied().collect())
    }

    /// The table of all that was measured, `about` what that is.
    pub fn table(&self, about: &str) -> Table {
        let columns = ["operation", "CPU/op", "ratio", "p50", "p99", "p99.9", "ops/s", "peak RSS"];
        let mut table = Table::new("Operations and their references", about, &columns);
        for Measured { name, reference, rounds } in &self.0 {
            let times = self.times(name);
            let ms = |per_mille| figure(times.quantile(per_mille), "ms");
            let ratio = self.compare(name, reference, |ours, bare| ours.cpu_ms / bare.cpu_ms);
            let peak = rounds.iter().map(|round| round.peak_mb).fold(0.0, f64::max);
            table.rows.push(vec![
                (*name).to_owned(),
                figure(self.cpu_ms(name) * 1000.0, "us"),
                if name == reference { "1".to_owned() } else { format!("{ratio:.2}") },
                ms(500),
                ms(990),
                ms(999),
                format!("{:.0}", median(rounds.iter().map(|round| round.per_sec))),
                figure(peak, "MB"),
            ]);
        }
        table
    }

    /// What was to be reached.
    pub fn goals(&self) -> Vec<Goal> {
        let ratio = self.compare(SEEN, ROUTE, |ours, bare| ours.cpu_ms / bare.cpu_ms);
        let more = self.compare(FIRST_SEEN, SEEN, |first, again| first.cpu_ms - again.cpu_ms);
        let share = self.compare(LOGIN, HASH, |ours, bare| ours.per_sec / bare.per_sec);
        let p99_limit = 5.0 + 3.0 * self.times(APPEND).quantile(990);
        let p99 = self.times(REFRESH).quantile(990);
        vec![
            Goal::at_most("bearer check: CPU beside a bare poem route", ratio, 2.2, "times"),
            Goal::at_most("bearer check, token first seen: CPU more", more * 1000.0, 60.0, "us"),
            Goal::at_most("refresh on disk: CPU", self.cpu_ms(REFRESH) * 1000.0, 100.0, "us"),
            Goal::at_most("refresh on disk: p99 (5 ms + 3 x append's)", p99, p99_limit, "ms"),
            login_goal(share * 100.0),
        ]
    }

    /// Draws it.
    pub fn draw(&self, run: &mut Run) -> Result<()> {
        let bar = |row: &&Measured| {
            let cpu_us = self.cpu_ms(row.name) * 1000.0;
            let is_reference = row.name == row.reference;
            Line { name: row.name.to_owned(), points: vec![(0.0, cpu_us)], is_reference }
        };
        // A hash costs a thousand times as much as anything else, and would leave nothing of it to see.
        let light = self.0.iter().filter(|row| row.reference != HASH);
        run.plots.push(Plot {
            file: "cpu.svg".to_owned(),
            title: "CPU time of one operation".to_owned(),
            shape: Shape::Bars {
                unit: "us".to_owned(),
                bars: light.map(|row| bar(&row)).collect(),
            },
        });
        for (file, title, names) in [
            ("check.svg", "Latency of a bearer check", [SEEN, FIRST_SEEN, ROUTE].as_slice()),
            ("refresh.svg", "Latency of a refresh", &[REFRESH, APPEND]),
            ("login.svg", "Latency of a login", &[LOGIN, HASH]),
        ] {
            run.plots.push(self.latency(file, title, names)?);
        }
        Ok(())
    }

    fn latency(&self, file: &str, title: &str, names: &[&str]) -> Result<Plot> {
        let mut lines = Vec::new();
        for name in names {
            let times = self.times(name);
            let points = DRAWN
                .map(|per_mille| (f64::from(per_mille) / 1000.0, times.quantile(per_mille.into())));
            let row = self.0.iter().find(|row| row.name == *name).context("not measured")?;
            lines.push(Line {
                name: (*name).to_owned(),
                points: points.into(),
                is_reference: row.reference == *name,
            });
        }
        let axis = |name: &str, scale| Axis { name: name.to_owned(), scale };
        let (x, y) = (axis("answered within", Scale::Quantile), axis("ms", Scale::Log));
        let shape = Shape::Lines { x, y, lines, band: None };
        Ok(Plot { file: file.to_owned(), title: title.to_owned(), shape })
    }
}

/// Logins are to come at a rate of at least this many percent of the bare hashes.
fn login_goal(percent: f64) -> Goal {
    const PERCENT_MIN: f64 = 95.0;
    let miss = PERCENT_MIN - percent;
    let met = miss <= 0.0;
    Goal {
        what: "login: rate beside bare Argon2id".to_owned(),
        wanted: format!("at least {}", figure(PERCENT_MIN, "%")),
        measured: figure(percent, "%"),
        verdict: if met { "met".to_owned() } else { format!("missed by {}", figure(miss, "%")) },
    }
}
