//! The machine that a run took place on, and the commit it measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// What figures depend on besides the code.
#[derive(Serialize, Deserialize)]
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: u64,
    kernel: String,
    file_system: String,
}

impl Machine {
    /// This one, with the file system that `directory` is on.
    pub fn here(directory: &Path) -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let memory = after(&meminfo, "MemTotal").and_then(|text| text.strip_suffix(" kB"));
        let memory_kib: u64 = memory.context("no MemTotal")?.parse()?;
        Ok(Self {
            // Not every architecture tells its name.
            cpu: after(&cpuinfo, "model name").unwrap_or(std::env::consts::ARCH).to_owned(),
            cores: std::thread::available_parallelism()?.get(),
            memory_gib: memory_kib.div_ceil(1024 * 1024),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
            file_system: file_system(&fs::canonicalize(directory)?)?,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_gib, kernel, file_system } = self;
        write!(formatter, "{cores} cores of {cpu}, {memory_gib} GiB, Linux {kernel}, {file_system}")
    }
}

/// The commit that is checked out, and whether anything differs from it.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(super::record::ROOT).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return "an unknown commit".to_owned();
    };
    let changed = git(&["status", "--porcelain", "--", "src", "Cargo.lock", "Cargo.toml"]);
    let is_clean = changed.is_none_or(|changed| changed.is_empty());
    if is_clean { commit } else { format!("{commit} with changes") }
}

fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The type of the mount that `path` is below.
fn file_system(path: &Path) -> Result<String> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    let (_, kind) = above.max_by_key(|(length, _)| *length).context("no mount")?;
    Ok(kind.to_owned())
}
