//! A child process: started, measured through `/proc`, and ended with its owner.

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};

/// `USER_HZ`, in which Linux counts CPU time towards user space on every architecture but Alpha.
const TICKS_PER_SEC: f64 = 100.0;

/// A child that does not outlive this value.
pub struct Process(Child);

impl Process {
    /// Starts `command`.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let child = command.spawn();
        Ok(Self(
            child.with_context(|| format!("cannot start {}", command.get_program().display()))?,
        ))
    }

    /// The child's ends of its pipes.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// The CPU time that all its threads have used, those that have ended too.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.file("stat")?;
        // The name of the program comes before, in brackets, and may hold anything.
        let (_, fields) = stat.rsplit_once(") ").context("no process statistics")?;
        let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u32>);
        let ticks = ticks.sum::<Result<u32, _>>()?;
        Ok(Duration::from_secs_f64(f64::from(ticks) / TICKS_PER_SEC))
    }

    /// A figure of `/proc/<pid>/status` in KiB, such as `VmRSS`.
    pub fn status_kib(&self, name: &str) -> Result<f64> {
        let status = self.file("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let figure = line.and_then(|line| line.trim().strip_suffix(" kB"));
        figure.with_context(|| format!("no {name}"))?.parse().context("no figure")
    }

    fn file(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/{name}", self.0.id()))?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
