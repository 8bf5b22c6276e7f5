//! `keystile export` and what becomes of it, with a server and without.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::PASSWORD;
use crate::support::Workplace;

/// A place with two users, a session and a post.
fn used() -> Workplace {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    let server = workplace.serve();
    server.client().register("bob", PASSWORD);
    let pair = server.client().login("bob", PASSWORD);
    let post = serde_json::json!({ "title": "a", "content": "b" });
    server.client().post("/posts").bearer(&pair.access).json(&post).expect(201);
    server.stop();
    workplace
}

/// The lines of a dump.
fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The members of all lines of one kind.
fn all<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter_map(|line| line.get(kind)).collect()
}

/// What must hold with a server and without one.
fn the_data_is_exported(workplace: &Workplace) {
    let done = workplace.run(&["export", "dump.jsonl"]);
    assert!(done.output().starts_with("exported "), "{done:?}");
    let file = workplace.path("dump.jsonl");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let dump = lines(&fs::read_to_string(&file).unwrap());
    let names: Vec<_> = all(&dump, "user").iter().map(|user| &user["username"]).collect();
    assert_eq!(names, ["alice", "bob"]);
    assert_eq!(all(&dump, "post").len(), 1);
    let events: Vec<_> = all(&dump, "audit").iter().map(|event| &event["event"]).collect();
    assert_eq!(events.last().unwrap(), &"data_exported");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("\"secret\"") && !text.contains("eyJ"), "{text}");

    // Written over, and as JSON.
    let again = workplace.run(&["export", "dump.jsonl", "--json"]);
    let again: Value = serde_json::from_str(again.output()).unwrap();
    assert_eq!(again["records"], dump.len() - 2 + 1, "one more export is noted");
    let dump = lines(&fs::read_to_string(&file).unwrap());
    assert_eq!(all(&dump, "trailer")[0]["sha256"], again["sha256"]);
    fs::remove_file(&file).unwrap();

    let printed = workplace.run(&["export", "-"]);
    let summary = format!("exported {} records", dump.len() - 2 + 1);
    assert!(printed.stderr.starts_with(&summary), "{}", printed.stderr);
    assert_eq!(lines(printed.output()).len(), dump.len() + 1);

    for (file, expected) in [("nowhere/dump", "No such file"), ("data", "standard output is -")] {
        let refused = workplace.run(&["export", file]);
        assert!(refused.complaint().contains(expected), "{refused:?}");
    }
    let left: Vec<_> = fs::read_dir(workplace.path(".")).unwrap().collect();
    assert_eq!(left.len(), 1, "only the data is left: {left:?}");
}

#[test]
fn the_data_is_exported_beside_a_running_server() {
    let workplace = used();
    let server = workplace.serve();
    the_data_is_exported(&workplace);
    server.stop();
}

#[test]
fn the_data_is_exported_without_a_server() {
    the_data_is_exported(&used());
}

#[test]
fn there_has_to_be_data_to_export() {
    let workplace = Workplace::new();
    let refused = workplace.run(&["export", "dump.jsonl"]);
    assert!(refused.complaint().contains("there is no data in data"), "{refused:?}");
    assert!(!workplace.path("dump.jsonl").exists() && !workplace.data().exists());
}
