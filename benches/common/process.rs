//! A child process: started, measured through `/proc`, and ended with its owner.

use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result};

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

    /// The child itself: its pipes, its number, its end.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Memory of `/proc/<pid>/status`, in millions of bytes: `VmRSS` now, `VmHWM` at most.
    pub fn memory(&self, name: &str) -> Result<f64> {
        let status = fs::read_to_string(self.file("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let figure = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: f64 = figure.with_context(|| format!("no {name}"))?.parse()?;
        Ok(kib * 1024.0 / 1_000_000.0)
    }

    /// Where `/proc` tells this of it.
    pub fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It is gone already, or goes now.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
