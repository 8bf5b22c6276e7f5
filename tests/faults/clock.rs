//! Clocks that leap, while the server runs and between two starts (TM-01 to TM-06). The monotonic clock goes on
//! as it should: a clock that is set is the one that everybody reads.

use std::path::PathBuf;
use std::process::Command;

use crate::PASSWORD;
use crate::support::client::Pair;
use crate::support::tools::require;
use crate::support::{Server, Workplace, run};

/// A workplace whose server reads a clock that can be set.
struct Clocked {
    workplace: Workplace,
    library: PathBuf,
}

impl Clocked {
    /// Nothing without libfaketime.
    fn new() -> Option<Self> {
        let found = ["x86_64", "aarch64"].iter().map(|machine| {
            PathBuf::from(format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
        });
        let library = found.into_iter().find(|library| library.exists());
        require("libfaketime", library.is_some()).then_some(())?;
        let clocked = Self { workplace: Workplace::new(), library: library? };
        clocked.configure("access_ttl = '30m'\nrefresh_ttl = '2h'\nsession_ttl = '6h'");
        clocked.set("+0");
        Some(clocked)
    }

    fn configure(&self, tokens: &str) {
        let config = format!("[tokens]\n{tokens}\n[sessions]\nsweep_interval = '1s'\n");
        self.workplace.write("config.toml", &config);
    }

    /// Sets the clock to so much before or after the true time.
    fn set(&self, offset: &str) {
        // Replaced at once, so that nobody reads half of it.
        self.workplace.write("clock.new", offset);
        std::fs::rename(self.workplace.path("clock.new"), self.workplace.path("clock")).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.workplace.command(arguments);
        command.env("LD_PRELOAD", &self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", self.workplace.path("clock"));
        command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_NO_CACHE", "1");
        command
    }

    fn serve(&self) -> Server {
        Server::start(self.command(&["serve", "--listen", "127.0.0.1:0"]))
    }
}

fn refresh(server: &Server, pair: &Pair) -> Option<Pair> {
    let answer = server.client().post("/refresh").bearer(&pair.refresh).send();
    (answer.status == 200).then(|| Pair::of(&answer.expect(200)))
}

/// How many live sessions a user sees.
fn sessions(server: &Server, pair: &Pair) -> usize {
    let listed = server.client().get("/users/me/sessions").bearer(&pair.access).send().expect(200);
    listed.as_array().unwrap().len()
}

#[test]
fn a_clock_set_back_while_the_server_runs_revives_nothing() {
    let Some(clocked) = Clocked::new() else { return };
    clocked.configure("access_ttl = '1s'\nrefresh_ttl = '2s'\nsession_ttl = '2s'");
    let server = clocked.serve();
    let client = server.client();
    client.register("alice", PASSWORD);
    let expired = client.login("alice", PASSWORD);
    while client.status_with(&expired.access) == 200 || refresh(&server, &expired).is_some() {}
    for offset in ["-1h", "-1d"] {
        clocked.set(offset);
        assert_eq!(client.status_with(&expired.access), 401, "{offset}");
        assert_eq!(refresh(&server, &expired), None, "{offset}");
        let again = client.login("alice", PASSWORD);
        assert_eq!(client.status_with(&again.access), 200, "{offset}");
        client.post("/logout").bearer(&again.access).send().expect(200);
        assert_eq!(client.status_with(&again.access), 401, "{offset}");
    }
    server.stop();
}

#[test]
fn a_start_far_behind_is_refused_unless_it_is_accepted() {
    let Some(clocked) = Clocked::new() else { return };
    let server = clocked.serve();
    let client = server.client();
    client.register("alice", PASSWORD);
    let kept = client.login("alice", PASSWORD);
    let out = client.login("alice", PASSWORD);
    client.post("/logout").bearer(&out.access).send().expect(200);
    server.stop();

    for offset in ["-1h", "-1d"] {
        clocked.set(offset);
        let refused = run(clocked.command(&["serve", "--listen", "127.0.0.1:0"]), "");
        assert!(refused.complaint().contains("--accept-clock"), "{offset}");
        let accepted = ["serve", "--listen", "127.0.0.1:0", "--accept-clock"];
        let server = Server::start(clocked.command(&accepted));
        assert_eq!(server.client().status_with(&kept.access), 200, "{offset}");
        assert_eq!(server.client().status_with(&out.access), 401, "{offset}");
        assert_eq!(refresh(&server, &out), None, "{offset}");
        server.stop();
    }
    clocked.set("-4m");
    let server = clocked.serve();
    assert_eq!(server.client().status_with(&kept.access), 200);
    server.stop();
}

#[test]
fn a_leap_forward_of_days_expires_and_purges_nothing() {
    let Some(clocked) = Clocked::new() else { return };
    let server = clocked.serve();
    let client = server.client();
    client.register("alice", PASSWORD);
    let pair = client.login("alice", PASSWORD);
    clocked.set("+2d");
    assert_eq!(client.status_with(&pair.access), 401);
    server.await_line("the clock has leapt: nothing is swept");
    clocked.set("+0");
    // Nothing was removed: the session lives again once the clock is right.
    assert_eq!(client.status_with(&pair.access), 200);
    assert_eq!(sessions(&server, &pair), 1);
    server.stop();
}

#[test]
fn what_expired_while_the_server_was_down_stays_dead() {
    let Some(clocked) = Clocked::new() else { return };
    let server = clocked.serve();
    let pair = {
        server.client().register("alice", PASSWORD);
        server.client().login("alice", PASSWORD)
    };
    server.stop();
    clocked.set("+3h");
    let server = clocked.serve();
    assert_eq!(server.client().status_with(&pair.access), 401);
    assert_eq!(refresh(&server, &pair), None);
    server.stop();
    clocked.set("+0");
    let refused = run(clocked.command(&["serve", "--listen", "127.0.0.1:0"]), "");
    assert!(refused.complaint().contains("--accept-clock"));
}

#[test]
fn a_clock_that_was_never_set_is_refused() {
    let Some(clocked) = Clocked::new() else { return };
    clocked.set("@2023-12-31 23:00:00");
    let refused = run(clocked.command(&["serve", "--listen", "127.0.0.1:0"]), "");
    assert!(refused.complaint().contains("before 2024"), "{refused:?}");
}
