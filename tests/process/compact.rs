//! `keystile compact`, and the upgrade that works the same way: nothing is lost, also when it is killed.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use ureq::http::Method;

use crate::PASSWORD;
use crate::support::{Workplace, run, tools};

/// The system calls that change what stands in the data directory, or wait for it to be on the disk.
const CALLS: [&str; 6] = [
    "?mkdir,?mkdirat",
    "fsync",
    "?rename,?renameat,?renameat2",
    "?unlink,?unlinkat,?rmdir",
    "pwrite64",
    "ftruncate",
];

#[test]
fn compacting_keeps_everything_and_leaves_one_database() {
    let workplace = used();
    let server = workplace.serve();
    let pair = server.client().login("alice", PASSWORD);
    let refused = workplace.run(&["compact"]);
    assert!(refused.complaint().contains("a server runs on data; stop it first"), "{refused:?}");
    server.stop();
    let before = entries(&workplace);
    for directory in ["db-1", "db-2"] {
        let compacted: Value =
            serde_json::from_str(workplace.run(&["compact", "--json"]).output()).unwrap();
        assert_eq!(compacted["entries"], before.values().sum::<u64>());
        assert!(compacted["bytes_before"].is_u64() && compacted["bytes_after"].is_u64());
        assert_eq!(databases(&workplace), [directory]);
        assert_eq!(entries(&workplace), before);
    }
    let server = workplace.serve();
    assert_eq!(server.client().status_with(&pair.access), 200);
    server.client().post("/refresh").bearer(&pair.refresh).send().expect(200);
    server.stop();
    let text = workplace.run(&["compact"]);
    assert!(text.output().contains(" bytes before, "), "{text:?}");
}

#[test]
fn what_was_deleted_is_in_no_file_once_compacted() {
    let workplace = used();
    let remains = |name: &str| {
        let files = databases(&workplace).into_iter().map(|name| workplace.data().join(name));
        files.flat_map(|directory| fs::read_dir(directory).unwrap()).any(|entry| {
            let path = entry.unwrap().path();
            path.is_file() && contains(&fs::read(path).unwrap(), name.as_bytes())
        })
    };
    let email = ["users", "add", "gone", "--email", "gone@example.com", "--password-stdin"];
    assert_eq!(run(workplace.command(&email), &format!("{PASSWORD}\n")).status, Some(0));
    let server = workplace.serve();
    let pair = server.client().login("gone", PASSWORD);
    let body = serde_json::json!({ "password": PASSWORD });
    let call = server.client().call(Method::DELETE, "/users/me").bearer(&pair.access);
    assert_eq!(call.json(&body).status, 204);
    server.stop();
    assert!(remains("gone@example.com"), "it is not in the files in clear");
    workplace.run(&["compact"]).output();
    assert!(!remains("gone@example.com"));
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}

#[test]
fn there_has_to_be_a_database() {
    let workplace = Workplace::new();
    let refused = workplace.run(&["compact"]);
    assert!(refused.complaint().contains("there is no data in data"), "{refused:?}");
    assert!(!workplace.data().exists());
}

#[test]
fn a_compaction_killed_at_any_system_call_loses_nothing() {
    let workplace = used();
    let before = entries(&workplace);
    killed_at_each_call(
        &workplace,
        "compact",
        || (),
        |killed_at| {
            assert_eq!(entries(&workplace), before, "{killed_at}");
            assert_eq!(databases(&workplace).len(), 1, "{killed_at}");
        },
    );
}

#[test]
fn an_upgrade_killed_at_any_system_call_starts_over_and_loses_nothing() {
    let workplace = Workplace::new();
    let restore = || {
        drop(fs::remove_dir_all(workplace.data()));
        copy(&older(), &workplace.data());
    };
    restore();
    let upgraded = entries(&workplace);
    assert_eq!((upgraded["user"], upgraded["session"]), (4, 5));
    killed_at_each_call(&workplace, "check", restore, |killed_at| {
        assert_eq!(entries(&workplace), upgraded, "{killed_at}");
        assert_eq!(databases(&workplace), ["db-1"], "{killed_at}");
    });
}

/// A data directory with a user and some sessions in it.
fn used() -> Workplace {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    let server = workplace.serve();
    for _ in 0..3 {
        server.client().login("alice", PASSWORD);
    }
    server.stop();
    workplace
}

/// How many entries each table holds, once they were seen to agree.
fn entries(workplace: &Workplace) -> std::collections::BTreeMap<String, u64> {
    serde_json::from_str(workplace.run(&["check", "--json"]).output()).unwrap()
}

/// The names of the databases in the data directory.
fn databases(workplace: &Workplace) -> Vec<String> {
    let names = fs::read_dir(workplace.data()).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("db")).collect()
}

/// The data of an older release.
pub fn older() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/data/schema-1")
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}

/// Runs `command` again and again, killed when it makes the first of each of [`CALLS`], the second and so on,
/// until it is through; `prepare` goes before each time and `look` comes after.
///
/// Skipped with a message where `strace` is missing, unless `KEYSTILE_TEST_REQUIRE_TOOLS` is 1.
fn killed_at_each_call(
    workplace: &Workplace,
    command: &str,
    prepare: impl Fn(),
    look: impl Fn(&str),
) {
    if !tools::strace() {
        return;
    }
    for calls in CALLS {
        for count in 1..100 {
            prepare();
            let inject = format!("inject={calls}:signal=KILL:when={count}");
            let keystile = workplace.command(&[command]);
            let mut strace = Command::new("strace");
            crate::support::clean(&mut strace, &workplace.path(""));
            let calls = calls.replace('?', "");
            strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &inject]);
            strace.arg(keystile.get_program()).args(keystile.get_args());
            let ended = strace.stdout(Stdio::null()).stderr(Stdio::piped()).output().unwrap();
            look(&format!("killed at {calls} number {count}"));
            if ended.status.success() {
                assert!(count > 1 || calls == "ftruncate", "{calls} is never called");
                break;
            }
            assert_eq!(ended.status.signal(), Some(9), "{ended:?}");
        }
    }
}
