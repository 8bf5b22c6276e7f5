//! What the bench is asked for on its command line, and how long that takes.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::reference;

/// What this process is to do.
pub enum Arguments {
    /// Be the bare reference of that name for another process.
    Reference(Vec<String>),
    /// Measure.
    Measure(Plan),
}

/// What is measured, and how long.
pub struct Plan {
    /// The server's binary.
    pub server: PathBuf,
    /// Rounds that count; one more goes before them, to warm up.
    pub rounds: u32,
    /// How long each subject runs in each round.
    pub span: Duration,
    /// How long logins flood the server.
    pub flood: Duration,
    /// Starts on an empty directory.
    pub starts: usize,
    /// Measures the operations whose name holds this, and nothing else.
    pub only: Option<String>,
    /// Whether the results are kept.
    pub write: bool,
}

impl Arguments {
    /// Reads the command line; cargo adds `--bench` to it.
    pub fn parse() -> Result<Self> {
        let mut plan = Plan {
            server: env!("CARGO_BIN_EXE_keystile").into(),
            rounds: 9,
            span: Duration::from_secs(1),
            flood: Duration::from_secs(10),
            starts: 15,
            only: None,
            write: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--quick" => {
                    let (span, flood) = (Duration::from_millis(400), Duration::from_secs(3));
                    plan = Plan { rounds: 5, span, flood, starts: 5, ..plan };
                }
                "--server" => {
                    let file = words.next().context("--server names a file")?;
                    plan.server = std::fs::canonicalize(&file).context(file)?;
                }
                "--only" => plan.only = Some(words.next().context("--only names an operation")?),
                "--write" => plan.write = true,
                reference::WORD => return Ok(Self::Reference(words.collect())),
                other => {
                    bail!("{other} is none of --quick, --write, --server FILE and --only NAME")
                }
            }
        }
        if plan.write && plan.only.is_some() {
            bail!("--write keeps a whole run, --only makes a part of one");
        }
        Ok(Self::Measure(plan))
    }
}

impl Plan {
    /// Whether `name` is to be measured.
    pub fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only))
    }

    /// Every round with its length, the one that warms up being number 0.
    pub fn rounds(&self) -> impl Iterator<Item = (u32, Duration)> + use<> {
        let span = self.span;
        (0..=self.rounds).map(move |round| (round, if round == 0 { span / 2 } else { span }))
    }
}
