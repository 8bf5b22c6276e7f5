//! `keystile export` and what becomes of it, with a server and without.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use keystile::auth::model::id::UserId;
use keystile::auth::model::user::{PasswordHash, User};
use keystile::auth::model::username::{NamePolicy, Username};
use keystile::clock::Timestamp;
use keystile::random::SeededRandom;
use keystile::store::dump::{Change, Writer};
use serde_json::Value;

use crate::support::{Workplace, run};
use crate::{PASSWORD, serve_used};

/// A place with two users, a session and a post.
fn used() -> Workplace {
    let (workplace, server) = serve_used();
    server.stop();
    workplace
}

/// The lines of a dump.
pub fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The members of all lines of one kind.
pub fn all<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
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

    for (file, expected) in
        [("nowhere/dump", "No such file"), ("data", "for standard output write -")]
    {
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
fn what_cannot_be_read_is_told_of() {
    let workplace = used();
    let db = sled::open(workplace.data().join("db")).unwrap();
    let users = db.open_tree("user").unwrap();
    let (first, _) = users.first().unwrap().unwrap();
    users.insert(first, b"garbage").unwrap();
    db.flush().unwrap();
    drop((users, db));
    let done = workplace.run(&["export", "dump.jsonl", "--json"]);
    assert!(done.stderr.contains("warning: 1 records cannot be read"), "{done:?}");
    let done: Value = serde_json::from_str(done.output()).unwrap();
    assert_eq!(done["left_out"], 1);
}

#[test]
fn a_reader_that_goes_away_has_no_dump() {
    let workplace = used();
    let mut command = workplace.command(&["export", "-"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert!(stderr.starts_with("keystile: cannot write to standard output"), "{stderr}");
}

#[test]
fn what_a_broken_export_has_left_is_replaced_and_what_another_one_writes_is_not() {
    let workplace = used();
    workplace.write("dump.jsonl.partial", "$argon2id$");
    workplace.run(&["export", "dump.jsonl"]).output();
    assert!(!workplace.path("dump.jsonl.partial").exists());
    let whole = fs::read(workplace.path("dump.jsonl")).unwrap();

    workplace.write("dump.jsonl.partial", "half");
    let other = fs::File::open(workplace.path("dump.jsonl.partial")).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let refused = workplace.run(&["export", "dump.jsonl"]);
    let expected = "dump.jsonl.partial: another export is writing it";
    assert!(refused.complaint().contains(expected), "{refused:?}");
    drop(other);
    fs::remove_file(workplace.path("dump.jsonl.partial")).unwrap();

    std::os::unix::fs::symlink("victim", workplace.path("dump.jsonl.partial")).unwrap();
    let refused = workplace.run(&["export", "dump.jsonl"]);
    assert!(refused.complaint().contains("dump.jsonl.partial: File exists"), "{refused:?}");
    assert!(!workplace.path("victim").exists());
    assert!(fs::read(workplace.path("dump.jsonl")).unwrap() == whole);
}

#[test]
fn a_dump_is_replaced_by_the_next_one_and_no_other_file_is() {
    let workplace = used();
    for _ in 0..2 {
        workplace.run(&["export", "dump.jsonl"]).output();
    }
    workplace.write("config.toml", "[storage]\npath = 'data'\n");
    for file in ["config.toml", "data/manifest.json", "data/db/db"] {
        let before = fs::read(workplace.path(file)).unwrap();
        let refused = workplace.run(&["export", file]);
        let expected = format!("cannot write {file}: it is there already and is no dump");
        assert!(refused.complaint().contains(&expected), "{refused:?}");
        assert!(fs::read(workplace.path(file)).unwrap() == before, "{file}");
    }
    let names = fs::read_dir(workplace.path("data")).unwrap().map(|it| it.unwrap().file_name());
    assert!(!names.map(|it| it.into_string().unwrap()).any(|it| it.ends_with(".partial")));
}

#[test]
fn an_operator_who_does_not_read_on_hinders_nobody() {
    let workplace = Workplace::new();
    // More than a socket holds for a reader who does not come.
    workplace.write("many.jsonl", &many_users(3000));
    workplace.run(&["import", "many.jsonl"]).output();
    let server = workplace.serve();
    let ask = || {
        let mut operator = UnixStream::connect(workplace.data().join("admin.sock")).unwrap();
        operator.write_all(b"{\"command\":\"export\"}\n").unwrap();
        operator
    };
    let (silent, gone) = (ask(), ask());
    drop(gone);
    server.client().register("carol", PASSWORD);
    let dump = workplace.run(&["export", "-"]);
    assert!(dump.output().contains("\"carol\""));
    server.stop();
    drop(silent);
}

#[test]
fn there_has_to_be_data_to_export() {
    let workplace = Workplace::new();
    let refused = workplace.run(&["export", "dump.jsonl"]);
    assert!(refused.complaint().contains("there is no data in data"), "{refused:?}");
    assert!(!workplace.path("dump.jsonl").exists() && !workplace.data().exists());
}

#[test]
fn what_was_never_completed_is_no_data_to_work_on() {
    let workplace = Workplace::new();
    fs::create_dir(workplace.data()).unwrap();
    fs::set_permissions(workplace.data(), fs::Permissions::from_mode(0o700)).unwrap();
    let refuse = |expected: &str| {
        for command in [&["export", "-"][..], &["check"], &["compact"], &["users", "list"]] {
            let refused = workplace.run(command);
            assert!(refused.complaint().contains(expected), "{refused:?}");
        }
    };
    let left = || fs::read_dir(workplace.data()).unwrap().count();
    refuse("there is no data in data");
    assert_eq!(left(), 0);
    workplace.write("data/keystile.lock", "1\n");
    refuse("there is no data in data");
    assert_eq!(left(), 1);
    let manifest = r#"{"instance":"0","schema":2,"sealed":false,"bytes_min":0"#;
    workplace.write("data/manifest.json", &format!("{manifest}}}"));
    refuse("there is no data in data");
    assert_eq!(left(), 2);

    workplace.write("data/manifest.json", &format!("{manifest},\"beginning\":\"import\"}}"));
    let expected = "an import into data was broken off; repeat it, or empty the directory";
    refuse(expected);
    let refused = workplace.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(refused.complaint().contains(expected), "{refused:?}");
    let add = workplace.command(&["users", "add", "alice", "--password-stdin"]);
    let refused = run(add, &format!("{PASSWORD}\n"));
    assert!(refused.complaint().contains(expected), "{refused:?}");
    workplace.write("dump.jsonl", OF_FORMAT_1);
    workplace.run(&["import", "dump.jsonl"]).output();
    assert!(workplace.run(&["users", "list"]).output().contains("alice"));
}

#[test]
fn an_import_brings_the_users_back_and_no_token() {
    // The same secret on both sides: not even a key that stays revives a token.
    let configuration =
        "[tokens]\nalgorithm = \"HS256\"\nsecret = \"0f9a7c25d1e84b6fa3927d5c81e06b4d\"\n";
    for configuration in ["", configuration] {
        let workplace = Workplace::new();
        workplace.write("config.toml", configuration);
        workplace.add_user("alice", PASSWORD, "admin");
        let server = workplace.serve();
        let bob = server.client().register("bob", PASSWORD);
        let before = server.client().login("bob", PASSWORD);
        assert_eq!(server.client().status_with(&before.access), 200);
        workplace.run(&["export", "dump.jsonl"]).output();
        let refused = workplace.run(&["import", "dump.jsonl"]);
        assert!(refused.complaint().contains("a server runs on data"), "{refused:?}");
        server.stop();
        let refused = workplace.run(&["import", "dump.jsonl"]);
        assert!(refused.complaint().contains("data holds data already"), "{refused:?}");

        fs::rename(workplace.data(), workplace.path("old")).unwrap();
        let done = workplace.run(&["import", "dump.jsonl", "--json"]);
        assert_eq!(done.output(), "{\n  \"users\": 2,\n  \"posts\": 0\n}\n");
        workplace.run(&["check"]).output();
        let server = workplace.serve();
        let client = server.client();
        assert_eq!(client.status_with(&before.access), 401);
        client.post("/refresh").bearer(&before.refresh).send().expect(401);
        let form = [("grant_type", "refresh_token"), ("refresh_token", &before.refresh)];
        client.post("/token").form(&form).expect(400);
        let again = client.login("bob", PASSWORD);
        assert_eq!(client.get("/users/me").bearer(&again.access).send().expect(200), bob);
        let admin = client.login("alice", PASSWORD);
        client.get("/admin").bearer(&admin.access).send().expect(200);
        let events = workplace.run(&["export", "-"]);
        let events = lines(events.output());
        let events: Vec<_> =
            all(&events, "audit").iter().filter_map(|event| event["event"].as_str()).collect();
        assert!(
            events.contains(&"data_imported") && events.contains(&"user_created"),
            "{events:?}"
        );
    }
}

/// Of format 1: `alice` is an administrator, `bob` has a post and a hash of other parameters, `carol` is
/// disabled, `dave` deleted, `erin` has a bcrypt hash.
const OF_FORMAT_1: &str = include_str!("../store/data/dump-1.jsonl");

#[test]
fn a_dump_of_the_first_format_is_loaded_and_its_users_log_in() {
    let workplace = Workplace::new();
    workplace.write("dump.jsonl", OF_FORMAT_1);
    let done = workplace.run(&["import", "dump.jsonl"]);
    assert!(done.output().starts_with("imported 4 users and 1 posts into data"), "{done:?}");
    workplace.run(&["check"]).output();
    let (loaded, before) = (workplace.run(&["export", "-"]), lines(OF_FORMAT_1));
    let loaded = lines(loaded.output());
    for kind in ["user", "post"] {
        assert_eq!(all(&loaded, kind), all(&before, kind));
    }
    let events = all(&before, "audit");
    assert_eq!(all(&loaded, "audit")[..events.len()], events);

    let server = workplace.serve();
    let client = server.client();
    let admin = client.login("alice", PASSWORD);
    client.get("/admin").bearer(&admin.access).send().expect(200);
    client.login("bob", PASSWORD);
    client.login("erin", "correct horse");
    for nobody in ["carol", "dave"] {
        client.post("/token").form(&[("username", nobody), ("password", PASSWORD)]).expect(400);
    }
    let post = all(&before, "post")[0];
    let path = format!("/posts/{}", post["id"].as_str().unwrap());
    assert_eq!(client.get(&path).send().expect(200)["content"], post["content"]);
}

/// Whether an import into this directory has come so far.
type Moment = fn(&Path) -> bool;

const MOMENTS: [Moment; 5] = [
    |data| data.exists(),
    |data| data.join("manifest.json").exists(),
    |data| data.join("db/db").exists(),
    |data| fs::metadata(data.join("db/db")).is_ok_and(|file| file.len() > 512 * 1024),
    |data| fs::read_to_string(data.join("manifest.json")).is_ok_and(|it| it.contains("d\":true")),
];

#[test]
fn an_import_that_is_killed_is_nothing_or_complete_and_can_be_done_again() {
    let workplace = Workplace::new();
    workplace.write("dump.jsonl", &many_users(3000));
    for (index, moment) in MOMENTS.into_iter().enumerate() {
        let name = format!("data{index}");
        let data = workplace.path(&name);
        let arguments = ["import", "dump.jsonl", "--data", &name];
        let mut import = workplace.command(&arguments);
        let mut import = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !moment(&data) && import.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        import.kill().unwrap();
        import.wait().unwrap();
        let again = workplace.run(&arguments);
        if again.status != Some(0) {
            assert!(again.complaint().contains("holds data already"), "{index}: {again:?}");
        }
        let counts = workplace.run(&["check", "--json", "--data", &name]);
        let counts: Value = serde_json::from_str(counts.output()).unwrap();
        assert_eq!(counts["user"], 3000, "{index}");
    }
}

/// A dump of so many users.
pub fn many_users(count: u64) -> String {
    let (mut text, random) = (String::new(), SeededRandom::new(1));
    let now = Timestamp::from_secs(1_800_000_000);
    let mut writer = Writer::begin(now, &mut text).unwrap();
    for number in 0..count {
        let user = User {
            id: UserId::new(now, &random).unwrap(),
            username: Username::parse(&format!("user{number}"), NamePolicy::Ascii).unwrap(),
            email: None,
            full_name: None,
            disabled: false,
            roles: ["user".to_owned()].into(),
            password_hash: PasswordHash::new("none".to_owned()),
            epoch: 0,
            created_at: now,
        };
        writer.write(&Change::User(user), &mut text).unwrap();
    }
    writer.finish(&mut text).unwrap();
    text
}

#[test]
fn what_is_not_to_be_believed_is_refused_and_nothing_is_written() {
    let workplace = used();
    workplace.run(&["export", "dump.jsonl"]).output();
    fs::rename(workplace.data(), workplace.path("old")).unwrap();
    let dump = fs::read_to_string(workplace.path("dump.jsonl")).unwrap();
    let header = r#"{"header":{"format":"keystile-dump","version":7}}"#.to_owned() + "\n";
    let (whole, _) = dump.trim_end().rsplit_once('\n').unwrap();
    for (text, expected) in [
        (&dump[..dump.len() - 1], "bad.jsonl: it was cut short"),
        (whole, "bad.jsonl: it was cut short"),
        (&dump.replace("\"alice\"", "\"alicf\""), "bad.jsonl: it was changed after it was written"),
        (&dump.replace("\"alice\"", "\"a b\""), "bad.jsonl: line 2: a field of it breaks its rule"),
        (&dump.replace("{\"post\"", "{\"past\""), "it cannot be read"),
        (&header, "bad.jsonl: it has format 7, this release knows 1"),
        ("nonsense", "bad.jsonl: it is no dump of keystile"),
        ("", "bad.jsonl: it is no dump of keystile"),
    ] {
        workplace.write("bad.jsonl", text);
        let refused = workplace.run(&["import", "bad.jsonl"]);
        assert!(refused.complaint().contains(expected), "{expected}: {refused:?}");
        assert!(!workplace.data().exists(), "{expected}");
    }
    for (file, expected) in [
        ("nowhere", "nowhere: No such file"),
        ("old", "old is not a regular file; import reads it twice"),
    ] {
        let refused = workplace.run(&["import", file]);
        assert!(refused.complaint().contains(expected), "{refused:?}");
    }
    fs::create_dir(workplace.data()).unwrap();
    workplace.write("data/strange", "");
    let refused = workplace.run(&["import", "dump.jsonl"]);
    assert!(refused.complaint().contains("is not empty"), "{refused:?}");
    fs::remove_file(workplace.path("data/strange")).unwrap();
    workplace.run(&["import", "dump.jsonl"]).output();
    workplace.serve().client().login("bob", PASSWORD);
}
