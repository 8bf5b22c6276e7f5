//! What is kept and told of each action that matters, on the real binary.
//!
//! Goal: no action loses its event. Method: goes through every action once and notes, by the request id of the
//! answer, what that action is to leave in the audit table and in the log; then reads both, and compares them
//! whole.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::client::{Answer, Pair};
use crate::support::{Server, Workplace};

const PASSWORD: &str = "correct horse battery";
const NEW_PASSWORD: &str = "another horse battery";
const WRONG: &str = "wrong horse battery";
/// What somebody may type for a name.
pub const UNKNOWN: &str = "my-secret-for-a-name";

const CONFIG: &str = "[throttle]\nfree_failures = 6\nlock_after = 6\n[sessions]\nmax_per_user = 4\n\
                      [passwords]\nmemory_kib = 12288\niterations = 3\n";

/// What is left of one thing that happened: the event, its outcome, who did it, to whom, and from where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Trace(String, String, String, Option<String>, Option<String>);

impl Trace {
    /// What an entry of the table or a line of the log says.
    fn read(entry: &Value) -> Self {
        assert_eq!(entry["client_id"], "keystile", "{entry}");
        let time = entry["at"].as_str().or(entry["timestamp"].as_str()).unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{entry}");
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        let must = |name: &str| text(name).unwrap_or_else(|| panic!("no {name}: {entry}"));
        Self(must("event"), must("outcome"), must("actor"), text("user"), text("ip"))
    }
}

/// Where something is to be found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    /// In the table and in the log.
    Both,
    /// In the table.
    Table,
    /// In the log.
    Log,
}
use Where::{Both, Log, Table};

/// One action after the other, and what they are to leave.
struct Walk {
    server: Server,
    /// By request.
    expected: BTreeMap<String, Vec<(Where, Trace)>>,
    names: BTreeMap<String, String>,
}

impl Walk {
    /// `answer` answers an action that is to leave these events, each by and about somebody.
    #[track_caller]
    fn leaves(
        &mut self,
        (answer, status): (Answer, u16),
        events: &[(Where, &str, &str, Option<&str>)],
    ) -> Value {
        let body = answer.expect(status);
        let request = answer.header("x-request-id").unwrap().to_owned();
        let traces = events.iter().map(|&(place, event, actor, user)| {
            let failures =
                ["login_failed", "password_wrong", "throttled", "access_denied", "refresh_reused"];
            let failed = failures.contains(&event) || event == "account_locked";
            let outcome = if failed { "failure" } else { "success" };
            let id = |name: &str| self.names.get(name).cloned().unwrap_or_else(|| name.to_owned());
            let ip = Some("127.0.0.1".to_owned());
            (place, Trace(event.to_owned(), outcome.to_owned(), id(actor), user.map(id), ip))
        });
        let traces = traces.collect();
        self.expected.insert(request, traces);
        body
    }

    /// Registers somebody, and remembers the id.
    #[track_caller]
    fn register(&mut self, name: &str) {
        let account = json!({ "username": name, "password": PASSWORD });
        let answer = self.server.client().post("/auth/").json(&account);
        let id = answer.expect(201)["id"].as_str().unwrap().to_owned();
        self.names.insert(name.to_owned(), id);
        self.leaves((answer, 201), &[(Both, "user_created", "anonymous", Some(name))]);
    }

    /// Logs somebody in.
    #[track_caller]
    fn login(&mut self, name: &str) -> Pair {
        let answer = self.try_password(name, PASSWORD);
        let opened = [(Both, "session_opened", name, Some(name))];
        Pair::of(&self.leaves((answer, 200), &opened))
    }

    fn try_password(&self, name: &str, password: &str) -> Answer {
        let form = [("username", name), ("password", password)];
        self.server.client().post("/token").form(&form)
    }

    fn send(&self, call: &str, bearer: &str, body: Option<&Value>) -> Answer {
        let (method, path) = call.split_once(' ').unwrap();
        let path = self
            .names
            .iter()
            .fold(path.to_owned(), |path, (name, id)| path.replace(&format!("{{{name}}}"), id));
        let call = self.server.client().call(method.parse().unwrap(), &path).bearer(bearer);
        match body {
            Some(body) => call.json(body),
            None => call.send(),
        }
    }
}

fn strangers_and_sessions(walk: &mut Walk) {
    walk.register("alice");
    let first = walk.login("alice");
    let refused = (walk.try_password("alice", WRONG), 400);
    walk.leaves(refused, &[(Log, "login_failed", "anonymous", Some("alice"))]);
    let refused = (walk.try_password(UNKNOWN, WRONG), 400);
    walk.leaves(refused, &[(Log, "login_failed", "anonymous", None)]);
    let refreshed = [(Log, "session_refreshed", "alice", Some("alice"))];
    let answer = walk.send("POST /refresh", &first.refresh, None);
    let second = Pair::of(&walk.leaves((answer, 200), &refreshed));
    let answer = walk.send("POST /refresh", &second.refresh, None);
    walk.leaves((answer, 200), &refreshed);
    let answer = walk.send("POST /refresh", &first.refresh, None);
    walk.leaves((answer, 401), &[(Both, "refresh_reused", "anonymous", Some("alice"))]);
    let pair = walk.login("alice");
    let answer = walk.send("POST /logout", &pair.access, None);
    walk.leaves((answer, 200), &[(Both, "session_ended", "alice", Some("alice"))]);
    // An end that ended nothing leaves nothing.
    let answer = walk.send("POST /revoke", &pair.access, None);
    walk.leaves((answer, 200), &[]);
    let pair = walk.login("alice");
    let answer = walk.send("POST /revoke", &pair.refresh, None);
    walk.leaves((answer, 200), &[(Both, "session_ended", "anonymous", Some("alice"))]);
    let kept = walk.login("alice");
    let ended = walk.login("alice");
    let sessions = walk.send("GET /users/me/sessions", &ended.access, None).expect(200);
    let own = sessions.as_array().unwrap().iter().find(|session| session["current"] == true);
    let path = format!("DELETE /users/me/sessions/{}", own.unwrap()["id"].as_str().unwrap());
    let answer = walk.send(&path, &kept.access, None);
    walk.leaves((answer, 204), &[(Both, "session_ended", "alice", Some("alice"))]);
    let answer = walk.send("DELETE /users/me/sessions", &kept.access, None);
    walk.leaves((answer, 204), &[]);
    walk.login("alice");
    let answer = walk.send("DELETE /users/me/sessions", &kept.access, None);
    walk.leaves((answer, 204), &[(Both, "sessions_ended", "alice", Some("alice"))]);
    for _ in 0..3 {
        walk.login("alice");
    }
    let answer = walk.try_password("alice", PASSWORD);
    let one_too_many = [
        (Both, "session_opened", "alice", Some("alice")),
        (Both, "session_evicted", "alice", Some("alice")),
    ];
    walk.leaves((answer, 200), &one_too_many);
}

fn ones_own_account(walk: &mut Walk) {
    walk.register("carol");
    let carol = walk.login("carol").access;
    let by_carol = |event| [(Both, event, "carol", Some("carol"))];
    let profile = json!({ "full_name": "Carol C" });
    let answer = walk.send("PATCH /users/me", &carol, Some(&profile));
    walk.leaves((answer, 200), &by_carol("user_updated"));
    let change = |current| json!({ "current_password": current, "new_password": NEW_PASSWORD });
    let answer = walk.send("POST /users/me/password", &carol, Some(&change(WRONG)));
    walk.leaves((answer, 400), &[(Log, "password_wrong", "carol", Some("carol"))]);
    let answer = walk.send("POST /users/me/password", &carol, Some(&change(PASSWORD)));
    walk.leaves((answer, 204), &by_carol("password_changed"));
    let answer = walk.send("GET /users", &carol, None);
    walk.leaves((answer, 403), &[(Log, "access_denied", "carol", None)]);
    let leave = json!({ "password": NEW_PASSWORD });
    let answer = walk.send("DELETE /users/me", &carol, Some(&leave));
    walk.leaves((answer, 204), &by_carol("user_deleted"));
}

fn administration(walk: &mut Walk) {
    let root = walk.login("root").access;
    let bob = json!({ "username": "bob", "password": PASSWORD });
    let answer = walk.send("POST /users", &root, Some(&bob));
    let id = answer.expect(201)["id"].as_str().unwrap().to_owned();
    walk.names.insert("bob".to_owned(), id);
    walk.leaves((answer, 201), &[(Both, "user_created", "root", Some("bob"))]);
    for (edit, events) in [
        (json!({ "full_name": "Bob B" }), &["user_updated"][..]),
        (json!({ "roles": ["user", "admin"] }), &["roles_changed"]),
        (json!({ "password": NEW_PASSWORD }), &["password_changed"]),
        (json!({ "disabled": true }), &["user_disabled"]),
        (json!({ "disabled": false }), &["user_enabled"]),
        (
            json!({ "email": "b@x", "roles": ["user"], "password": PASSWORD, "disabled": true }),
            &["user_updated", "roles_changed", "password_changed", "user_disabled"],
        ),
    ] {
        let answer = walk.send("PATCH /users/{bob}", &root, Some(&edit));
        let events: Vec<_> =
            events.iter().map(|event| (Both, *event, "root", Some("bob"))).collect();
        walk.leaves((answer, 200), &events);
    }
    let answer = walk.try_password("bob", PASSWORD);
    walk.leaves((answer, 400), &[(Log, "login_failed", "anonymous", Some("bob"))]);
    let answer = walk.send("DELETE /users/{bob}/sessions", &root, None);
    walk.leaves((answer, 204), &[(Both, "sessions_ended", "root", Some("bob"))]);
    // What is refused leaves nothing that says it was done.
    let answer = walk.send("PATCH /users/{root}", &root, Some(&json!({ "disabled": true })));
    walk.leaves((answer, 409), &[]);
    let answer = walk.send("DELETE /users/{bob}", &root, None);
    walk.leaves((answer, 204), &[(Both, "user_deleted", "root", Some("bob"))]);
}

fn too_many_failures(walk: &mut Walk) {
    walk.register("dave");
    let failed = (Log, "login_failed", "anonymous", Some("dave"));
    for number in 1..=6 {
        let locked = (Both, "account_locked", "anonymous", Some("dave"));
        let events = if number == 6 { vec![failed, locked] } else { vec![failed] };
        let answer = walk.try_password("dave", WRONG);
        walk.leaves((answer, 400), &events);
    }
    let answer = walk.try_password("dave", PASSWORD);
    walk.leaves((answer, 429), &[(Log, "throttled", "anonymous", Some("dave"))]);
}

/// All events of the table.
fn table(workplace: &Workplace, more: &[&str]) -> Vec<Value> {
    let read = workplace.run(&[&["audit", "--json"], more].concat());
    read.output().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The traces by request; those of no request under the empty text.
fn by_request(entries: &[Value]) -> BTreeMap<String, Vec<Trace>> {
    let mut by_request = BTreeMap::<String, Vec<Trace>>::new();
    for entry in entries {
        let request = entry["request_id"].as_str().unwrap_or_default().to_owned();
        by_request.entry(request).or_default().push(Trace::read(entry));
    }
    by_request
}

#[track_caller]
fn compare(expected: &BTreeMap<String, Vec<(Where, Trace)>>, entries: &[Value], place: Where) {
    let mut found = by_request(entries);
    found.remove("");
    for (request, expected) in expected {
        let here = |(there, _): &&(Where, Trace)| *there == place || *there == Both;
        let mut expected: Vec<_> =
            expected.iter().filter(here).map(|(_, trace)| trace.clone()).collect();
        let mut found = found.remove(request).unwrap_or_default();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "of request {request}");
    }
    assert!(found.is_empty(), "{found:?}");
}

/// The events of the server and of the operator, by name.
fn of_no_request(entries: &[Value]) -> Vec<String> {
    let mut found = by_request(entries);
    let traces = found.remove("").unwrap_or_default();
    traces
        .into_iter()
        .map(|Trace(event, outcome, actor, ..)| {
            assert_eq!(outcome, "success", "{event}");
            format!("{event} by {actor}")
        })
        .collect()
}

#[test]
fn lg_01_each_action_is_kept_and_told_with_who_what_where_and_how_it_ended() {
    let workplace = Workplace::new();
    workplace.write("config.toml", CONFIG);
    workplace.add_user("root", PASSWORD, "admin");
    let shown = workplace.run(&["users", "show", "root", "--json"]);
    let root: Value = serde_json::from_str(shown.output()).unwrap();
    let names = BTreeMap::from([("root".to_owned(), root["id"].as_str().unwrap().to_owned())]);
    let mut walk = Walk { server: workplace.serve(), expected: BTreeMap::new(), names };
    strangers_and_sessions(&mut walk);
    ones_own_account(&mut walk);
    administration(&mut walk);
    too_many_failures(&mut walk);
    workplace.add_user("erin", PASSWORD, "user");
    workplace.run(&["users", "unlock", "dave"]).output();
    workplace.run(&["export", "dump"]).output();
    workplace.run(&["keys", "rotate"]).output();

    let running = table(&workplace, &[]);
    let stderr = walk.server.stop().stderr;
    let log: Vec<Value> = stderr
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["target"] == "audit")
        .collect();
    compare(&walk.expected, &running, Table);
    compare(&walk.expected, &log, Log);
    // What somebody typed for a name is nowhere, and no line names a session (LG-03, LG-05).
    assert!(!stderr.contains(UNKNOWN));
    let sessions: Vec<_> = running.iter().filter_map(|entry| entry["session"].as_str()).collect();
    assert!(sessions.len() > 10 && !sessions.iter().any(|id| stderr.contains(id)));
    let by_operator = [
        "user_created by operator",
        "account_unlocked by operator",
        "data_exported by operator",
        "keys_changed by operator",
    ];
    let kept = [&["keys_changed by server", "user_created by operator"], &by_operator[..]].concat();
    assert_eq!(of_no_request(&running), kept);
    let told = [
        &["config_loaded by server", "server_started by server"],
        &by_operator[..],
        &["server_stopped by server"],
    ];
    assert_eq!(of_no_request(&log), told.concat());
    // The same with the server down.
    assert_eq!(table(&workplace, &[]), running);
}

/// The names of the events that `arguments` show.
#[track_caller]
fn shown(workplace: &Workplace, arguments: &[&str]) -> Vec<String> {
    let entries = table(workplace, arguments);
    entries.iter().map(|entry| entry["event"].as_str().unwrap().to_owned()).collect()
}

/// What must hold with a server and without one.
fn events_are_shown_by_user_and_by_time(workplace: &Workplace, gone: &str) {
    let all = ["keys_changed", "user_created", "user_created", "session_opened", "user_deleted"];
    assert_eq!(shown(workplace, &[]), all);
    assert_eq!(shown(workplace, &["--user", "ALICE"]), ["user_created"]);
    assert_eq!(shown(workplace, &["--user", gone]), all[2..]);
    for (since, some) in [("24h", &all[..]), ("2020-01-31", &all), ("9000-01-31T12:00:00Z", &[])] {
        assert_eq!(shown(workplace, &["--since", since]), some, "{since}");
    }
    let entries = table(workplace, &[]);
    let last = entries[4]["at"].as_str().unwrap();
    assert_eq!(shown(workplace, &["--since", last]), ["user_deleted"]);
    assert_eq!(shown(workplace, &["--since", last, "--user", "alice"]), [""; 0]);

    let read = workplace.run(&["audit"]);
    let lines: Vec<_> = read.output().lines().collect();
    assert_eq!(lines.len(), 6);
    let cells = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(cells(lines[0]), ["TIME", "EVENT", "BY", "TO", "FROM", "REQUEST"]);
    assert_eq!(cells(lines[1])[1..], ["keys_changed", "(server)", "-", "-", "-"]);
    assert_eq!(cells(lines[2])[1..], ["user_created", "(operator)", "alice", "-", "-"]);
    assert_eq!(cells(lines[5])[1..5], ["user_deleted", gone, gone, "127.0.0.1"]);

    for bad in ["yesterday", "", "2026-13-01"] {
        let refused = workplace.run(&["audit", "--since", bad]);
        assert_eq!(refused.status, Some(2), "{bad}: {refused:?}");
    }
    for nobody in ["bob", "nobody", "01ARZ3NDEKTSV4RRFFQ69G5FA"] {
        let refused = workplace.run(&["audit", "--user", nobody]);
        assert!(refused.complaint().contains("no such user"), "{refused:?}");
    }
}

#[test]
fn events_are_shown_beside_a_running_server_and_without_one() {
    let workplace = Workplace::new();
    workplace.write("config.toml", CONFIG);
    workplace.add_user("alice", PASSWORD, "admin");
    let server = workplace.serve();
    let bob = server.client().register("bob", PASSWORD);
    let access = server.client().login("bob", PASSWORD).access;
    let leave = json!({ "password": PASSWORD });
    let call = server.client().call("DELETE".parse().unwrap(), "/users/me").bearer(&access);
    call.json(&leave).expect(204);
    let gone = bob["id"].as_str().unwrap();
    events_are_shown_by_user_and_by_time(&workplace, gone);
    server.stop();
    events_are_shown_by_user_and_by_time(&workplace, gone);
}

#[test]
fn an_import_is_kept_beside_what_was_imported() {
    let (old, new) = (Workplace::new(), Workplace::new());
    old.add_user("alice", PASSWORD, "admin");
    let dump = new.path("dump");
    old.run(&["export", dump.to_str().unwrap()]).output();
    new.run(&["import", "dump"]).output();
    let events = shown(&new, &[]);
    assert_eq!(events[..3], ["keys_changed", "user_created", "data_exported"]);
    // And the new keys, in the same millisecond perhaps.
    assert!(events.contains(&"data_imported".to_owned()), "{events:?}");
}
