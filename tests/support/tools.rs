//! What of the system some tests need: without it they say that they are skipped, unless they must not be.

use std::process::{Command, Stdio};

/// Set to 1, whatever is missing is a failure.
const REQUIRED: &str = "KEYSTILE_TEST_REQUIRE_TOOLS";

/// Whether a test that needs `tool` can go on; says so if not.
#[track_caller]
pub fn require(tool: &str, is_there: bool) -> bool {
    if !is_there {
        let is_required = std::env::var_os(REQUIRED).is_some_and(|it| it == "1");
        assert!(!is_required, "{tool}: missing or not allowed here");
        println!("skipped: {tool} is missing or not allowed here");
    }
    is_there
}

/// Whether `strace` is here and may trace; says so if not.
#[track_caller]
pub fn strace() -> bool {
    let mut command = Command::new("strace");
    command.args(["-o", "/dev/null", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    require("strace", command.status().is_ok_and(|status| status.success()))
}
