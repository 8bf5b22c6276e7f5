//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::{DumpableBehavior, Resource, Rlimit};

fn main() -> ExitCode {
    if let Err(error) = harden() {
        let error = anyhow::Error::from(error).context("cannot forbid core dumps");
        keystile::cli::output::complain(&error);
        return ExitCode::FAILURE;
    }
    keystile::cli::run()
}

/// First of all, so that no file is ever born readable by others, and nobody unprivileged reads the secrets
/// in this process's environment or memory.
fn harden() -> rustix::io::Result<()> {
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, none)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
