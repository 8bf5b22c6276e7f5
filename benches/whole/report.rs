//! From what was measured to the table that is printed.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;

use super::load::Load;
use super::millis;

/// Something measured under a name.
pub struct Subject {
    /// What the table calls it.
    pub name: &'static str,
    /// What keeps it busy.
    pub load: Box<dyn Load>,
}

/// What one round of one subject gave.
pub struct Round {
    cpu_ms: f64,
    per_sec: f64,
    times: Vec<Duration>,
}

/// Everything measured so far.
#[derive(Default)]
pub struct Report {
    notes: Vec<String>,
    pairs: Vec<Pair>,
}

struct Pair {
    names: [&'static str; 2],
    rounds: Vec<[Round; 2]>,
}

impl Subject {
    /// Runs one round.
    pub fn run(&mut self, runtime: &Runtime, span: Duration) -> Result<Round> {
        let (cpu, started) = (self.load.process().cpu()?, Instant::now());
        let times = self.load.drive(runtime, span)?;
        let elapsed = started.elapsed();
        let cpu = self.load.process().cpu()?.saturating_sub(cpu);
        let count = f64::from(u32::try_from(times.len())?);
        Ok(Round { cpu_ms: millis(cpu) / count, per_sec: count / elapsed.as_secs_f64(), times })
    }
}

impl Report {
    /// Adds a line of its own.
    pub fn note(&mut self, line: String) {
        self.notes.push(line);
    }

    /// Adds a round of `ours` and the round of its reference that went with it.
    pub fn add(&mut self, name: &'static str, reference: &'static str, ours: Round, bare: Round) {
        let names = [name, reference];
        match self.pairs.iter_mut().find(|pair| pair.names == names) {
            Some(pair) => pair.rounds.push([ours, bare]),
            None => self.pairs.push(Pair { names, rounds: vec![[ours, bare]] }),
        }
    }

    /// Prints all of it.
    pub fn print(&self, out: &mut impl Write) -> Result<()> {
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        let [name, cpu, ratio] = ["operation", "CPU/op", "ratio"];
        let [p50, p99, per_sec] = ["p50", "p99", "ops/s"];
        writeln!(out, "\n{name:22}{cpu:>12}{ratio:>8}{p50:>12}{p99:>12}{per_sec:>10}")?;
        for pair in &self.pairs {
            pair.print(out)?;
        }
        Ok(())
    }
}

impl Pair {
    fn print(&self, out: &mut impl Write) -> Result<()> {
        let ratios = self.rounds.iter().map(|[ours, bare]| ours.cpu_ms / bare.cpu_ms);
        let ratio = format!("{:.2}", median(&mut ratios.collect::<Vec<_>>()));
        let ours = self.rounds.iter().map(|[ours, _]| ours);
        let bare = self.rounds.iter().map(|[_, bare]| bare);
        let [name, reference] = self.names;
        row(out, name, &ratio, &ours.collect::<Vec<_>>())?;
        row(out, reference, "1", &bare.collect::<Vec<_>>())
    }
}

fn row(out: &mut impl Write, name: &str, ratio: &str, rounds: &[&Round]) -> Result<()> {
    let cpu = median(&mut rounds.iter().map(|round| round.cpu_ms).collect::<Vec<_>>());
    let per_sec = median(&mut rounds.iter().map(|round| round.per_sec).collect::<Vec<_>>());
    let mut times: Vec<_> = rounds.iter().flat_map(|round| &round.times).copied().collect();
    times.sort_unstable();
    let quantile = |percent: usize| {
        let time = times.get(times.len() * percent / 100).copied();
        time.map(millis).context("nothing was measured")
    };
    let (p50, p99) = (quantile(50)?, quantile(99)?);
    writeln!(out, "{name:22}{cpu:>9.4} ms{ratio:>8}{p50:>9.2} ms{p99:>9.2} ms{per_sec:>10.0}")?;
    Ok(())
}

/// The figure in the middle; not a number when there is none.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
