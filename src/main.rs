//! The binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all, so that no file is ever born readable by others, and nobody unprivileged reads the
    // secrets in this process's environment or memory.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let hardened =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    if let Err(error) = hardened {
        keystile::cli::output::complain(
            &anyhow::Error::from(error).context("cannot forbid core dumps"),
        );
        return ExitCode::FAILURE;
    }
    keystile::cli::run()
}
