//! Signing keys on the real binary: new ones while it runs, while it does not, and right before it is killed.

use serde_json::Value;

use crate::sessions::Line;
use crate::support::Workplace;
use crate::support::token::header;

const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "9c7d1f3a5b8e2460c1d3f5a7b9e0d2c4f6a8b0c2d4e6f80123456789abcdef42";

fn kid(token: &str) -> Value {
    header(token)["kid"].clone()
}

/// `keys rotate` as it prints itself, as `(kind, state)` of each key.
fn rotated(workplace: &Workplace, more: &[&str]) -> Vec<(String, bool)> {
    let ended = workplace.run(&[&["keys", "rotate", "--json"], more].concat());
    let keys: Vec<Value> = serde_json::from_str(ended.output()).unwrap();
    let kind = |key: &Value| key["purpose"].as_str().unwrap().to_owned();
    keys.iter().map(|key| (kind(key), key["signs"].as_bool().unwrap())).collect()
}

fn of(keys: &[(&str, bool)]) -> Vec<(String, bool)> {
    keys.iter().map(|&(kind, signs)| (kind.to_owned(), signs)).collect()
}

const BOTH: [(&str, bool); 2] = [("access", true), ("refresh", true)];
const BOTH_AND_OLD: [(&str, bool); 4] =
    [("access", true), ("access", false), ("refresh", true), ("refresh", false)];

/// The real binary, one connection that is kept alive, and a power cut right after the answer.
#[test]
fn a105_a_key_that_is_dropped_is_dead_on_a_kept_connection_and_after_a_crash() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    let old = server.client().login("alice", PASSWORD);
    let mut line = Line::new(&server);
    assert_eq!(line.status("/users/me", &old.access), 200);
    assert_eq!(rotated(&workplace, &[]), of(&BOTH_AND_OLD));
    assert_eq!(line.status("/users/me", &old.access), 200);
    let new = server.client().login("alice", PASSWORD);
    assert_ne!(kid(&new.access), kid(&old.access));
    assert_eq!(line.status("/users/me", &new.access), 200);
    server.kill();

    let server = workplace.serve();
    for pair in [&old, &new] {
        assert_eq!(server.client().status_with(&pair.access), 200);
    }
    let mut line = Line::new(&server);
    assert_eq!(line.status("/users/me", &old.access), 200);
    assert_eq!(rotated(&workplace, &["--drop-old"]), of(&BOTH));
    for pair in [&old, &new] {
        assert_eq!(line.status("/users/me", &pair.access), 401);
    }
    let last = server.client().login("alice", PASSWORD);
    assert_eq!(line.status("/users/me", &last.access), 200);
    server.kill();

    let server = workplace.serve();
    for pair in [&old, &new] {
        assert_eq!(server.client().status_with(&pair.access), 401);
        server.client().post("/refresh").bearer(&pair.refresh).send().expect(401);
    }
    assert_eq!(server.client().status_with(&last.access), 200);
    server.client().post("/refresh").bearer(&last.refresh).send().expect(200);
}

#[test]
fn ky_06_keys_are_listed_and_rotate_without_a_server_too() {
    let workplace = Workplace::new();
    for arguments in [&["keys", "list"][..], &["keys", "rotate"]] {
        let refused = workplace.run(arguments);
        assert!(refused.complaint().contains("there is no data"), "{refused:?}");
    }
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    let old = server.client().login("alice", PASSWORD);
    let listed = || workplace.run(&["keys", "list"]).output().to_owned();
    let beside = listed();
    assert!(beside.contains(kid(&old.access).as_str().unwrap()), "{beside}");
    assert!(beside.contains(kid(&old.refresh).as_str().unwrap()), "{beside}");
    server.stop();
    assert_eq!(workplace.run(&["keys", "list"]).output(), beside);
    assert_eq!(rotated(&workplace, &[]), of(&BOTH_AND_OLD));
    let server = workplace.serve();
    let table = listed();
    assert_eq!(table.matches(" signs ").count(), 2, "{table}");
    assert_eq!(table.matches(" verifies until 20").count(), 2, "{table}");
    assert_eq!(server.client().status_with(&old.access), 200);
    server.client().post("/refresh").bearer(&old.refresh).send().expect(200);
    server.stop();
    assert_eq!(rotated(&workplace, &["--drop-old"]), of(&BOTH));
    let server = workplace.serve();
    assert_eq!(server.client().status_with(&old.access), 401);
}

/// What the operator configures, the operator replaces.
#[test]
fn ky_06_a_configured_secret_is_listed_and_does_not_rotate() {
    let workplace = Workplace::new();
    let before: String = SECRET.chars().rev().collect();
    let config = format!("[tokens]\nsecret = '{SECRET}'\nprevious_secrets = ['{before}']\n");
    workplace.write("config.toml", &config);
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    let pair = server.client().login("alice", PASSWORD);
    let check = || {
        for arguments in [&["keys", "rotate"][..], &["keys", "rotate", "--drop-old"]] {
            let refused = workplace.run(arguments);
            let line = refused.complaint();
            assert!(line.contains("tokens.secret") && line.contains("previous_secrets"), "{line}");
            assert!(!line.contains(SECRET), "{line}");
        }
        let table = workplace.run(&["keys", "list"]);
        let table = table.output();
        assert!(table.contains(kid(&pair.access).as_str().unwrap()), "{table}");
        assert_eq!(table.matches(" signs ").count(), 2, "{table}");
        assert_eq!(table.matches(" verifies ").count(), 2, "{table}");
        assert!(!table.contains(SECRET) && !table.contains(&before), "{table}");
    };
    check();
    assert_eq!(server.client().status_with(&pair.access), 200);
    server.stop();
    check();
    assert_eq!(workplace.serve().client().status_with(&pair.access), 200);
}
