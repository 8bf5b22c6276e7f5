//! Who is calling when proxies may stand between, and scripts of other origins: the real binary, with a test in
//! the place of the proxy.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::support::client::Answer;
use crate::support::{CHEAP_HASHES, Server, Workplace};

const PASSWORD: &str = "correct horse battery";
const LOOPBACK: &str = "127.0.0.1";

/// A server with an administrator's token.
struct Site {
    server: Server,
    access: String,
    _workplace: Workplace,
}

impl Site {
    /// One with these lines under `[server]`.
    fn with(lines: &str) -> Self {
        let workplace = Workplace::new();
        workplace.write("config.toml", &format!("{CHEAP_HASHES}[server]\n{lines}"));
        workplace.add_user("root", PASSWORD, "admin");
        let server = workplace.serve();
        let access = server.client().login("root", PASSWORD).access;
        Self { server, access, _workplace: workplace }
    }

    /// What it makes of the connection of a request with these headers.
    #[track_caller]
    fn connection(&self, headers: &[(&str, &str)]) -> Value {
        self.server.client().connection(&self.access, headers)
    }

    /// The address that it takes for the client's.
    #[track_caller]
    fn address(&self, headers: &[(&str, &str)]) -> String {
        self.connection(headers)["address"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a108_nobody_is_believed_who_is_not_listed() {
    for lines in ["", "trusted_proxies = ['10.0.0.0/8', 'unix']"] {
        let site = Site::with(lines);
        for (name, value) in [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "127.0.0.1, 10.0.0.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x_real_ip", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
        ] {
            assert_eq!(site.address(&[(name, value)]), LOOPBACK, "{name}: {value}");
        }
    }
}

#[test]
fn a108_of_a_proxys_hops_the_nearest_stranger_is_the_client() {
    let site = Site::with("trusted_proxies = ['127.0.0.0/8', '10.0.0.0/8']");
    let many = format!("{}198.51.100.7", "6.6.6.6,".repeat(1000));
    for (line, address) in [
        ("198.51.100.7", "198.51.100.7"),
        ("6.6.6.6, 198.51.100.7", "198.51.100.7"),
        ("127.0.0.1, 198.51.100.7, 10.1.2.3, 127.0.0.1", "198.51.100.7"),
        ("<script>, 198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        (&many, "198.51.100.7"),
        ("10.0.0.9, 10.0.0.8", "10.0.0.9"),
        // A malformed one is as good as none (HT-10).
        ("198.51.100.7, x", LOOPBACK),
        ("unknown", LOOPBACK),
        ("198.51.100.7,", LOOPBACK),
        ("for=198.51.100.7", LOOPBACK),
    ] {
        assert_eq!(site.address(&[("x-forwarded-for", line)]), address, "{line:.60}");
    }
    let twice = [("x-forwarded-for", "198.51.100.7"), ("X-Forwarded-For", "198.51.100.7")];
    assert_eq!(site.address(&twice), LOOPBACK);
    for other in ["x-real-ip", "forwarded", "x_forwarded_for"] {
        assert_eq!(site.address(&[(other, "198.51.100.7")]), LOOPBACK, "{other}");
    }
    let site = Site::with("trusted_proxies = '127.0.0.1'\nclient_ip_header = 'x-real-ip'");
    let both = [("x-real-ip", "198.51.100.7"), ("x-forwarded-for", "6.6.6.6")];
    assert_eq!(site.address(&both), "198.51.100.7");
}

#[test]
fn ht_09_sessions_note_the_client_and_not_the_proxy() {
    let site = Site::with("trusted_proxies = '127.0.0.1'");
    let form = [("username", "root"), ("password", PASSWORD)];
    let call =
        site.server.client().post("/token").header("x-forwarded-for", "6.6.6.6, 198.51.100.7");
    let pair = call.form(&form).expect(200);
    let access = pair["access_token"].as_str().unwrap();
    let sessions = site.server.client().get("/users/me/sessions").bearer(access).send().expect(200);
    let own = sessions.as_array().unwrap().iter().find(|session| session["current"] == true);
    assert_eq!(own.unwrap()["ip"], "198.51.100.7");
}

#[test]
fn lg_02_the_line_of_a_request_says_which_client_sent_it() {
    let site = Site::with("trusted_proxies = '127.0.0.1'");
    let call = site.server.client().get("/users/me").bearer("no token of ours");
    call.header("x-forwarded-for", "6.6.6.6, 198.51.100.7").send().expect(401);
    let line: Value = serde_json::from_str(&site.server.await_line("\"status\":401")).unwrap();
    assert_eq!(line["ip"], "198.51.100.7");
    site.server.client().get("/nowhere").send().expect(404);
    let line: Value = serde_json::from_str(&site.server.await_line("\"status\":404")).unwrap();
    assert_eq!(line["ip"], LOOPBACK);
}

#[test]
fn a035_a_hundred_failures_through_a_proxy_lock_the_password() {
    let site = Site::with("trusted_proxies = '127.0.0.1'");
    site.server.client().register("alice", PASSWORD);
    let tried = |password: &str, from: u32| {
        let address = std::net::Ipv4Addr::from(0xc633_6400 + from).to_string();
        let call = site.server.client().post("/token").header("x-forwarded-for", &address);
        call.form(&[("username", "alice"), ("password", password)])
    };
    for from in 0..100 {
        tried("correct horse shoes", from).expect(400);
    }
    let (wrong, right) = (tried("correct horse shoes", 100), tried(PASSWORD, 101));
    assert_eq!((wrong.status, right.status), (400, 400));
    let told = |answer: &str| -> Value {
        let mut body: Value = serde_json::from_str(answer).unwrap();
        body["request_id"] = Value::Null;
        body
    };
    assert_eq!(told(&wrong.text), told(&right.text));
}

#[test]
fn a108_what_a_proxy_says_of_scheme_and_host_changes_nothing() {
    let site = Site::with("trusted_proxies = '127.0.0.1'");
    let path = "/.well-known/oauth-authorization-server";
    let plain = site.server.client().get(path).send();
    let call = site.server.client().get(path).header("x-forwarded-proto", "https");
    let claimed =
        call.header("x-forwarded-host", "evil.example").header("x-forwarded-port", "1").send();
    assert_eq!(plain.text, claimed.text);
    assert_eq!(claimed.header("strict-transport-security"), None);
}

#[test]
fn the_operator_is_shown_what_is_perceived_and_nothing_that_is_not() {
    let site = Site::with("trusted_proxies = ['127.0.0.1', '10.0.0.0/8']");
    let seen = site.connection(&[
        ("x-forwarded-for", "<script>, 198.51.100.7:99, 10.0.0.1"),
        ("x-forwarded-proto", "https"),
    ]);
    let remarks = seen["remarks"].as_array().unwrap();
    assert_eq!(remarks.len(), 2, "{seen}");
    assert!(remarks[1].as_str().unwrap().contains("X-Forwarded-Proto"));
    let mut rest = seen.clone();
    rest.as_object_mut().unwrap().remove("remarks");
    let expected = json!({
        "address": "198.51.100.7",
        "peer": LOOPBACK,
        "peer_trusted": true,
        "header": "x-forwarded-for",
        "hops": [
            { "address": "10.0.0.1", "trusted": true },
            { "address": "198.51.100.7", "trusted": false },
            { "address": null, "trusted": false },
        ],
        "scheme": "http",
        "forwarded_scheme": "https",
    });
    assert_eq!(rest, expected);
    let many = site.connection(&[("x-forwarded-for", &"x,".repeat(4000))]);
    assert_eq!(many["hops"].as_array().unwrap().len(), 32);
    let odd = site.connection(&[("x-forwarded-proto", "gopher")]);
    assert_eq!((&odd["forwarded_scheme"], &odd["hops"]), (&Value::Null, &json!([])));
    let unlisted = Site::with("").connection(&[("x-forwarded-for", "198.51.100.7")]);
    assert!(unlisted["remarks"].to_string().contains("server.trusted_proxies"), "{unlisted}");
    let other = site.connection(&[("x-real-ip", "198.51.100.7")]);
    assert!(other["remarks"].to_string().contains("server.client_ip_header"), "{other}");
}

/// The headers of an answer that are about other origins.
fn allowed(answer: &Answer) -> Vec<(String, String)> {
    let names = answer.headers.keys().map(|name| name.as_str().to_owned());
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with("access-control-") || name == "vary").collect();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), answer.header(&name).unwrap().to_owned())).collect()
}

/// What is said to a script of this origin that reads, and to its browser that asks beforehand.
fn said_to(site: &Site, origin: &str) -> [Answer; 2] {
    let client = site.server.client();
    let read = client.get("/users/me").header("origin", origin).bearer(&site.access).send();
    let asked = client.call(Method::OPTIONS, "/users/me").header("origin", origin);
    [read, asked.header("access-control-request-method", "PATCH").send()]
}

#[test]
fn ht_11_without_a_list_no_origin_is_told_anything() {
    let site = Site::with("");
    for origin in ["https://app.example.org", "null", "http://127.0.0.1:8000"] {
        let [read, asked] = said_to(&site, origin);
        assert_eq!((read.status, asked.status), (200, 405));
        assert_eq!((allowed(&read), allowed(&asked)), (vec![], vec![]));
    }
}

#[test]
fn ht_11_a_listed_origin_is_allowed_and_every_cache_is_told() {
    let site = Site::with("cors_origins = ['https://app.example.org', 'http://localhost:3000']");
    let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for origin in ["https://app.example.org", "http://localhost:3000"] {
        let [read, asked] = said_to(&site, origin);
        assert_eq!((read.status, asked.status, asked.text.as_str()), (200, 204, ""));
        let both = [
            row("access-control-allow-origin", origin),
            row("access-control-expose-headers", "retry-after, www-authenticate, x-request-id"),
            row("vary", "Origin"),
        ];
        assert_eq!(allowed(&read), both);
        let [origin, exposed, vary] = both;
        let expected = [
            row("access-control-allow-headers", "authorization, content-type"),
            row("access-control-allow-methods", "DELETE, GET, HEAD, PATCH"),
            origin,
            exposed,
            row("access-control-max-age", "600"),
            vary,
        ];
        assert_eq!(allowed(&asked), expected);
    }
    for origin in [
        "https://evil.example",
        "null",
        "*",
        "https://APP.example.org",
        "https://app.example.org:443",
        "https://app.example.org.evil.example",
        "http://app.example.org",
        "",
    ] {
        let [read, asked] = said_to(&site, origin);
        assert_eq!((read.status, asked.status), (200, 405), "{origin}");
        let vary = vec![row("vary", "Origin")];
        assert_eq!((allowed(&read), allowed(&asked)), (vary.clone(), vary), "{origin}");
    }
    let client = site.server.client();
    let twice = client.get("/healthz").header("origin", "https://app.example.org");
    let twice = twice.header("origin", "http://localhost:3000").send();
    assert_eq!(allowed(&twice), [row("vary", "Origin")]);
    let refused = client.get("/users/me").header("origin", "https://app.example.org").send();
    assert_eq!((refused.status, allowed(&refused).len()), (401, 3), "a refusal can be read, too");
    let preflight =
        client.call(Method::OPTIONS, "/nowhere").header("origin", "https://app.example.org");
    let nowhere = preflight.header("access-control-request-method", "GET").send();
    assert_eq!(nowhere.status, 404);
    // Without the question it is a method like any other.
    let options =
        client.call(Method::OPTIONS, "/users/me").header("origin", "https://app.example.org");
    assert_eq!(options.send().status, 405);
}
