//! The data directory: its modes, its one holder, and what it must hold for the server to start on it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::PASSWORD;
use crate::support::Workplace;

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Does something to a data directory that a start must notice.
type Damage = fn(&Path);

/// Every path below `directory`.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let nested = entries.flat_map(|path| {
        let inner = if path.is_dir() { below(&path) } else { vec![] };
        inner.into_iter().chain([path])
    });
    nested.collect()
}

/// Every file with its content, but for the lock, in which each process notes its number.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = below(directory).into_iter().filter(|path| path.is_file());
    let files = files.filter(|path| !path.ends_with("keystile.lock"));
    files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Whether all that stood in `before` still does; sled makes room behind it and adds files of its own.
fn still_holds(directory: &Path, before: &BTreeMap<PathBuf, Vec<u8>>) -> bool {
    let after = content(directory);
    before.iter().all(|(path, bytes)| after.get(path).is_some_and(|now| now.starts_with(bytes)))
}

/// A workplace whose data holds a user.
fn used() -> Workplace {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    workplace
}

#[test]
fn nothing_in_it_is_open_to_others() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    for path in below(&workplace.data()) {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    assert_eq!(mode(&workplace.data()), 0o700);
    assert!(workplace.data().join("admin.sock").exists());
}

#[test]
fn one_that_is_open_to_others_is_closed_with_a_warning() {
    let workplace = used();
    let loosen = || {
        fs::set_permissions(workplace.data(), fs::Permissions::from_mode(0o755)).unwrap();
    };
    loosen();
    let ended = workplace.serve().stop();
    assert!(ended.stderr.contains("open to others"), "{}", ended.stderr);
    assert_eq!(mode(&workplace.data()), 0o700);
    loosen();
    let listed = workplace.run(&["users", "list"]);
    assert!(listed.stderr.contains(" WARN ") && listed.stderr.contains("open to others"));
    assert!(listed.output().contains("alice"), "{listed:?}");
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let workplace = used();
    let server = workplace.serve();
    let pair = server.client().login("alice", PASSWORD);
    let refused = workplace.run(&SERVE);
    let holder = format!("is in use by process {}", server.pid());
    assert!(refused.complaint().contains(&holder), "{refused:?}");
    assert_eq!(server.client().status_with(&pair.access), 200);
    assert!(workplace.run(&["users", "list"]).output().contains("alice"));
    server.stop();
}

#[test]
fn a_damaged_database_stops_the_start_and_is_left_as_it_is() {
    let damages: [(&str, Damage); 10] = [
        ("db/db has 0 bytes", |data| fs::write(data.join("db/db"), "").unwrap()),
        ("db/db has 100 bytes", |data| cut(&data.join("db/db"), 100)),
        ("bytes of at least", cut_one_byte),
        ("is not a database", |data| overwrite(&data.join("db/db"), 0)),
        ("has a damaged header", |data| overwrite(&data.join("db/db"), 0xA5)),
        ("is damaged", |data| overwrite(&data.join("db/conf"), 0xA5)),
        ("db/db is missing", |data| fs::remove_file(data.join("db/db")).unwrap()),
        ("db/conf is missing", |data| fs::remove_dir_all(data.join("db")).unwrap()),
        ("manifest is unreadable", |data| fs::write(data.join("manifest.json"), "{").unwrap()),
        ("not empty", |data| fs::remove_file(data.join("manifest.json")).unwrap()),
    ];
    for (expected, damage) in damages {
        let workplace = used();
        damage(&workplace.data());
        let before = content(&workplace.data());
        for command in [&SERVE[..], &["users", "list"]] {
            let refused = workplace.run(command);
            assert!(refused.complaint().contains(expected), "{expected}: {refused:?}");
        }
        assert!(content(&workplace.data()) == before, "{expected}: it was written to");
    }
}

fn cut(file: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

fn cut_one_byte(data: &Path) {
    let file = data.join("db/db");
    cut(&file, fs::metadata(&file).unwrap().len() - 1);
}

fn overwrite(file: &Path, byte: u8) {
    let length = fs::read(file).unwrap().len();
    fs::write(file, vec![byte; length]).unwrap();
}

#[test]
fn a_newer_database_stops_the_start_and_is_left_as_it_is() {
    let workplace = used();
    let file = workplace.data().join("manifest.json");
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    manifest["schema"] = 99.into();
    fs::write(&file, manifest.to_string()).unwrap();
    let before = content(&workplace.data());
    let refused = workplace.run(&SERVE);
    assert!(refused.complaint().contains("has schema 99"), "{refused:?}");
    assert!(content(&workplace.data()) == before, "it was written to");
}

#[test]
fn the_database_of_another_instance_stops_the_start_and_loses_nothing() {
    let [ours, other] = [used(), used()];
    for file in ["db/db", "db/conf"] {
        fs::copy(other.data().join(file), ours.data().join(file)).unwrap();
    }
    let before = content(&ours.data());
    let refused = ours.run(&SERVE);
    assert!(refused.complaint().contains("damaged"), "{refused:?}");
    assert!(still_holds(&ours.data(), &before), "it was written over");
}

#[test]
fn a_directory_of_something_else_is_refused_and_gets_nothing() {
    let workplace = Workplace::new();
    fs::create_dir(workplace.data()).unwrap();
    fs::write(workplace.data().join("notes.txt"), "mine").unwrap();
    let refused = workplace.run(&SERVE);
    assert!(refused.complaint().contains("holds no keystile database"), "{refused:?}");
    assert_eq!(below(&workplace.data()), [workplace.data().join("notes.txt")]);
    workplace.write("file", "mine");
    let refused = workplace.run(&["serve", "--data", "file"]);
    assert!(refused.complaint().contains("file"), "{refused:?}");
}
