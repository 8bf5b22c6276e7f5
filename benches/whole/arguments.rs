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
    /// Starts on an empty directory.
    pub starts: usize,
    /// Measures the operations whose name holds this, and nothing else.
    pub only: Option<String>,
}

impl Arguments {
    /// Reads the command line; cargo adds `--bench` to it.
    pub fn parse() -> Result<Self> {
        let mut plan = Plan {
            server: env!("CARGO_BIN_EXE_keystile").into(),
            rounds: 9,
            span: Duration::from_secs(1),
            starts: 15,
            only: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--quick" => {
                    plan = Plan { rounds: 5, span: Duration::from_millis(400), starts: 5, ..plan };
                }
                "--server" => {
                    let file = words.next().context("--server names a file")?;
                    plan.server = std::fs::canonicalize(&file).context(file)?;
                }
                "--only" => plan.only = Some(words.next().context("--only names an operation")?),
                reference::WORD => return Ok(Self::Reference(words.collect())),
                other => bail!("{other} is none of --quick, --server FILE and --only NAME"),
            }
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
