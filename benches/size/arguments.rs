//! What the bench is asked for on its command line.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What is measured.
pub struct Plan {
    /// The server's binary.
    pub server: PathBuf,
    /// Sessions that are written, half of them long expired.
    pub sessions: usize,
    /// Whether the results are kept.
    pub write: bool,
}

impl Plan {
    /// Reads the command line; cargo adds `--bench` to it.
    pub fn parse() -> Result<Self> {
        let server = env!("CARGO_BIN_EXE_keystile").into();
        let mut plan = Self { server, sessions: 1_000_000, write: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--bench" => {}
                "--sessions" => {
                    let count = words.next().context("--sessions takes a number")?;
                    plan.sessions = count.replace(['_', ','], "").parse().context(count)?;
                }
                "--server" => {
                    let file = words.next().context("--server names a file")?;
                    plan.server = std::fs::canonicalize(&file).context(file)?;
                }
                "--write" => plan.write = true,
                other => bail!("{other} is none of --sessions N, --write and --server FILE"),
            }
        }
        if plan.sessions < SESSIONS_MIN {
            bail!(
                "with fewer than {SESSIONS_MIN} sessions, the traffic has too few to choose from"
            );
        }
        Ok(plan)
    }
}

/// Half of the half that lives is exchanged by the traffic, each once.
const SESSIONS_MIN: usize = 20_000;
