//! A small machine and many who log in at once: 128 MiB, five hundred logins at a time.
//!
//! Goal: it answers each of them, with the refusals that say when to come back, and everybody else meanwhile;
//! it is never killed for its memory. Method: a control group made by hand, which takes root, and a server
//! started in it. Skipped where no such group can be made.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::{Pair, encoded};
use crate::support::{Server, Workplace, clean, run};

const PASSWORD: &str = "correct horse battery";
const LIMIT_BYTES: u64 = 128 << 20;
/// Logins at a time, and how many times.
const LOGINS: usize = 500;
const ROUNDS: usize = 4;
/// Sessions that are ended meanwhile.
const LOGOUTS: usize = 12;
const PATIENCE: Duration = Duration::from_secs(60);

/// A memory control group; gone when dropped, as its processes are by then.
struct Group(PathBuf);

impl Group {
    /// A group of either version, below or beside the one of this process.
    fn new() -> Option<Self> {
        // One process may run several tests of this file at once.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let group = |prefix: &str| {
            own.lines().find_map(|line| line.split_once(prefix)?.1.strip_prefix('/'))
        };
        let first = group(":memory:").map(|group| Path::new("/sys/fs/cgroup/memory").join(group));
        let second = group("0::").map(|group| Path::new(group).parent().unwrap_or(Path::new("")));
        let second = second.map(|parent| Path::new("/sys/fs/cgroup").join(parent));
        let number = MADE.fetch_add(1, Ordering::SeqCst);
        let name = format!("keystile-test-{}-{number}", std::process::id());
        let made = |parent: PathBuf| {
            let group = Self(parent.join(&name));
            fs::create_dir(&group.0).ok()?;
            let limits = ["memory.limit_in_bytes", "memory.max"];
            let mut limits = limits.map(|file| group.0.join(file)).into_iter();
            let limited =
                |file: PathBuf| file.exists() && fs::write(file, LIMIT_BYTES.to_string()).is_ok();
            limits.any(limited).then_some(group)
        };
        first.into_iter().chain(second).find_map(made)
    }

    /// The binary with `arguments`, within it from its first page on.
    fn command(&self, workplace: &Workplace, arguments: &[&str]) -> Command {
        let mut command = Command::new("sh");
        clean(&mut command, &workplace.path("."));
        command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.0.join("cgroup.procs"));
        command.arg(env!("CARGO_BIN_EXE_keystile")).args(arguments);
        command
    }

    /// How many of its processes were killed for their memory.
    fn kills(&self) -> u64 {
        let files = ["memory.oom_control", "memory.events"];
        let text =
            files.iter().find_map(|file| fs::read_to_string(self.0.join(file)).ok()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
        line.parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

/// Whether a group can be made; a test without one says so.
fn group() -> Option<Group> {
    let group = Group::new();
    if group.is_none() {
        println!("skipped: no memory control group can be made here");
    }
    group
}

/// All of `forms` sent to `/token` before the first answer is read; how often each status came.
fn log_in_at_once(
    address: SocketAddr,
    forms: impl Iterator<Item = String>,
) -> BTreeMap<u16, usize> {
    let send = |form: String| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let streams: Vec<_> = forms.map(send).collect();
    let mut statuses = BTreeMap::new();
    for mut stream in streams {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status: u16 = answer.split(' ').nth(1).unwrap().parse().unwrap();
        assert!([200, 400, 429, 503].contains(&status), "{answer}");
        let says_when = answer.to_ascii_lowercase().contains("\r\nretry-after: ");
        assert_eq!(says_when, status == 429 || status == 503, "{answer}");
        *statuses.entry(status).or_default() += 1;
    }
    statuses
}

/// The rounds of logins; returns how long everybody else waited meanwhile.
fn flood(server: &Server, bearer: &str, mut leaving: Vec<Pair>) -> Vec<Duration> {
    let (client, address, is_over) = (server.client(), server.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let others = scope.spawn(|| {
            let mut waits = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                let begun = Instant::now();
                assert_eq!(client.status_with(bearer), 200);
                client.get("/healthz").send().expect(200);
                if let Some(pair) = leaving.pop() {
                    client.post("/logout").bearer(&pair.access).send().expect(200);
                }
                waits.push(begun.elapsed());
            }
            assert!(leaving.is_empty(), "too few were answered meanwhile");
            waits
        });
        for round in 0..ROUNDS {
            let form = |index: usize| {
                let name = if index.is_multiple_of(2) {
                    "alice".to_owned()
                } else {
                    format!("nobody-{index}")
                };
                encoded(&[("username", &name), ("password", PASSWORD)])
            };
            let statuses = log_in_at_once(address, (0..LOGINS).map(form));
            println!("round {round}: {statuses:?}");
            assert!(statuses[&200] > 0 && statuses[&503] > 0, "{statuses:?}");
        }
        is_over.store(true, Ordering::SeqCst);
        others.join().unwrap()
    })
}

#[test]
fn a120_five_hundred_logins_at_once_in_128_mib_hurt_nobody_else() {
    let Some(group) = group() else { return };
    let workplace = Workplace::new();
    // It is the queue that is to be full, not the patience with one name.
    workplace.write("config.toml", "[throttle]\nenabled = false\n");
    let server = Server::start(group.command(&workplace, &["serve", "--listen", "127.0.0.1:0"]));
    let client = server.client();
    client.register("alice", PASSWORD);
    client.register("bob", PASSWORD);
    let bearer = client.login("bob", PASSWORD).access;
    let leaving = (0..LOGOUTS).map(|_| client.login("bob", PASSWORD)).collect();
    let mut waits = flood(&server, &bearer, leaving);
    waits.sort();
    println!(
        "three others answered {} times meanwhile, p99 {:?}",
        waits.len(),
        waits[waits.len() * 99 / 100]
    );
    client.login("alice", PASSWORD);
    assert_eq!(group.kills(), 0);
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak_kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("at most {peak_kib} KiB resident");
    assert!(peak_kib * 1024 < LIMIT_BYTES / 100 * 80, "{peak_kib} KiB");
    server.stop();
}

/// A group of either version decides how many hash at a time, and what is too much.
#[test]
fn ds_01_the_limit_of_a_group_is_seen_by_a_server_within_it() {
    let Some(group) = group() else { return };
    let workplace = Workplace::new();
    workplace.write("config.toml", "[passwords]\nworkers = 8\n");
    let refused = run(group.command(&workplace, &["config", "check"]), "");
    assert!(refused.complaint().contains("131072 KiB"), "{refused:?}");
}
