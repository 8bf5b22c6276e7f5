//! `strace` around the real binary: to write down what it asks of the system, and to kill it when it asks.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Workplace, clean};

/// Makes a missing `strace` a failure.
const REQUIRED: &str = "KEYSTILE_TEST_REQUIRE_STRACE";

/// Whether `strace` is here and may trace. Without it, says that what needs it is skipped.
pub fn is_here() -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let is_here = command.status().is_ok_and(|status| status.success());
    if !is_here {
        assert!(std::env::var_os(REQUIRED).is_none_or(|it| it != "1"), "strace does not work here");
        println!("skipped: there is no strace that may trace");
    }
    is_here
}

/// The server of `workplace`, to be killed by SIGKILL at the point of entering its `nth` system call of
/// those named `calls`, before it is carried out. Each thread counts for itself.
pub fn killed_at(workplace: &Workplace, calls: &str, nth: usize) -> Command {
    let (trace, inject) =
        (format!("trace={calls}"), format!("inject={calls}:signal=KILL:when={nth}"));
    around(workplace, &["-o", "/dev/null", "-e", &trace, "-e", &inject])
}

/// The server of `workplace`, with every call named in `calls` written to `file`, data and all.
pub fn recorded(workplace: &Workplace, calls: &str, file: &Path) -> Command {
    let trace = format!("trace={calls}");
    let file = file.to_str().unwrap();
    around(workplace, &["--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-e", &trace, "-o", file])
}

fn around(workplace: &Workplace, arguments: &[&str]) -> Command {
    let served = workplace.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut command = Command::new("strace");
    clean(&mut command, served.get_current_dir().unwrap());
    // Traced by a grandchild, so that the process that was started is the server itself.
    command.args(["-D", "-f", "-qq"]).args(arguments).arg("--");
    command.arg(served.get_program()).args(served.get_args());
    command
}
