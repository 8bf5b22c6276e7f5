//! A disk that is nearly full, and one that is.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use crate::PASSWORD;
use crate::support::client::Answer;
use crate::support::disk::Disk;
use crate::support::{Server, Workplace};

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
}

#[test]
fn below_the_floor_nothing_grows_and_sessions_still_end() {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    let server = workplace.serve();
    let [out, revoked, kept] = [0; 3].map(|_| server.client().login("alice", PASSWORD));
    server.stop();

    let mut command = workplace.command(&["serve", "--listen", "127.0.0.1:0"]);
    // The most that can be asked for: a TiB free.
    command.env("KEYSTILE_STORAGE__MIN_FREE_MIB", (1024 * 1024).to_string());
    let server = Server::start(command);
    let client = server.client();
    let account = serde_json::json!({ "username": "bob", "password": PASSWORD });
    assert_unavailable(&client.post("/auth/").json(&account));
    let login = [("username", "alice"), ("password", PASSWORD)];
    assert_unavailable(&client.post("/token").form(&login));
    client.post("/logout").bearer(&out.access).send().expect(200);
    client.post("/revoke").form(&[("token", &revoked.refresh)]).expect(200);
    assert_eq!(client.status_with(&out.access), 401);
    assert_eq!(client.status_with(&revoked.access), 401);
    assert_eq!(client.status_with(&kept.access), 200);
    client.get("/readyz").send().expect(200);
    server.stop();

    let server = workplace.serve();
    assert_eq!(server.client().status_with(&out.access), 401);
    assert_eq!(server.client().status_with(&revoked.access), 401);
    server.client().register("bob", PASSWORD);
}

/// Takes all that is left.
fn fill(disk: &Disk) -> PathBuf {
    let path = disk.path("filler");
    let mut file = fs::File::create(&path).unwrap();
    while file.write_all(&[1; 512]).is_ok() {}
    path
}

/// Registers users until one is refused; those that were accepted, and the refusal.
fn register_until_refused(server: &Server) -> (Vec<String>, Answer) {
    let mut accepted = Vec::new();
    loop {
        let name = format!("user{}", accepted.len());
        let account = serde_json::json!({ "username": name, "password": PASSWORD });
        let answer = server.client().post("/auth/").json(&account);
        if answer.status != 201 {
            return (accepted, answer);
        }
        accepted.push(name);
    }
}

fn write_config(workplace: &Workplace, disk: &Disk) {
    let path = disk.path("data");
    let path = path.display();
    let storage = format!("[storage]\npath = '{path}'\nmin_free_mib = 0\n");
    workplace.write("config.toml", &(storage + "[throttle]\nenabled = false\n"));
}

#[test]
fn a_full_disk_ends_the_server_and_loses_nothing_that_was_acknowledged() {
    let workplace = Workplace::new();
    let Some(disk) = Disk::new(workplace.path("disk"), 4) else { return };
    write_config(&workplace, &disk);
    let server = workplace.serve();
    server.client().register("alice", PASSWORD);
    let pair = server.client().login("alice", PASSWORD);
    let filler = fill(&disk);

    let (accepted, refusal) = register_until_refused(&server);
    assert_unavailable(&refusal);
    // For a while it answers, so that a balancer notices: nothing but 503.
    let login = [("username", "alice"), ("password", PASSWORD)];
    assert_unavailable(&server.client().post("/token").form(&login));
    assert_unavailable(&server.client().get("/users/me").bearer(&pair.access).send());
    assert_unavailable(&server.client().get("/readyz").send());
    let ended = server.wait();
    assert_eq!(ended.status, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("keystile: the store has failed"), "{}", ended.stderr);

    fs::remove_file(filler).unwrap();
    let server = workplace.serve();
    assert_eq!(server.client().status_with(&pair.access), 200);
    for name in accepted {
        server.client().login(&name, PASSWORD);
    }
    server.client().register("afterwards", PASSWORD);
    server.stop();
}

#[test]
fn compacting_needs_room_for_both_and_leaves_the_disk_as_it_was_without() {
    let workplace = Workplace::new();
    let Some(disk) = Disk::new(workplace.path("disk"), 4) else { return };
    write_config(&workplace, &disk);
    workplace.add_user("alice", PASSWORD, "admin");
    let filler = fill(&disk);
    let bytes = fs::metadata(&filler).unwrap().len();
    let filler = fs::File::options().write(true).open(&filler).unwrap();
    let databases = || {
        let names = fs::read_dir(disk.path("data")).unwrap().map(|entry| entry.unwrap());
        names.filter(|name| name.file_name().as_encoded_bytes().starts_with(b"db")).count()
    };
    for free_kib in [64, 512] {
        filler.set_len(bytes - free_kib * 1024).unwrap();
        let refused = workplace.run(&["compact"]);
        assert!(refused.complaint().contains(" are free"), "{free_kib} KiB: {refused:?}");
        assert_eq!(databases(), 1, "{free_kib} KiB");
    }
    filler.set_len(0).unwrap();
    workplace.run(&["compact"]).output();
    assert!(workplace.run(&["users", "list"]).output().contains("alice"));
}

#[test]
fn an_upgrade_needs_room_for_its_dump_too_and_leaves_the_disk_as_it_was_without() {
    let workplace = Workplace::new();
    let Some(disk) = Disk::new(workplace.path("disk"), 4) else { return };
    write_config(&workplace, &disk);
    let data = disk.path("data");
    crate::compact::copy(&crate::compact::older(), &data);
    let names = || {
        let names = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name != "keystile.lock").collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    let filler = fill(&disk);
    let bytes = fs::metadata(&filler).unwrap().len();
    fs::File::options().write(true).open(&filler).unwrap().set_len(bytes - 64 * 1024).unwrap();
    let refused = workplace.run(&["users", "list"]);
    assert!(refused.stderr.contains(" are free"), "{refused:?}");
    assert_eq!(names(), before);
    fs::remove_file(filler).unwrap();
    let listed = workplace.run(&["users", "list"]);
    assert!(listed.output().contains("alice"), "{listed:?}");
    assert!(listed.stderr.contains("before-schema-3.jsonl"), "{listed:?}");
    assert!(listed.stderr.contains("holds password hashes, and may be deleted"), "{listed:?}");
}
