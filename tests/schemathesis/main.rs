//! schemathesis draws requests from `/openapi.json`, as a user and as an administrator, and finds none that is
//! answered otherwise than the document says.
//!
//! Skipped with a message where `schemathesis` is missing, unless `KEYSTILE_TEST_REQUIRE_SCHEMATHESIS` is 1.
//! `KEYSTILE_TEST_EXAMPLES` is how many cases it draws for an operation, `KEYSTILE_TEST_SEED` draws them again.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use crate::support::Workplace;

const PASSWORD: &str = "seven lamps on the quay";
/// The least costly hashes, and no limits: each case logs in anew.
const CONFIG: &str = "[log]\nlevel = \"warn\"\n[throttle]\nenabled = false\n[passwords]\nmemory_kib = 19456\niterations = 2\n";
const EXAMPLES: &str = "10";

/// Whether it is installed.
fn is_there() -> bool {
    let found = Command::new("schemathesis").arg("--version").output().is_ok();
    let is_required = std::env::var_os("KEYSTILE_TEST_REQUIRE_SCHEMATHESIS").is_some();
    assert!(found || !is_required, "schemathesis is missing: `pip install -r {}`", requirements());
    found
}

fn requirements() -> String {
    here("requirements.txt")
}

/// A file beside this one.
fn here(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/schemathesis")
        .join(name)
        .display()
        .to_string()
}

fn setting(name: &str, default: &str) -> OsString {
    std::env::var_os(name).unwrap_or_else(|| default.into())
}

/// Has it try every operation as a user of this role.
#[track_caller]
fn every_answer_is_as_documented(role: &str) {
    if !is_there() {
        println!("skipped: schemathesis is missing (pip install -r {})", requirements());
        return;
    }
    let workplace = Workplace::new();
    workplace.write("config.toml", CONFIG);
    workplace.add_user("grace", PASSWORD, role);
    let server = workplace.serve();
    let url = format!("http://{}", server.address());
    let mut command = Command::new("schemathesis");
    command
        .args(["--no-color", "--config-file", &here("schemathesis.toml")])
        .args(["run", &format!("{url}/openapi.json"), "--continue-on-failure"])
        .arg("--max-examples")
        .arg(setting("KEYSTILE_TEST_EXAMPLES", EXAMPLES))
        .arg("--seed")
        .arg(setting("KEYSTILE_TEST_SEED", "1"))
        .args(["--generation-database", "none"])
        .current_dir(workplace.path("."))
        .env("SCHEMATHESIS_HOOKS", here("hooks.py"))
        .env("KEYSTILE_TEST_URL", &url)
        .env("KEYSTILE_TEST_USERNAME", "grace")
        .env("KEYSTILE_TEST_PASSWORD", PASSWORD);
    let ended = command.output().unwrap();
    let [said, complained] =
        [&ended.stdout, &ended.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(ended.status.success(), "as {role}: {said}{complained}");
}

#[test]
fn a_user_is_answered_as_the_document_says() {
    every_answer_is_as_documented("user");
}

#[test]
fn an_administrator_is_answered_as_the_document_says() {
    every_answer_is_as_documented("admin");
}
