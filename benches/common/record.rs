//! What a run has shown: printed as text, and kept as JSON if that is asked for.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use keystile::clock::{Clock, SystemClock, Timestamp};
use serde::{Deserialize, Serialize};

use super::machine::{self, Machine};
use super::page;
use super::plot::Plot;

/// The root of the repository.
pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Where data directories of a bench are made, below the target directory.
pub const SPACE: &str = env!("CARGO_TARGET_TMPDIR");

/// All of one run.
#[derive(Serialize, Deserialize)]
pub struct Run {
    /// What it is called on the page.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    /// Where it ran.
    pub machine: Machine,
    /// When it ended.
    pub at: String,
    /// What it measured.
    pub commit: String,
    /// What it found.
    pub tables: Vec<Table>,
    /// What that means.
    pub goals: Vec<Goal>,
    /// How it looks.
    pub plots: Vec<Plot>,
}

/// Figures under a heading.
#[derive(Serialize, Deserialize)]
pub struct Table {
    /// The heading.
    pub title: String,
    /// What the rows mean and how they were measured.
    pub about: String,
    /// What stands above each column; all but the first hold figures.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// Something to reach, and whether it was.
#[derive(Serialize, Deserialize)]
pub struct Goal {
    /// What is to be within a limit.
    pub what: String,
    /// The limit.
    pub wanted: String,
    /// What was measured.
    pub measured: String,
    /// `met`, or by how much it was missed.
    pub verdict: String,
}

impl Run {
    /// An empty one, of this machine and now.
    pub fn new(title: &str, command: &str) -> Result<Self> {
        Ok(Self {
            title: title.to_owned(),
            command: command.to_owned(),
            machine: Machine::here(Path::new(SPACE))?,
            at: SystemClock::above(Timestamp::default())?.now().floor_secs().to_rfc3339(),
            commit: machine::commit(),
            tables: Vec::new(),
            goals: Vec::new(),
            plots: Vec::new(),
        })
    }

    /// Prints it.
    pub fn print(&self, out: &mut impl Write) -> Result<()> {
        for table in &self.tables {
            writeln!(out, "\n{}", table.title)?;
            print_rows(out, &table.columns, &table.rows)?;
        }
        writeln!(out, "\nGoals")?;
        print_rows(out, &page::GOAL_COLUMNS.map(str::to_owned), &page::goal_rows(&self.goals))
    }

    /// Keeps it under `name` in place of the one before, and draws the page and its plots anew.
    pub fn write(&self, name: &str) -> Result<()> {
        fs::create_dir_all(page::directory())?;
        fs::write(file(name), serde_json::to_string_pretty(self)? + "\n")?;
        page::write()
    }

    /// The one that was kept under `name`, if there is one.
    pub fn kept(name: &str) -> Result<Option<Self>> {
        match fs::read(file(name)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Table {
    /// One with these columns and no rows yet.
    pub fn new(title: &str, about: &str, columns: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            about: about.to_owned(),
            columns: columns.iter().map(|column| (*column).to_owned()).collect(),
            rows: Vec::new(),
        }
    }
}

impl Goal {
    /// `measured` is to be at most `limit`, both in `unit`.
    pub fn at_most(what: &str, measured: f64, limit: f64, unit: &str) -> Self {
        let miss = measured - limit;
        let verdict = if miss <= 0.0 { "met".to_owned() } else { missed(miss, unit) };
        Self {
            what: what.to_owned(),
            wanted: format!("at most {}", figure(limit, unit)),
            measured: figure(measured, unit),
            verdict,
        }
    }
}

/// `value` with the three digits that matter, and its unit.
pub fn figure(value: f64, unit: &str) -> String {
    let decimals = match value.abs() {
        value if value >= 100.0 || value == 0.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$} {unit}").trim_end().to_owned()
}

/// A figure that is not a number was never taken, and meets nothing.
fn missed(miss: f64, unit: &str) -> String {
    if miss.is_nan() {
        "not measured".to_owned()
    } else {
        format!("missed by {}", figure(miss, unit))
    }
}

fn file(name: &str) -> PathBuf {
    page::directory().join(format!("{name}.json"))
}

fn print_rows(out: &mut impl Write, columns: &[String], rows: &[Vec<String>]) -> Result<()> {
    let widths: Vec<_> = (0..columns.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.chain(columns.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in std::iter::once(columns).chain(rows.iter().map(Vec::as_slice)) {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "  {}", cells.join("  ").trim_end())?;
    }
    Ok(())
}
