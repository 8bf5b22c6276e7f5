//! What wrong passwords bring upon a user outlives the server, and the operator lifts it.

use crate::PASSWORD;
use crate::support::client::Answer;
use crate::support::{Server, Workplace};

/// The password is locked with the first failure that would have to wait: all that is tried here comes from one
/// address.
const CONFIG: &str = "[throttle]\nfree_failures = 20\nlock_after = 20\n\
                      [passwords]\nmemory_kib = 12288\niterations = 3\n";

fn tried(server: &Server, password: &str) -> Answer {
    server.client().post("/token").form(&[("username", "alice"), ("password", password)])
}

/// Tries a wrong password `times`.
#[track_caller]
fn fail(server: &Server, times: u32) {
    for _ in 0..times {
        tried(server, "correct horse shoes").expect(400);
    }
}

fn workplace() -> Workplace {
    let workplace = Workplace::new();
    workplace.write("config.toml", CONFIG);
    workplace.add_user("alice", PASSWORD, "admin");
    workplace
}

/// The names of the security events that are written.
fn events(workplace: &Workplace) -> String {
    let exported = workplace.run(&["export", "-"]);
    exported.output().to_owned()
}

#[test]
fn a038_failures_count_across_a_kill() {
    let workplace = workplace();
    let server = workplace.serve();
    fail(&server, 10);
    // What is answered before it is on disk is there with the next answer that waits for the disk.
    server.client().register("bob", PASSWORD);
    server.kill();
    let server = workplace.serve();
    fail(&server, 9);
    assert!(!events(&workplace).contains("account_locked"));
    fail(&server, 1);
    assert!(events(&workplace).contains("account_locked"));
    let refused = tried(&server, PASSWORD);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
}

/// Who is in which state, once by the list and once each by name.
#[track_caller]
fn states(workplace: &Workplace) -> Vec<(String, String)> {
    let listed = workplace.run(&["users", "list"]);
    let rows = listed.output().lines().skip(1).map(str::split_whitespace);
    let states: Vec<_> =
        rows.map(|mut row| owned((row.next().unwrap(), row.nth(1).unwrap()))).collect();
    for (name, state) in &states {
        let shown = workplace.run(&["users", "show", name]);
        assert!(shown.output().lines().any(|line| line == format!("state      {state}")));
        let shown = workplace.run(&["users", "show", name, "--json"]);
        let account: serde_json::Value = serde_json::from_str(shown.output()).unwrap();
        assert_eq!(account["locked"], state == "locked", "{account}");
    }
    states
}

fn owned((name, state): (&str, &str)) -> (String, String) {
    (name.to_owned(), state.to_owned())
}

/// What must hold with a server and without one.
fn unlock(workplace: &Workplace) {
    workplace.add_user("carol", PASSWORD, "user");
    assert_eq!(states(workplace), [("alice", "locked"), ("carol", "enabled")].map(owned));
    let unlocked = workplace.run(&["users", "unlock", "ALICE"]);
    assert_eq!(unlocked.output(), "unlocked alice\n");
    let unlocked = workplace.run(&["users", "unlock", "alice", "--json"]);
    let account: serde_json::Value = serde_json::from_str(unlocked.output()).unwrap();
    assert_eq!(account["username"], "alice");
    assert_eq!(states(workplace), [("alice", "enabled"), ("carol", "enabled")].map(owned));
    let nobody = workplace.run(&["users", "unlock", "nobody"]);
    assert!(nobody.complaint().contains("no such user"), "{nobody:?}");
    assert!(events(workplace).contains("account_unlocked"));
}

#[test]
fn lt_04_the_operator_unlocks_beside_a_running_server() {
    let workplace = workplace();
    let server = workplace.serve();
    fail(&server, 20);
    assert_eq!(tried(&server, PASSWORD).status, 429);
    unlock(&workplace);
    server.client().login("alice", PASSWORD);
}

#[test]
fn lt_04_the_operator_unlocks_without_a_server() {
    let workplace = workplace();
    let server = workplace.serve();
    fail(&server, 20);
    server.stop();
    unlock(&workplace);
    workplace.serve().client().login("alice", PASSWORD);
}

#[test]
fn a_server_without_a_throttle_looks_at_every_password() {
    let workplace = workplace();
    workplace
        .write("config.toml", &CONFIG.replace("[throttle]\n", "[throttle]\nenabled = false\n"));
    let server = workplace.serve();
    fail(&server, 25);
    server.client().login("alice", PASSWORD);
}
