//! `BENCHMARKS.md` and its plots, made of the runs that were kept and of nothing else.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::record::{Goal, ROOT, Run, Table};

/// What stands above the columns of [`goal_rows`].
pub const GOAL_COLUMNS: [&str; 4] = ["goal", "wanted", "measured", "verdict"];

/// The runs that are kept, in the order of the page.
const RUNS: [&str; 2] = ["whole", "size"];
const DIRECTORY: &str = "docs/benchmarks";
const HEAD: &str = "\
# Benchmarks

How fast and how small Keystile is, measured by two commands that anybody can repeat. They make this page,
its tables and its plots; only what is said of the goals that are missed is written by hand:

```
cargo bench --bench whole -- --write    # what each operation costs, beside bare references
cargo bench --bench size -- --write     # a million sessions: memory, disk, reopening, sweeping
```

The server is the release binary with its defaults, so every answer that changes something waits for the
disk (`fdatasync`). It shares the machine with the load generator. What is compared runs in turns within one
run: **read the ratios and the CPU time, not the absolute rates**, which are those of the machine.
";

/// What people say of the goals that are missed; the one part of the page that no command writes.
const MISSED: &str = "missed.md";

/// Where the runs and the plots are.
pub fn directory() -> PathBuf {
    Path::new(ROOT).join(DIRECTORY)
}

/// Goals as rows of a table.
pub fn goal_rows(goals: &[Goal]) -> Vec<Vec<String>> {
    let row = |goal: &Goal| {
        let Goal { what, wanted, measured, verdict } = goal;
        vec![what.clone(), wanted.clone(), measured.clone(), verdict.clone()]
    };
    goals.iter().map(row).collect()
}

/// Writes the page and every plot on it.
pub fn write() -> Result<()> {
    let mut runs = Vec::new();
    for name in RUNS {
        runs.extend(Run::kept(name)?);
    }
    let mut page = HEAD.to_owned();
    write!(page, "\n## Goals\n\n")?;
    let goals = runs.iter().flat_map(|run| goal_rows(&run.goals)).collect::<Vec<_>>();
    table(&mut page, &GOAL_COLUMNS, &goals)?;
    write!(page, "\n{}", fs::read_to_string(directory().join(MISSED))?)?;
    for run in &runs {
        section(&mut page, run)?;
    }
    fs::write(Path::new(ROOT).join("BENCHMARKS.md"), page)?;
    for plot in runs.iter().flat_map(|run| &run.plots) {
        fs::write(directory().join(&plot.file), plot.draw()?)?;
    }
    Ok(())
}

fn section(page: &mut String, run: &Run) -> Result<()> {
    let Run { title, command, machine, at, commit, .. } = run;
    let day = at.get(..10).unwrap_or(at);
    write!(page, "\n## {title}\n\n`{command}` on {day}, commit {commit}: {machine}.\n")?;
    for Table { title, about, columns, rows } in &run.tables {
        write!(page, "\n### {title}\n\n{about}\n\n")?;
        table(page, &columns.iter().map(String::as_str).collect::<Vec<_>>(), rows)?;
    }
    for plot in &run.plots {
        write!(page, "\n![{}]({DIRECTORY}/{})\n", plot.title, plot.file)?;
    }
    Ok(())
}

fn table(page: &mut String, columns: &[&str], rows: &[Vec<String>]) -> Result<()> {
    writeln!(page, "| {} |", columns.join(" | "))?;
    writeln!(page, "|---|{}", "---:|".repeat(columns.len().saturating_sub(1)))?;
    for row in rows {
        writeln!(page, "| {} |", row.join(" | "))?;
    }
    Ok(())
}
