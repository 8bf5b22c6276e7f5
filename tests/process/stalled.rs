//! A standard error that nobody reads, or that is closed, holds nothing up.

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::client::Client;
use crate::support::{Workplace, address, watch};

/// Serves `count` requests to a server whose standard error is `kept` after it has said where it listens.
fn serve_with(kept: fn(BufReader<ChildStderr>) -> Option<BufReader<ChildStderr>>) {
    let workplace = Workplace::new();
    let mut command = workplace.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let watchdog = watch(pid);
    let mut stderr = BufReader::with_capacity(1, child.stderr.take().unwrap());
    let mut line = String::new();
    let address = loop {
        line.clear();
        stderr.read_line(&mut line).unwrap();
        if let Some(address) = address(&line) {
            break address;
        }
    };
    let stderr = kept(stderr);
    let client = Client::new(address);
    // One line each: several times what a pipe holds.
    for _ in 0..1000 {
        client.get("/healthz").send().expect(200);
    }
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop((watchdog, stderr));
}

#[test]
fn a_standard_error_that_nobody_reads_holds_nothing_up() {
    serve_with(Some);
}

#[test]
fn a_standard_error_that_is_closed_holds_nothing_up() {
    serve_with(|_| None);
}
