//! System calls that fail: no answer promises what met them, the server says so and ends, and whatever it had
//! answered is there again.

use std::time::{Duration, Instant};

use serde_json::json;
use ureq::http::Method;

use crate::PASSWORD;
use crate::strace::{self, Attached};
use crate::support::client::{Answer, Client, Pair};
use crate::support::{Workplace, run, tools};

/// How many registrations are tried before the fault must have been met.
const TRIES: usize = 100;

/// How many sessions are ended until the fault must have been met.
const ENDED: usize = 30;

#[track_caller]
fn assert_unavailable(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.header("retry-after").is_some(), "{}", answer.text);
}

/// A step that ends a session, as a client asks for it.
type Ending = fn(&Client, &Pair) -> Answer;

/// Lets a running server meet the fault of `rule` at a refresh.
fn fails_for_good(rule: &str) {
    if !tools::strace() {
        return;
    }
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    client.register("alice", PASSWORD);
    let ended = client.login("alice", PASSWORD);
    client.post("/logout").bearer(&ended.access).send().expect(200);
    let mut pair = client.login("alice", PASSWORD);
    let attached = Attached::to(server.pid(), rule);

    let mut tries = 0..TRIES;
    let refused = loop {
        assert!(tries.next().is_some(), "{rule} was never met");
        let answer = client.post("/refresh").bearer(&pair.refresh).send();
        if answer.status != 200 {
            break answer;
        }
        pair = Pair::of(&answer.expect(200));
    };
    assert_unavailable(&refused);
    let account = json!({ "username": "bob", "password": PASSWORD });
    assert_unavailable(&client.post("/auth/").json(&account));
    assert_unavailable(&client.get("/users/me").bearer(&pair.access).send());
    assert_unavailable(&client.post("/logout").bearer(&pair.access).send());
    assert_unavailable(&client.get("/readyz").send());
    let died = server.wait();
    drop(attached);
    assert_eq!(died.status, Some(1), "{rule}: {}", died.stderr);
    assert!(died.stderr.contains("keystile: the store has failed"), "{rule}: {}", died.stderr);

    let server = workplace.serve();
    let client = server.client();
    assert_eq!(client.status_with(&ended.access), 401);
    assert_eq!(client.status_with(&pair.access), 200, "{rule}");
    // The refused refresh may have happened; either way the token gets one successor.
    let next = Pair::of(&client.post("/refresh").bearer(&pair.refresh).send().expect(200));
    assert_eq!(client.status_with(&next.access), 200);
    client.register("bob", PASSWORD);
    server.stop();
}

/// The ways to end a session that say nothing but whether it is done.
const ENDINGS: [(&str, Ending); 3] = [
    ("logout", |client, pair| client.post("/logout").bearer(&pair.access).send()),
    ("revocation of a refresh token", |client, pair| {
        client.post("/revoke").form(&[("token", &pair.refresh)])
    }),
    ("revocation of an access token", |client, pair| {
        client.post("/revoke").form(&[("token", &pair.access)])
    }),
];

/// Lets each way to end a session meet the fault of `rule` itself. What was answered before is done, what was
/// refused may be done or not, and can be asked for again.
fn ends_or_says_so(rule: &str) {
    if !tools::strace() {
        return;
    }
    for (what, end) in ENDINGS {
        let workplace = Workplace::new();
        workplace.write("config.toml", "[sessions]\nmax_per_user = 100\n");
        let server = workplace.serve();
        let client = server.client();
        client.register("alice", PASSWORD);
        let pairs: Vec<_> = (0..ENDED).map(|_| client.login("alice", PASSWORD)).collect();
        let attached = Attached::to(server.pid(), rule);
        let (mut ended, mut refused) = (Vec::new(), None);
        for pair in &pairs {
            let answer = end(client, pair);
            if answer.status == 200 {
                ended.push(pair);
                continue;
            }
            assert_unavailable(&answer);
            refused = Some(pair);
            break;
        }
        let refused = refused.unwrap_or_else(|| panic!("{rule} was never met by a {what}"));
        assert_unavailable(&end(client, refused));
        let died = server.wait();
        drop(attached);
        assert_eq!(died.status, Some(1), "{rule}, {what}: {}", died.stderr);

        let server = workplace.serve();
        let client = server.client();
        for pair in ended {
            assert_eq!(client.status_with(&pair.access), 401, "{rule}, {what}");
            client.post("/refresh").bearer(&pair.refresh).send().expect(401);
        }
        let untouched = pairs.last().unwrap();
        assert_eq!(client.status_with(&untouched.access), 200, "{rule}, {what}");
        let again = end(client, refused).status;
        assert!(again == 200 || again == 401, "{rule}, {what}: {again}");
        assert_eq!(client.status_with(&refused.access), 401, "{rule}, {what}");
        server.stop();
    }
}

#[test]
fn a100_an_ending_that_meets_a_write_that_fails_is_never_a_success() {
    ends_or_says_so("pwrite64:error=EIO:when=1");
}

#[test]
fn a100_an_ending_that_meets_a_full_disk_is_never_a_success() {
    ends_or_says_so("pwrite64:error=ENOSPC:when=3");
}

#[test]
fn a100_an_ending_that_meets_a_sync_that_fails_is_never_a_success() {
    ends_or_says_so("fdatasync:error=EIO:when=2");
}

#[test]
fn a_write_that_fails_ends_the_server() {
    fails_for_good("pwrite64:error=EIO:when=1");
}

#[test]
fn a_write_on_a_full_disk_ends_the_server() {
    fails_for_good("pwrite64:error=ENOSPC:when=7");
}

#[test]
fn a_sync_that_fails_ends_the_server() {
    fails_for_good("fdatasync:error=EIO:when=3");
}

#[test]
fn a_sync_on_a_full_disk_ends_the_server() {
    fails_for_good("fdatasync:error=ENOSPC:when=1");
}

#[test]
fn a_range_sync_that_fails_ends_the_server() {
    fails_for_good("sync_file_range:error=EIO:when=4");
}

/// The calls that starts and ends are made of, and how many of each to let fail, one at a time.
const CALLS: [(&str, usize); 7] = [
    ("pwrite64", 8),
    ("fsync", 8),
    ("fdatasync", 3),
    ("rename", 3),
    ("ftruncate", 2),
    ("sync_file_range", 4),
    ("write", 6),
];

/// The rules that let one of these calls fail with `error`.
fn rules(error: &str) -> impl Iterator<Item = String> {
    let whens =
        CALLS.into_iter().flat_map(|(call, count)| (1..=count).map(move |when| (call, when)));
    whens.map(move |(call, when)| format!("{call}:error={error}:when={when}"))
}

/// Whether a user is listed, by a command that meets no fault.
fn is_listed(workplace: &Workplace, name: &str) -> bool {
    let list = workplace.run(&["users", "list"]);
    list.output().contains(name)
}

/// Adds a user by a command that meets the fault of `rule`, and is refused in words unless the user is there.
/// Whether it failed.
#[track_caller]
fn fails_to_add(workplace: &Workplace, name: &str, rule: &str) -> bool {
    let command = workplace.command(&["users", "add", name, "--password-stdin"]);
    let ended = run(strace::wrap(&command, rule), &format!("{PASSWORD}\n"));
    match ended.status {
        Some(0) => assert!(is_listed(workplace, name), "{rule}: {name} is lost"),
        // The words are written by the same call.
        Some(1) if rule.starts_with("write:") => {}
        Some(1) => assert!(ended.stderr.contains("keystile: "), "{rule}: {}", ended.stderr),
        _ => panic!("{rule}: {ended:?}"),
    }
    ended.status != Some(0)
}

#[test]
fn a_first_start_that_fails_anywhere_is_begun_again() {
    if !tools::strace() {
        return;
    }
    let mut failed = 0;
    for rule in rules("EIO") {
        let workplace = Workplace::new();
        failed += usize::from(fails_to_add(&workplace, "alice", &rule));
        workplace.add_user("bob", PASSWORD, "user");
        assert!(is_listed(&workplace, "bob"), "{rule}");
    }
    assert!(failed > 10, "only {failed} of the faults were met");
}

#[test]
fn a_later_start_that_fails_anywhere_loses_nothing() {
    if !tools::strace() {
        return;
    }
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "user");
    let mut failed = 0;
    for (number, rule) in ["EIO", "ENOSPC"].into_iter().flat_map(rules).enumerate() {
        failed += usize::from(fails_to_add(&workplace, &format!("user{number:03}"), &rule));
        assert!(is_listed(&workplace, "alice"), "{rule}");
    }
    assert!(failed > 10, "only {failed} of the faults were met");
}

#[test]
fn an_end_that_is_still_on_its_way_to_the_disk_is_not_called_done() {
    if !tools::strace() {
        return;
    }
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    client.register("alice", PASSWORD);
    let (kept, _other) = (client.login("alice", PASSWORD), client.login("alice", PASSWORD));
    let attached = Attached::to(server.pid(), "fdatasync:delay_enter=14000000");
    let end_others =
        || client.call(Method::DELETE, "/users/me/sessions").bearer(&kept.access).send();
    let live = || {
        let sessions = client.get("/users/me/sessions").bearer(&kept.access).send().expect(200);
        sessions.as_array().unwrap().len()
    };
    std::thread::scope(|scope| {
        let ending = scope.spawn(end_others);
        while live() == 2 {}
        assert_unavailable(&end_others());
        assert_unavailable(&ending.join().unwrap());
    });
    drop(attached);
    assert_eq!(end_others().status, 204);
    server.stop();
}

#[test]
fn while_a_sync_takes_long_reads_go_on_and_changes_are_given_up() {
    if !tools::strace() {
        return;
    }
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    client.register("alice", PASSWORD);
    let pair = client.login("alice", PASSWORD);
    let attached = Attached::to(server.pid(), "fdatasync:delay_enter=14000000");
    std::thread::scope(|scope| {
        let refreshing = scope.spawn(|| {
            let begun = Instant::now();
            (client.post("/refresh").bearer(&pair.refresh).send(), begun.elapsed())
        });
        while !refreshing.is_finished() {
            let begun = Instant::now();
            let read = client.get("/users/me").bearer(&pair.access).send();
            assert_eq!(read.status, 200, "{}", read.text);
            client.get("/healthz").send().expect(200);
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        }
        let (answer, took) = refreshing.join().unwrap();
        assert_unavailable(&answer);
        assert!((9..13).contains(&took.as_secs()), "{took:?}");
    });
    drop(attached);
    // It was not lost, only late: the token still has its one successor.
    let next = Pair::of(&client.post("/refresh").bearer(&pair.refresh).send().expect(200));
    assert_eq!(client.status_with(&next.access), 200);
    server.stop();
}
