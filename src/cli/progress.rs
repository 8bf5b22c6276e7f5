//! How far long work has come: one line on standard error that is written over, where somebody watches.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use super::output;

/// How long what is shown stands at least.
const PAUSE: Duration = Duration::from_millis(200);

/// A line that is silent unless standard error is a terminal, and gone once the work ends.
pub struct Progress {
    what: &'static str,
    is_watched: bool,
    shown: Option<Instant>,
}

impl Progress {
    /// Of work on so many of `what`.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self { what, is_watched: io::stderr().is_terminal(), shown: None }
    }

    /// Says how many things are done by now.
    pub fn tell(&mut self, done: u64) {
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= PAUSE);
        if self.is_watched && is_due {
            self.shown = Some(Instant::now());
            output::show(&format!("{done} {}", self.what));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            output::show("");
        }
    }
}
