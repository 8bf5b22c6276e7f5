//! slowhttptest against the real binary: connections that say their head or body by drops, and those that hardly read.
//!
//! Skipped with a message where `slowhttptest` is missing, unless `KEYSTILE_TEST_REQUIRE_TOOLS` is 1.

use std::process::Command;

use crate::support::Workplace;
use crate::support::tools::require;

/// More connections than the server holds.
const CONNECTIONS: &str = "400";
const CONFIG: &str = "[server]\nmax_connections = 200";

/// Whether it is installed.
fn is_there() -> bool {
    let found = Command::new("slowhttptest").arg("-h").output().is_ok();
    require("slowhttptest (Debian's package of that name)", found)
}

/// Has it attack `path`; it asks by itself whether others are still served.
fn others_are_served(path: &str, attack: &[&str]) {
    if !is_there() {
        return;
    }
    let workplace = Workplace::new();
    workplace.write("config.toml", CONFIG);
    let server = workplace.serve();
    let url = format!("http://{}{path}", server.address());
    let mut command = Command::new("slowhttptest");
    command.args(attack).args(["-u", &url, "-c", CONNECTIONS, "-r", "200", "-i", "3", "-l", "20"]);
    let ended = command.args(["-x", "10", "-p", "5"]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let verdicts: Vec<_> = said.lines().filter(|line| line.contains("service available")).collect();
    assert!(verdicts.len() > 1, "{said}");
    assert!(verdicts.iter().all(|verdict| verdict.contains("YES")), "{said}");
    assert_eq!(server.client().get("/healthz").send().status, 200);
}

#[test]
fn a109_heads_by_drops_keep_nobody_out() {
    others_are_served("/users/me", &["-H"]);
}

#[test]
fn a109_bodies_by_drops_keep_nobody_out() {
    others_are_served("/token", &["-B"]);
}

#[test]
fn a109_readers_by_drops_keep_nobody_out() {
    others_are_served(
        "/openapi.json",
        &["-X", "-w", "1", "-y", "10", "-n", "3", "-z", "8", "-k", "3"],
    );
}
