//! `keystile check`: what a server leaves agrees, and what does not is told in one line.

use serde_json::Value;

use crate::support::Workplace;
use crate::{PASSWORD, serve_used};

#[test]
fn what_a_server_leaves_agrees() {
    let (workplace, server) = serve_used();
    let refused = workplace.run(&["check"]);
    assert!(refused.complaint().contains("a server runs on data; stop it first"), "{refused:?}");
    server.kill();

    let counts: Value = serde_json::from_str(workplace.run(&["check", "--json"]).output()).unwrap();
    assert_eq!((&counts["user"], &counts["session"]), (&2.into(), &1.into()));
    let checked = workplace.run(&["check"]);
    assert!(checked.output().contains("admin     1\n"), "{checked:?}");
}

#[test]
fn a_disagreement_is_one_line_and_a_failure() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    let db = sled::open(workplace.data().join("db")).unwrap();
    for name in ["bob", "carol"] {
        let names = db.open_tree("name").unwrap();
        let id = names.get("alice").unwrap().unwrap();
        names.insert(name, id).unwrap();
    }
    db.flush().unwrap();
    drop(db);
    let refused = workplace.run(&["check"]);
    let expected = "table name, key 626f62: its user has another name; in all, 2 entries";
    assert!(refused.complaint().contains(expected), "{refused:?}");
}

#[test]
fn there_has_to_be_data() {
    let workplace = Workplace::new();
    let refused = workplace.run(&["check"]);
    assert!(refused.complaint().contains("there is no data in data"), "{refused:?}");
    assert!(!workplace.data().exists());
}
