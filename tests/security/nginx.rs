//! A real nginx before the real binary, with connections between them that outlive a request: what one client
//! says must not become another one's request or answer, nor its address.
//!
//! Skipped with a message where `nginx` is missing, unless `KEYSTILE_TEST_REQUIRE_TOOLS` is 1.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::client::Client;
use crate::support::tools::require;
use crate::support::{CHEAP_HASHES, Server, Workplace, clean};

const PASSWORD: &str = "correct horse battery";
/// Where clients come from, and where nginx does.
const CLIENT: &str = "127.0.0.1";
const PROXY: &str = "127.0.0.9";
/// What must never be answered; its own route, so that the log would name it.
const SMUGGLED: &str = "GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server with nginx before it, and an administrator's token.
struct Site {
    nginx: Nginx,
    client: Client,
    access: String,
    address: SocketAddr,
    server: Server,
    workplace: Workplace,
}

/// Its command, if it is installed; says so if not. Debian keeps it where plain users do not look.
fn command() -> Option<Command> {
    let is_there = |path: &&str| Command::new(path).arg("-v").output().is_ok();
    let found = ["nginx", "/usr/sbin/nginx"].into_iter().find(is_there);
    require("nginx (Debian's package nginx-light)", found.is_some());
    found.map(Command::new)
}

impl Site {
    /// One whose proxy says with these words from where a request comes.
    fn with(forwarded_for: &str) -> Option<Self> {
        let mut command = command()?;
        let workplace = Workplace::new();
        workplace.write(
            "config.toml",
            &format!("{CHEAP_HASHES}[server]\ntrusted_proxies = '{PROXY}'\n"),
        );
        workplace.add_user("root", PASSWORD, "admin");
        let server = workplace.serve();
        // It takes a socket that listens already, so that nothing has to be waited for.
        let listener = TcpListener::bind((CLIENT, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let text = configuration(address, server.address(), forwarded_for);
        workplace.write("nginx.conf", &text);
        clean(&mut command, &workplace.path(""));
        command.args(["-e", "nginx.log", "-c", "nginx.conf", "-p"]).arg(workplace.path(""));
        command.env("NGINX", "0;").stdin(Stdio::from(OwnedFd::from(listener)));
        let nginx = Nginx(command.spawn().unwrap());
        let client = Client::new(address);
        let access = client.login("root", PASSWORD).access;
        Some(Self { nginx, client, access, address, server, workplace })
    }

    /// All that comes back for `bytes` on one connection.
    #[track_caller]
    fn answers(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // It may have seen enough.
        let _ = stream.write_all(bytes.as_bytes());
        let mut answers = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answers) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{bytes:.200}");
        }
        String::from_utf8(answers).unwrap()
    }

    /// How many connections stand between the two.
    fn connections(&self) -> usize {
        let port = self.server.address().port();
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let is_ours = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            // Established, and with the server at this end.
            fields[3] == "01" && fields[1].ends_with(&format!(":{port:04X}"))
        };
        table.lines().filter(is_ours).count()
    }

    /// Ends both; returns what each says in order of the requests that passed between them: id, status.
    fn said(mut self) -> [Vec<String>; 2] {
        self.nginx.end(Signal::QUIT);
        let passed = fs::read_to_string(self.workplace.path("passed.log")).unwrap();
        let passed = passed.lines().filter(|line| !line.starts_with('-')).map(str::to_owned);
        let log = self.server.stop().stderr;
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let requests = lines.filter(|line| line["status"].is_u64());
        let asked = requests
            .map(|line| format!("{} {}", line["request_id"].as_str().unwrap(), line["status"]));
        [passed.collect(), asked.collect()]
    }
}

/// Its process and that one's worker, which only the process itself can end.
struct Nginx(Child);

impl Nginx {
    fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.end(Signal::TERM);
        }
    }
}

/// As its manual has a proxy with connections that stay; a body goes on as it comes, the harder case.
fn configuration(listen: SocketAddr, upstream: SocketAddr, forwarded_for: &str) -> String {
    let own: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {kind};\n"))
        .concat();
    format!(
        "daemon off; pid nginx.pid; error_log nginx.log;\n\
         events {{}}\n\
         http {{\n{own}\
         log_format passed '$upstream_http_x_request_id $upstream_status';\n\
         access_log passed.log passed;\n\
         underscores_in_headers on; client_max_body_size 0; proxy_max_temp_file_size 0;\n\
         upstream keystile {{ server {upstream}; keepalive 1; }}\n\
         server {{ listen {listen}; location / {{\n\
         proxy_pass http://keystile; proxy_bind {PROXY}; proxy_http_version 1.1;\n\
         proxy_request_buffering off; proxy_set_header Connection '';\n\
         proxy_set_header Host $host; proxy_set_header X-Forwarded-For {forwarded_for};\n\
         }} }} }}\n"
    )
}

/// A request with these lines in its head, on a connection that ends with it.
fn request(line: &str, fields: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n{body}")
}

#[test]
fn ht_07_through_nginx_no_body_becomes_a_request_of_its_own() {
    let Some(site) = Site::with("$proxy_add_x_forwarded_for") else { return };
    let length = format!("Content-Length: {}\r\n", SMUGGLED.len());
    let chunked = "Transfer-Encoding: chunked\r\n";
    let chunk = format!("{:x};x=y\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let many = SMUGGLED.repeat(2000);
    let many_length = format!("Content-Length: {}\r\n", many.len());
    let attacks = [
        // Refused before anybody has asked for its body.
        request("POST /nowhere", &length, SMUGGLED),
        request("POST /nowhere", chunked, &chunk),
        request("POST /users/me", &length, SMUGGLED),
        request("POST /token", &format!("{form}{length}"), SMUGGLED),
        request("POST /token", &format!("{form}{many_length}"), &many),
        request("DELETE /users/me", chunked, &chunk),
        request("GET /healthz", &length, SMUGGLED),
        request("GET /healthz", chunked, &chunk),
        request("HEAD /healthz", &length, SMUGGLED),
        request("OPTIONS /token", &length, SMUGGLED),
        request("POST /posts", &format!("Expect: 100-continue\r\n{length}"), SMUGGLED),
        // Framed in two ways.
        request("POST /nowhere", &format!("{length}{chunked}"), &format!("0\r\n\r\n{SMUGGLED}")),
        request("POST /nowhere", &format!("Content_Length: 0\r\n{length}"), SMUGGLED),
        request("POST /nowhere", &format!("Transfer_Encoding: chunked\r\n{length}"), SMUGGLED),
        request("POST /nowhere", &format!("Content-Length: 0\r\n{length}"), SMUGGLED),
        request("POST /nowhere", "Transfer-Encoding: \x0bchunked\r\nContent-Length: 0\r\n", ""),
        request("POST /nowhere", "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n", ""),
        request(
            "POST /nowhere",
            &format!("X: y\rTransfer-Encoding: chunked\r\n{length}"),
            SMUGGLED,
        ),
        request("POST /nowhere", &format!("Connection: Content-Length\r\n{length}"), SMUGGLED),
        // One head in another, and what is no request of HTTP/1.1.
        request("GET /healthz%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aGET%20/x", "", ""),
        request("GET http://evil.example/healthz", "", ""),
        request("GET /healthz", "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n", ""),
        request("HEAD /openapi.json", "", ""),
        format!("GET /healthz HTTP/1.0\r\n{length}\r\n{SMUGGLED}"),
        "GET /healthz\r\n".to_owned(),
    ];
    for attack in &attacks {
        let answers = site.answers(attack);
        assert!(!answers.contains("\"keys\""), "{attack:.200}\n{answers}");
        // Whoever is next on the same connection gets an answer to what it asked.
        let honest = site.client.get("/users/me").bearer(&site.access).send().expect(200);
        assert_eq!(honest["username"], "root", "{attack:.200}");
    }
    let both = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n{SMUGGLED}");
    let answers = site.answers(&format!("{both}{}", request("GET /healthz", "", "")));
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 3, "{answers}");
    assert!(answers.contains("\"keys\""), "what is asked for openly is answered: {answers}");
    assert_ne!(site.connections(), 0, "none outlives its request");
    let [passed, asked] = site.said();
    assert!(asked.len() > 2 * attacks.len() - 10, "most of it went through nginx");
    assert_eq!(passed, asked);
}

#[test]
fn a108_through_nginx_a_forged_address_is_never_the_clients() {
    for forwarded_for in ["$proxy_add_x_forwarded_for", "$remote_addr"] {
        let Some(site) = Site::with(forwarded_for) else { return };
        let many = "6.6.6.6,".repeat(1000);
        let twice = [("x-forwarded-for", "1.1.1.1"), ("X-Forwarded-For", PROXY)];
        let forged: [&[(&str, &str)]; 12] = [
            &[],
            &[("x-forwarded-for", "1.1.1.1")],
            &[("x-forwarded-for", PROXY)],
            &[("x-forwarded-for", "<script>, [2001:db8::7]:4711")],
            &[("x-forwarded-for", "unknown,")],
            &[("x-forwarded-for", &many)],
            &twice,
            &[("x_forwarded_for", "1.1.1.1")],
            &[("x-real-ip", "1.1.1.1")],
            &[("forwarded", "for=1.1.1.1")],
            &[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example")],
            &[("connection", "x-forwarded-for"), ("x-forwarded-for", "1.1.1.1")],
        ];
        for headers in forged {
            let seen = site.client.connection(&site.access, headers);
            let [address, peer] = ["address", "peer"].map(|name| seen[name].as_str());
            assert_eq!((address, peer), (Some(CLIENT), Some(PROXY)), "{headers:.60?}: {seen}");
        }
        let page = "/users/me/sessions";
        let own = site.client.get(page).bearer(&site.access).send().expect(200);
        assert_eq!(own[0]["ip"], CLIENT);
    }
}
