//! The Unix listener: the real binary, reached over its socket as a proxy on the same machine reaches it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::{CHEAP_HASHES, Server, Workplace};

const PASSWORD: &str = "correct horse battery";

/// A directory with a server's configuration, and one beside it for its socket.
struct Site {
    workplace: Workplace,
    socket: PathBuf,
}

impl Site {
    /// One that listens on a Unix socket and on a port, with these lines under `[server]`.
    fn with(lines: &str) -> Self {
        let workplace = Workplace::new();
        fs::create_dir(workplace.path("run")).unwrap();
        let socket = workplace.path("run").join("http.sock");
        let site = Self { workplace, socket };
        site.configure(lines);
        site
    }

    fn configure(&self, lines: &str) {
        let listen = format!("listen = ['unix:{}', '127.0.0.1:0']", self.socket.display());
        self.workplace.write("config.toml", &format!("{CHEAP_HASHES}[server]\n{listen}\n{lines}"));
    }

    fn serve(&self) -> Server {
        Server::start(self.workplace.command(&["serve"]))
    }

    /// What a start that is refused says.
    #[track_caller]
    fn complaint(&self) -> String {
        let ended = self.workplace.run(&["serve"]);
        assert_eq!(ended.status, Some(1), "{ended:?}");
        ended.stderr
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.socket.parent().unwrap()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// The answer to a GET over a socket with these header lines, as its status and its body.
#[track_caller]
fn get(socket: &Path, path: &str, headers: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap(), body.to_owned())
}

#[track_caller]
fn assert_well(socket: &Path) {
    assert_eq!(get(socket, "/healthz", "Host: x\r\n").0, 200);
}

#[test]
fn ht_18_a_unix_socket_and_a_port_serve_at_once_and_the_socket_goes_at_the_end() {
    let site = Site::with("");
    for (lines, mode) in [("", 0o660), ("unix_mode = '0600'", 0o600), ("unix_mode = '666'", 0o666)]
    {
        site.configure(lines);
        let server = site.serve();
        let found = fs::symlink_metadata(&site.socket).unwrap();
        assert!(found.file_type().is_socket());
        assert_eq!(found.permissions().mode() & 0o7777, mode);
        assert_eq!(site.names(), ["http.sock"], "nothing is left beside it");
        assert_well(&site.socket);
        server.client().get("/healthz").send().expect(200);
        // It asks the first listener.
        assert_eq!(site.workplace.run(&["healthcheck"]).output(), "healthy\n");
        let said = server.stop().stderr;
        let line = format!("  listening  unix:{}\n", site.socket.display());
        assert!(said.contains(&line) && said.contains("lacks unix"), "{said}");
        assert_eq!(site.names(), [""; 0]);
    }
    assert!(site.workplace.run(&["healthcheck"]).complaint().contains("no answer from unix:"));
}

#[test]
fn ht_18_what_a_killed_server_left_is_replaced() {
    let site = Site::with("");
    site.serve().kill();
    assert_eq!(site.names(), ["http.sock"]);
    assert!(UnixStream::connect(&site.socket).is_err());
    let server = site.serve();
    assert_well(&site.socket);
    server.stop();
    assert_eq!(site.names(), [""; 0]);
}

#[test]
fn ht_18_a_busy_socket_a_file_and_a_link_refuse_the_start_and_stay() {
    let site = Site::with("");
    let server = site.serve();
    let other = Site { workplace: Workplace::new(), socket: site.socket.clone() };
    other.configure("");
    let said = other.complaint();
    let line = format!("cannot listen on unix:{}: ", site.socket.display());
    assert!(said.contains(&format!("{line}another process listens there")), "{said}");
    assert_well(&site.socket);
    server.stop();

    fs::write(&site.socket, "mine").unwrap();
    let said = site.complaint();
    assert!(said.contains(&format!("{line}something that is no socket is there")), "{said}");
    assert_eq!(fs::read_to_string(&site.socket).unwrap(), "mine");
    fs::remove_file(&site.socket).unwrap();

    symlink("nowhere", &site.socket).unwrap();
    assert!(site.complaint().contains("no socket"));
    assert_eq!(fs::read_link(&site.socket).unwrap(), Path::new("nowhere"));
    fs::remove_file(&site.socket).unwrap();

    fs::remove_dir(site.socket.parent().unwrap()).unwrap();
    assert!(site.complaint().contains(&line), "a directory is not made");
}

#[test]
fn ht_18_the_gate_the_seats_and_the_host_are_those_of_a_port() {
    let site = Site::with("max_connections = 1\nallowed_hosts = ['127.0.0.1', 'auth.example.org']");
    let server = site.serve();
    let mut port = TcpStream::connect(server.address()).unwrap();
    write!(port, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
    port.read_exact(&mut [0; 16]).unwrap();
    let both = "Host: auth.example.org\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n";
    for (headers, status) in [
        ("Host: auth.example.org\r\n", 200),
        ("Host: other.example.org\r\n", 421),
        ("", 400),
        (both, 400),
    ] {
        assert_eq!(get(&site.socket, "/healthz", headers).0, status, "{headers}");
    }
    // The one seat was the port's.
    port.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    port.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(site.workplace.run(&["healthcheck"]).output(), "healthy\n");
}

#[test]
fn ht_10_who_comes_over_a_unix_socket_is_one_source_unless_unix_is_trusted() {
    let named = "X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n";
    for (lines, headers, address) in [
        ("", named, Value::Null),
        ("trusted_proxies = 'unix'", "", Value::Null),
        ("trusted_proxies = 'unix'", named, "198.51.100.7".into()),
    ] {
        let site = Site::with(lines);
        site.workplace.add_user("root", PASSWORD, "admin");
        let server = site.serve();
        let access = server.client().login("root", PASSWORD).access;
        let headers = format!("Host: x\r\nAuthorization: Bearer {access}\r\n{headers}");
        let (status, body) = get(&site.socket, "/connection", &headers);
        let seen: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &seen["address"], &seen["peer"]), (200, &address, &Value::Null));
        assert_eq!(seen["peer_trusted"], !lines.is_empty());
    }
}
