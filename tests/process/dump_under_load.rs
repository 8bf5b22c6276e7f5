//! Exports of a server whose users are being changed and deleted: each, imported elsewhere, is the state of
//! one moment.
//!
//! Method: every change notes an event in the same step, so the events of a dump tell which changes are in
//! it. Each changer has users of its own and remembers what each of its changes made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use ureq::http::Method;

use crate::PASSWORD;
use crate::dump::{all, lines, many_users};
use crate::support::Workplace;
use crate::support::client::Client;

/// More than the server reads in a step.
const USERS: u64 = 3000;
/// How many change users at once.
const CHANGERS: usize = 3;

/// A changed user and its roles from then on; none when it was deleted.
type Done = (String, Option<Value>);

fn id_of(user: &Value) -> String {
    user["id"].as_str().unwrap().to_owned()
}

/// Changes the users in turns, and deletes every fifth, until told to stop.
fn change(client: &Client, access: &str, mut users: Vec<String>, stop: &AtomicBool) -> Vec<Done> {
    let mut done = vec![];
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let index = turn * 13 % users.len();
        if turn % 5 == 4 {
            let user = users.swap_remove(index);
            let path = format!("/users/{user}");
            client.call(Method::DELETE, &path).bearer(access).send().expect(204);
            done.push((user, None));
        } else {
            let user = &users[index];
            let roles = if turn % 2 == 0 { json!(["admin", "user"]) } else { json!([]) };
            let change = json!({ "roles": roles });
            let path = format!("/users/{user}");
            client.call(Method::PATCH, &path).bearer(access).json(&change).expect(200);
            done.push((user.clone(), Some(roles)));
        }
    }
    done
}

/// The roles of those `users` that are in `dump`.
fn roles_in(dump: &[Value], users: &BTreeSet<String>) -> BTreeMap<String, Value> {
    let found = all(dump, "user").into_iter().map(|user| (id_of(user), user["roles"].clone()));
    found.filter(|(id, _)| users.contains(id)).collect()
}

#[test]
fn what_is_exported_under_load_is_imported_as_the_state_of_one_moment() {
    let workplace = Workplace::new();
    let original = many_users(USERS);
    workplace.write("original.jsonl", &original);
    workplace.run(&["import", "original.jsonl"]).output();
    workplace.add_user("alice", PASSWORD, "admin");
    let server = workplace.serve();
    let access = server.client().login("alice", PASSWORD).access;
    let ids: Vec<_> = all(&lines(&original), "user").into_iter().map(id_of).collect();
    let parts: Vec<_> = ids.chunks(ids.len().div_ceil(CHANGERS)).map(<[_]>::to_vec).collect();

    let stop = AtomicBool::new(false);
    let histories: Vec<_> = std::thread::scope(|scope| {
        let changing: Vec<_> = parts
            .iter()
            .map(|part| {
                let (client, access, stop) = (Client::new(server.address()), &access, &stop);
                scope.spawn(move || change(&client, access, part.clone(), stop))
            })
            .collect();
        for number in 0..3 {
            workplace.run(&["export", &format!("dump{number}.jsonl")]).output();
        }
        stop.store(true, Ordering::Relaxed);
        changing.into_iter().map(|changing| changing.join().unwrap()).collect()
    });
    server.stop();
    for number in 0..3 {
        let (file, data) = (format!("dump{number}.jsonl"), format!("data{number}"));
        workplace.run(&["import", &file, "--data", &data]).output();
        workplace.run(&["check", "--data", &data]).output();
        let state = workplace.run(&["export", "-", "--data", &data]);
        let state = lines(state.output());
        for (part, history) in parts.iter().zip(&histories) {
            is_of_one_moment(&state, part, history);
        }
    }
}

/// `dump` has exactly those changes of `history` whose events are in it.
#[track_caller]
fn is_of_one_moment(dump: &[Value], users: &[String], history: &[Done]) {
    let users: BTreeSet<_> = users.iter().cloned().collect();
    let is_ours = |event: &&Value| event["user"].as_str().is_some_and(|id| users.contains(id));
    let seen = all(dump, "audit").into_iter().filter(is_ours).count();
    println!("{seen} of {} changes are in it", history.len());
    let mut expected: BTreeMap<_, _> =
        users.iter().map(|id| (id.clone(), json!(["user"]))).collect();
    for (user, roles) in &history[..seen] {
        match roles {
            Some(roles) => drop(expected.insert(user.clone(), roles.clone())),
            None => drop(expected.remove(user)),
        }
    }
    assert!(roles_in(dump, &users) == expected, "another state than these changes make");
}
