//! HTTP as an attacker writes it, byte by byte, to the real binary. What takes its time is in
//! `src/http/gate/tests.rs`, where time stands still.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::{Server, Workplace, clean};

/// How long an answer may take before the test is given up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request that is answered with 200, and its connection closed.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
/// The same on a connection that stays.
const NEXT: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

/// An answer as it was on the wire.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    /// Takes the first answer off `text`.
    #[track_caller]
    fn take(text: &mut &str) -> Self {
        let (head, rest) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap();
        // To a client of HTTP/1.0 hyper says its own version.
        let status =
            line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 ")).unwrap();
        let fields = lines.map(|line| line.split_once(": ").unwrap());
        let headers: BTreeMap<_, _> =
            fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let (body, rest) = rest.split_at(length);
        *text = rest;
        let answer = Self { status: status[..3].parse().unwrap(), headers, body: body.to_owned() };
        answer.check();
        answer
    }

    /// What holds for every answer, hyper's own among them if there were any.
    #[track_caller]
    fn check(&self) {
        let is = |name: &str, value: &str| assert_eq!(self.headers[name], value, "{self:?}");
        is("x-content-type-options", "nosniff");
        is("referrer-policy", "no-referrer");
        is("cache-control", "no-store");
        is("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
        assert_eq!(self.headers["x-request-id"].len(), 26);
        assert!(!self.headers.contains_key("server"));
        if self.status >= 400 {
            let problem: Value = serde_json::from_str(&self.body).unwrap();
            assert_eq!(problem["request_id"], self.headers["x-request-id"].as_str());
            assert_eq!(problem["status"], self.status);
        }
    }

    #[track_caller]
    fn refuses(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["code"], code);
        assert_eq!(self.headers["connection"], "close");
    }
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What the server sends until it closes the connection; one that was cut off has sent nothing more.
#[track_caller]
fn rest_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the connection stays open");
    }
    String::from_utf8(bytes).unwrap()
}

/// Every answer to `bytes` on one connection, which ends then.
#[track_caller]
fn answers(server: &Server, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = connect(server);
    // The server may have seen enough of it.
    let _ = stream.write_all(bytes);
    let text = rest_of(&mut stream);
    let (mut text, mut answers) = (text.as_str(), Vec::new());
    while !text.is_empty() {
        answers.push(Answer::take(&mut text));
    }
    answers
}

/// The one answer to `bytes`.
#[track_caller]
fn answer(server: &Server, bytes: &[u8]) -> Answer {
    let mut answers = answers(server, bytes);
    assert_eq!(answers.len(), 1, "{answers:?}");
    answers.remove(0)
}

/// A form for `/token` with these fields in its head; after it stands what must not be taken for a request.
fn form(fields: &str, body: &str) -> String {
    let head =
        "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    format!("{head}{fields}\r\n{body}{NEXT}{NEXT}")
}

#[test]
fn ht_06_a_request_names_exactly_one_valid_host() {
    let server = Workplace::new().serve();
    for hosts in [
        "",
        "Host: x\r\nHost: x\r\n",
        "Host: x\r\nhost: y\r\n",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: u@x\r\n",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        answer(&server, request.as_bytes()).refuses(400, "invalid_request");
    }
    for (target, status) in
        [("http://x/healthz", 200), ("http://y/healthz", 400), ("http://u@x/healthz", 400)]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        assert_eq!(answer(&server, request.as_bytes()).status, status, "{target}");
    }
    assert_eq!(answer(&server, LAST.as_bytes()).status, 200);
}

#[test]
fn ht_06_another_host_than_the_allowed_is_421() {
    let workplace = Workplace::new();
    workplace.write("config.toml", "[server]\nallowed_hosts = ['login.example.org', '[::1]']");
    let server = workplace.serve();
    let ask = |host: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        answer(&server, request.as_bytes())
    };
    for host in ["login.example.org", "LOGIN.example.org:8443", "[::1]:80"] {
        assert_eq!(ask(host).status, 200, "{host}");
    }
    for host in ["example.org", "127.0.0.1", "login.example.org.evil.example"] {
        ask(host).refuses(421, "misdirected_request");
    }
    // The server is found well all the same.
    let listen = format!("KEYSTILE_SERVER__LISTEN={}", server.address());
    let (name, value) = listen.split_once('=').unwrap();
    let mut healthcheck = workplace.command(&["healthcheck"]);
    healthcheck.env(name, value);
    assert_eq!(crate::support::run(healthcheck, "").output(), "healthy\n");
}

#[test]
fn ht_07_a_body_framed_in_two_ways_is_refused_with_all_that_follows() {
    let server = Workplace::new().serve();
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (fields, body) in [
        (format!("Content-Length: 5\r\n{chunked}"), "0\r\n\r\n"),
        (format!("{chunked}Content-Length: 5\r\n"), "0\r\n\r\n"),
        ("Content-Length: 0\r\nContent-Length: 5\r\n".to_owned(), "hello"),
        ("Content-Length: +5\r\n".to_owned(), "hello"),
        ("Content-Length: 5, 5\r\n".to_owned(), "hello"),
        ("Transfer-Encoding: gzip, chunked\r\n".to_owned(), "0\r\n\r\n"),
        ("Transfer-Encoding: identity\r\n".to_owned(), ""),
        ("Transfer-Encoding: xchunked\r\n".to_owned(), "0\r\n\r\n"),
        (format!("{chunked}{chunked}"), "0\r\n\r\n"),
        ("Transfer-Encoding:\r\n chunked\r\n".to_owned(), "0\r\n\r\n"),
        ("Transfer-Encoding : chunked\r\n".to_owned(), "0\r\n\r\n"),
        ("Transfer-Encoding\t: chunked\r\n".to_owned(), "0\r\n\r\n"),
        ("A: b\r\n folded\r\n".to_owned(), ""),
    ] {
        let answer = answer(&server, form(&fields, body).as_bytes());
        answer.refuses(400, "invalid_request");
        // What OAuth clients read (RFC 6749, 5.2).
        assert_eq!(answer.headers["content-type"], "application/json", "{fields}");
        assert!(answer.body.contains("\"error\":\"invalid_request\""), "{fields}");
    }
    let old = "POST /token HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    answer(&server, old.as_bytes()).refuses(400, "invalid_request");
}

#[test]
fn ht_07_what_came_before_a_refused_request_is_answered_first() {
    let server = Workplace::new().serve();
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let answers = answers(&server, format!("{NEXT}{NEXT}{}", form(both, "0\r\n\r\n")).as_bytes());
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 200, 400]);
    let line = server.await_line("REFUSED - 400");
    assert!(line.contains(&answers[2].headers["x-request-id"]), "{line}");
}

#[test]
fn ht_07_a_chunked_body_ends_where_it_says_and_nowhere_else() {
    let server = Workplace::new().serve();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let good = form(chunked, "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n");
    let statuses: Vec<_> =
        answers(&server, (good + LAST).as_bytes()).iter().map(|a| a.status).collect();
    assert_eq!(statuses, [400, 200, 200, 200]);
    for body in ["5\r\nhello0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "x\r\n", "ffffffffffffffffff\r\n"]
    {
        answer(&server, form(chunked, body).as_bytes()).refuses(400, "invalid_request");
    }
}

#[test]
fn a109_idle_dripping_and_greedy_connections_keep_nobody_out() {
    let workplace = Workplace::new();
    workplace.write("config.toml", "[server]\nmax_connections = 16");
    let server = workplace.serve();
    let starts = ["", "GET /hea", "POST /posts HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"];
    let mut crowd = Vec::new();
    for start in starts.iter().cycle().take(64) {
        let mut stream = connect(&server);
        stream.write_all(start.as_bytes()).unwrap();
        crowd.push(stream);
        assert_eq!(answer(&server, LAST.as_bytes()).status, 200);
    }
    // The first have made room, the last are still there.
    assert_eq!(rest_of(&mut crowd[0]), "");
    let last = crowd.last_mut().unwrap();
    last.write_all(&LAST.as_bytes()[starts[0].len()..]).unwrap();
    assert_eq!(Answer::take(&mut &*rest_of(last)).status, 200);
}

/// The memory that the server has used at most, in KiB.
fn peak_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a110_a_body_without_an_end_is_refused_and_never_kept() {
    let server = Workplace::new().serve();
    assert_eq!(answer(&server, LAST.as_bytes()).status, 200);
    let before = peak_kib(&server);
    let head = "POST /posts HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let flood = "a".repeat(64 << 20);
    let sized = format!("{head}Content-Length: {}\r\n\r\n{flood}", flood.len());
    answer(&server, sized.as_bytes()).refuses(413, "body_too_large");
    let chunked =
        format!("{head}Transfer-Encoding: chunked\r\n\r\n4000000\r\n{flood}\r\n0\r\n\r\n");
    answer(&server, chunked.as_bytes()).refuses(413, "body_too_large");
    assert!(peak_kib(&server) - before < 16 << 10, "the body was kept");
    let asking = format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    answer(&server, asking.as_bytes()).refuses(413, "body_too_large");
    // One that ends too early is no body.
    let mut stream = connect(&server);
    stream.write_all(format!("{head}Content-Length: 10\r\n\r\nhello").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let text = rest_of(&mut stream);
    assert!(text.is_empty() || Answer::take(&mut &*text).status == 400, "{text}");
    assert_eq!(answer(&server, LAST.as_bytes()).status, 200);
}

#[test]
fn a111_a_head_without_an_end_is_refused() {
    let server = Workplace::new().serve();
    let get = |target: &str, fields: &str| {
        let request =
            format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n");
        answer(&server, request.as_bytes())
    };
    let many = |count| "x: y\r\n".repeat(count);
    let large = |bytes: usize| format!("Authorization: Bearer {}\r\n", "a".repeat(bytes));
    assert_eq!(get("/healthz", &many(62)).status, 200);
    for count in [63, 98, 99, 5000] {
        get("/healthz", &many(count)).refuses(431, "headers_too_large");
    }
    assert_eq!(get("/healthz", &large(16_000)).status, 200);
    for bytes in [17 << 10, 100 << 10, 1 << 20] {
        get("/healthz", &large(bytes)).refuses(431, "headers_too_large");
    }
    let target = |bytes: usize| format!("/healthz?{}", "a".repeat(bytes - "/healthz?".len()));
    assert_eq!(get(&target(16 << 10), "").status, 200);
    for bytes in [(16 << 10) + 1, 64 << 10, 1 << 20] {
        get(&target(bytes), "").refuses(414, "uri_too_long");
    }
}

#[test]
fn a112_http_2_and_other_protocols_are_not_spoken() {
    let server = Workplace::new().serve();
    let preface: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    answer(&server, preface).refuses(400, "invalid_request");
    let hello: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    answer(&server, hello).refuses(400, "invalid_request");
    for upgrade in [
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
        let answer = answer(&server, request.as_bytes());
        assert_eq!(answer.status, 200);
        assert!(!answer.headers.contains_key("upgrade"), "{answer:?}");
    }
    let tunnel =
        answer(&server, b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\nConnection: close\r\n\r\n");
    tunnel.refuses(405, "method_not_allowed");
}

/// Requests broken at random; `Answer::take` fails for an answer that is not ours.
#[test]
fn a118_whatever_is_sent_no_answer_is_the_librarys_own() {
    let server = Workplace::new().serve();
    let mut dice = Dice::from_environment();
    let pieces: [&[u8]; 18] = [
        b"GET ",
        b"POST ",
        b"/token",
        b"/healthz",
        b"*",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"\r\n",
        b"\n",
        b"\0",
        b"Host: x\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b" ",
        b"\xff\xfe",
        b"a:\"<>{}|^`#?[]@\r\n",
    ];
    for _ in 0..400 {
        let mut bytes = form("Content-Length: 3\r\n", "a=b").into_bytes();
        for _ in 0..=dice.below(4) {
            let (at, piece) = (dice.below(bytes.len()), *dice.pick(&pieces).unwrap());
            let end = (at + dice.below(8)).min(bytes.len());
            bytes.splice(at..end, piece.iter().copied());
        }
        let mut stream = connect(&server);
        // It may be refused before it has ended.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let text = rest_of(&mut stream);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            Answer::take(&mut rest);
        }
    }
    assert_eq!(answer(&server, LAST.as_bytes()).status, 200);
}

/// The processor time that the server has used, in ticks of 10 ms.
fn ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn a124_few_file_descriptors_leave_enough_to_the_store() {
    let workplace = Workplace::new();
    let binary = env!("CARGO_BIN_EXE_keystile");
    let mut command = std::process::Command::new("sh");
    clean(&mut command, &workplace.path(""));
    command.args(["-c", &format!("ulimit -n 64; exec {binary} serve --listen 127.0.0.1:0")]);
    let server = Server::start(command);
    let crowd: Vec<_> = (0..200).map(|_| connect(&server)).collect();
    assert_eq!(answer(&server, LAST.as_bytes()).status, 200);
    server.client().register("alice", "correct horse battery");
    drop(crowd);
    let stderr = server.stop().stderr;
    assert!(stderr.contains("raise its limit of open files"), "{stderr}");
    assert!(!stderr.contains("accepting a connection failed"), "{stderr}");
}

#[test]
fn a124_without_file_descriptors_it_waits_says_so_once_and_recovers() {
    let server = Workplace::new().serve();
    let pid = Pid::from_raw(i32::try_from(server.pid()).unwrap());
    let maximum = getrlimit(Resource::Nofile).maximum;
    let none = Rlimit { current: Some(8), maximum };
    let normal = prlimit(pid, Resource::Nofile, none).unwrap();
    let mut waiting = connect(&server);
    waiting.write_all(LAST.as_bytes()).unwrap();
    server.await_line("accepting a connection failed");
    let ticks_before = ticks(&server);
    waiting.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let error = waiting.read(&mut [0]).unwrap_err();
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()), "{error}");
    assert!(ticks(&server) - ticks_before < 30, "it spins");
    prlimit(pid, Resource::Nofile, normal).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(Answer::take(&mut &*rest_of(&mut waiting)).status, 200);
    server.client().register("alice", "correct horse battery");
    let stderr = server.stop().stderr;
    assert_eq!(stderr.matches("accepting a connection failed").count(), 1, "{stderr}");
}
