//! `strace` around the real binary: to write down what it asks of the system, and to kill it when it asks.

use std::path::Path;
use std::process::Command;

use crate::support::{Workplace, clean};

/// The arguments that have the binary serve.
pub const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];

/// The binary with `arguments`, to be killed by SIGKILL at the point of entering its `nth` system call of
/// those named `calls`, before it is carried out. Each thread counts for itself.
pub fn killed_at(workplace: &Workplace, arguments: &[&str], calls: &str, nth: usize) -> Command {
    let (trace, inject) =
        (format!("trace={calls}"), format!("inject={calls}:signal=KILL:when={nth}"));
    around(&workplace.command(arguments), &["-o", "/dev/null", "-e", &trace, "-e", &inject])
}

/// The binary with `arguments`, and every call named in `calls` written to `file`, data and all.
pub fn recorded(workplace: &Workplace, arguments: &[&str], calls: &str, file: &Path) -> Command {
    let trace = format!("trace={calls}");
    let file = file.to_str().unwrap();
    let options = ["--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-e", &trace, "-o", file];
    around(&workplace.command(arguments), &options)
}

fn around(traced: &Command, options: &[&str]) -> Command {
    let mut command = Command::new("strace");
    clean(&mut command, traced.get_current_dir().unwrap());
    // Traced by a grandchild, so that the process that was started is the binary itself.
    command.args(["-D", "-f", "-qq"]).args(options).arg("--");
    command.arg(traced.get_program()).args(traced.get_args());
    command
}
