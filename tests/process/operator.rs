//! The operator's commands, which work the same whether a server runs or not, and for whom they do.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, geteuid};
use serde_json::Value;

use crate::PASSWORD;
use crate::signals::begin_registration;
use crate::support::tools::require;
use crate::support::{Ended, Server, Workplace, run};

/// A user who is neither root nor anybody here.
const NOBODY: u32 = 65534;

fn add(workplace: &Workplace, more: &[&str], input: &str) -> Ended {
    let arguments = [&["users", "add", "--password-stdin"], more].concat();
    run(workplace.command(&arguments), input)
}

/// What must hold with a server and without one.
fn users_are_added_listed_and_shown(workplace: &Workplace) {
    let line = format!("{PASSWORD}\r\nmore");
    let fields = ["--email", "a@example.org", "--full-name", "Alice A", "--role", "admin"];
    let added = add(workplace, &[&["Alice", "--json"], &fields[..]].concat(), &line);
    let alice: Value = serde_json::from_str(added.output()).unwrap();
    assert_eq!(alice["username"], "alice");
    assert_eq!(alice["roles"], serde_json::json!(["admin"]));
    let bob = add(workplace, &["bob"], PASSWORD);
    assert!(bob.output().starts_with("added bob (user), id 0"), "{bob:?}");

    for (more, input, expected) in [
        (&["alice"][..], PASSWORD, "taken"),
        (&["carol", "--role", "king"], PASSWORD, "role"),
        (&["carol"], "password", "common"),
        (&["carol"], "short", "8"),
        (&["carol"], "", "no password"),
        (&["not a name"], PASSWORD, "username"),
    ] {
        let refused = add(workplace, more, input);
        let line = refused.complaint().to_lowercase();
        assert!(line.contains(expected), "{expected}: {line}");
    }
    let no_terminal = workplace.run(&["users", "add", "carol"]);
    assert!(no_terminal.complaint().contains("--password-stdin"), "{no_terminal:?}");

    let list = workplace.run(&["users", "list"]);
    let names: Vec<_> = list.output().lines().filter_map(|l| l.split(' ').next()).collect();
    assert_eq!(names, ["USERNAME", "alice", "bob"]);
    let list = workplace.run(&["users", "list", "--json"]);
    let list: Vec<Value> = serde_json::from_str(list.output()).unwrap();
    assert_eq!((list.len(), &list[0]), (2, &alice));
    let shown = workplace.run(&["users", "show", "ALICE", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(shown.output()).unwrap(), alice);
    let shown = workplace.run(&["users", "show", "alice"]);
    assert!(shown.output().contains("full name  Alice A\n"), "{shown:?}");
    assert!(!shown.output().contains("argon2"), "{shown:?}");
    let nobody = workplace.run(&["users", "show", "nobody"]);
    assert!(nobody.complaint().contains("no such user"), "{nobody:?}");
}

#[test]
fn users_are_administered_beside_a_running_server() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    users_are_added_listed_and_shown(&workplace);
    let access = server.client().login("alice", PASSWORD).access;
    server.client().get("/admin").bearer(&access).send().expect(200);
}

#[test]
fn users_are_administered_without_a_server() {
    let workplace = Workplace::new();
    users_are_added_listed_and_shown(&workplace);
    workplace.serve().client().login("bob", PASSWORD);
}

#[test]
fn looking_where_there_is_no_data_is_refused_and_makes_none() {
    let workplace = Workplace::new();
    for arguments in [&["users", "list"][..], &["users", "show", "alice"]] {
        let refused = workplace.run(arguments);
        assert!(refused.complaint().contains("there is no data in data"), "{refused:?}");
        assert!(!workplace.data().exists());
    }
    let begun = add(&workplace, &["alice"], PASSWORD);
    assert!(begun.stderr.contains("new data directory data"), "{begun:?}");
    assert!(workplace.run(&["users", "list"]).output().contains("alice"));
}

#[test]
fn a_line_without_an_end_is_no_command() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let mut cut = UnixStream::connect(workplace.data().join("admin.sock")).unwrap();
    cut.write_all(br#"{"command":"users_list","after":null,"limit":1}"#).unwrap();
    cut.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    cut.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "");
    server.stop();
}

#[test]
fn a_list_of_several_pages_is_complete() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    for number in 0..101 {
        server.client().register(&format!("user{number:03}"), PASSWORD);
    }
    let list = workplace.run(&["users", "list"]);
    let names: Vec<_> = list.output().lines().skip(1).filter_map(|l| l.split(' ').next()).collect();
    let expected: Vec<_> = (0..101).map(|number| format!("user{number:03}")).collect();
    assert_eq!(names, expected);
}

#[test]
fn a_command_waits_for_a_server_that_stops() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    // The server stops listening for its operator, and keeps the lock until this is over.
    let stalled = begin_registration(&server);
    server.signal(Signal::TERM);
    server.await_line("graceful shutdown");
    while workplace.data().join("admin.sock").exists() {
        std::thread::yield_now();
    }
    let waiting = std::thread::scope(|scope| {
        let command = scope.spawn(|| workplace.run(&["users", "list"]));
        drop(stalled);
        assert_eq!(server.wait().status, Some(0));
        command.join().unwrap()
    });
    assert!(waiting.output().contains("alice"), "{waiting:?}");
}

#[test]
fn a_command_gives_up_on_a_lock_that_is_held_by_a_silent_process() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    let lock = workplace.data().join("keystile.lock");
    fs::write(&lock, "4242\n").unwrap();
    let held = fs::File::open(&lock).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let refused = workplace.run(&["users", "list"]);
    assert!(refused.complaint().contains("is in use by process 4242"), "{refused:?}");
    drop(held);
    assert!(workplace.run(&["users", "list"]).output().contains("alice"));
}

/// A workplace that anybody may enter, with a copy of the binary that anybody may run, whose data is
/// `owner`'s. Nothing unless this is root, who alone can be somebody else.
fn shared(owner: u32) -> Option<Workplace> {
    if !require("running a command as another user, as root may", geteuid().is_root()) {
        return None;
    }
    let workplace = Workplace::new();
    let open = fs::Permissions::from_mode(0o755);
    let binary = workplace.path("keystile");
    fs::copy(env!("CARGO_BIN_EXE_keystile"), &binary).unwrap();
    for path in [workplace.path("."), binary] {
        fs::set_permissions(path, open.clone()).unwrap();
    }
    fs::create_dir(workplace.data()).unwrap();
    fs::set_permissions(workplace.data(), fs::Permissions::from_mode(0o700)).unwrap();
    chown(workplace.data(), Some(owner), Some(owner)).unwrap();
    Some(workplace)
}

fn command_as(user: u32, workplace: &Workplace, arguments: &[&str]) -> Command {
    let mut command = Command::new(workplace.path("keystile"));
    crate::support::clean(&mut command, &workplace.path("."));
    command.args(arguments).uid(user).gid(user);
    command
}

#[test]
fn another_user_is_refused_with_the_command_to_type() {
    let Some(workplace) = shared(0) else { return };
    workplace.add_user("alice", PASSWORD, "admin");
    let list = || run(command_as(NOBODY, &workplace, &["users", "list"]), "");
    assert!(list().complaint().contains("sudo -u '#0'"), "{:?}", list());
    let _server = workplace.serve();
    assert!(list().complaint().contains("sudo -u '#0'"), "{:?}", list());
    // Were the directory ever opened to all, the kernel still tells the server who is calling.
    fs::set_permissions(workplace.data(), fs::Permissions::from_mode(0o711)).unwrap();
    let socket = workplace.data().join("admin.sock");
    fs::set_permissions(socket, fs::Permissions::from_mode(0o666)).unwrap();
    // Whether it is hung up on while it asks or while it waits: that is no success.
    for _ in 0..20 {
        assert!(list().complaint().contains("did not answer"), "{:?}", list());
    }
    assert!(workplace.run(&["users", "list"]).output().contains("alice"));
}

#[test]
fn root_may_command_a_server_of_another_user_but_not_touch_its_files() {
    let Some(workplace) = shared(NOBODY) else { return };
    let arguments = ["serve", "--listen", "127.0.0.1:0"];
    let server = Server::start(command_as(NOBODY, &workplace, &arguments));
    workplace.add_user("alice", PASSWORD, "admin");
    server.client().login("alice", PASSWORD);
    server.stop();
    let refused = workplace.run(&["users", "list"]);
    assert!(refused.complaint().contains("sudo -u '#65534'"), "{refused:?}");
    let refused = workplace.run(&arguments);
    assert!(refused.complaint().contains("chown -R 0"), "{refused:?}");
    let list = run(command_as(NOBODY, &workplace, &["users", "list"]), "");
    assert!(list.output().contains("alice"));
}

#[test]
fn a_database_that_cannot_be_read_stops_the_start() {
    let Some(workplace) = shared(NOBODY) else { return };
    let add = ["users", "add", "alice", "--password-stdin"];
    run(command_as(NOBODY, &workplace, &add), PASSWORD).output();
    let database = workplace.data().join("db/db");
    let before = fs::read(&database).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o000)).unwrap();
    let refused = run(command_as(NOBODY, &workplace, &["serve"]), "");
    assert!(refused.complaint().contains("db/db: Permission denied"), "{refused:?}");
    assert!(fs::read(&database).unwrap() == before, "it was written to");
}
