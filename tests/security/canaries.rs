//! Secrets, planted wherever something can be sent, and looked for in all that the real binary writes.
//!
//! Method: everything planted has one word in it, which then must be nowhere: not in the log at its most
//! detailed, the libraries' lines included, not in any file of the data directory, and not in what the operator
//! reads. Tokens and encodings are looked for besides.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::access::operations;
use crate::support::client::{Answer, Pair};
use crate::support::{Server, Workplace};

/// In all that is planted, in small letters.
const WORD: &str = "heron";
const PASSWORD: &str = "quiet Heron at the lake";
const SUCCESSOR: &str = "quiet Heron leaves the lake";
const WRONG: &str = "wrong Heron at the lake";
const SECRET: &str = "heron-9c7d1f3a5b8e2460c1d3f5a7b9e0d2c4f6a8";
const CLIENT: &str = "Heron-client:Heron-client-secret";
const COOKIE: &str = "session=Heron-cookie";
const QUERY: &str = "password=Heron-in-a-query&access_token=Heron-too&code=Heron-code";

const CONFIG: &str = "[log]\nlevel = 'trace,hyper=trace,sled=trace'\n\
                      [tokens]\nalgorithm = 'HS256'\nsecret_file = 'secret'\n[throttle]\nenabled = false\n\
                      [passwords]\nmemory_kib = 12288\niterations = 3\n";

/// Calls every operation there is with canaries in every place, as nobody and as an administrator.
fn sow(server: &Server, pairs: &mut Vec<Pair>) {
    let basic = format!("Basic {}", STANDARD.encode(CLIENT));
    let bodies = [
        json!({ "username": PASSWORD, "email": PASSWORD, "password": WRONG, "Heron": SECRET }),
        json!({ "current_password": WRONG, "new_password": PASSWORD }),
        json!({ "title": 1, "content": [SECRET] }),
    ];
    let form = [
        ("grant_type", "password"),
        ("username", PASSWORD),
        ("password", WRONG),
        ("token", "Heron.heron.heron"),
        ("client_secret", CLIENT),
    ];
    for operation in operations() {
        let path = operation.path.replace("{id}", "Heron-id");
        // The one before may have ended its session.
        pairs.push(server.client().login("root", PASSWORD));
        let bearer = format!("Bearer {}", pairs.last().unwrap().access);
        let to = |query: &str| {
            let path = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
            server.client().call(operation.method.parse().unwrap(), &path).header("cookie", COOKIE)
        };
        for authorization in [&basic, "Bearer Heron.heron.heron", "Heron", &bearer] {
            to("").header("authorization", authorization).send();
            to(QUERY).header("authorization", authorization).send();
            to("").header("authorization", authorization).header("authorization", &basic).send();
            if operation.method == "GET" || operation.method == "DELETE" {
                continue;
            }
            to("").header("authorization", authorization).form(&form);
            for body in &bodies {
                to("").header("authorization", authorization).json(body);
            }
            to("").header("authorization", authorization).body("application/json", PASSWORD);
        }
    }
}

/// Does with canaries for passwords what users do; the tokens that were handed out.
fn grow(workplace: &Workplace, server: &Server) -> Vec<Pair> {
    let client = server.client();
    let post = |path: &str, access: &str, body: Value| -> Answer {
        client.post(path).bearer(access).json(&body)
    };
    client.register("alice", PASSWORD);
    let mut pairs = vec![client.login("alice", PASSWORD)];
    let signup = json!({ "fullname": "B", "email": "b@example.org", "password": PASSWORD });
    pairs.push(Pair::of(&client.post("/user/signup").json(&signup).expect(200)));
    let next = client.post("/refresh").bearer(&pairs[0].refresh).send().expect(200);
    pairs.push(Pair::of(&next));
    let change = |current| json!({ "current_password": current, "new_password": SUCCESSOR });
    post("/users/me/password", &pairs[2].access, change(WRONG)).expect(400);
    post("/users/me/password", &pairs[2].access, change(PASSWORD)).expect(204);
    client.get("/users").bearer(&pairs[2].access).send().expect(403);
    workplace.add_user("root", PASSWORD, "admin");
    let root = client.login("root", PASSWORD);
    let user = json!({ "username": "carol", "password": PASSWORD });
    let carol = post("/users", &root.access, user).expect(201);
    let path = format!("/users/{}", carol["id"].as_str().unwrap());
    let edit = client.call("PATCH".parse().unwrap(), &path).bearer(&root.access);
    edit.json(&json!({ "password": SUCCESSOR })).expect(200);
    let token = [("token", pairs[2].access.as_str())];
    client.post("/introspect").bearer(&root.access).form(&token).expect(200);
    let token = [("token", pairs[1].refresh.as_str())];
    client.post("/revoke").form(&token).expect(200);
    let leave = client.call("DELETE".parse().unwrap(), "/users/me").bearer(&pairs[2].access);
    leave.json(&json!({ "password": SUCCESSOR })).expect(204);
    pairs.push(root);
    pairs
}

/// What must be nowhere, in small letters: the word, the tokens and their ends, and what else stands for a secret.
fn forbidden(pairs: &[Pair]) -> Vec<String> {
    let mut forbidden = vec![WORD.to_owned()];
    for secret in [PASSWORD, SUCCESSOR, WRONG, SECRET, CLIENT] {
        forbidden.extend([STANDARD.encode(secret), URL_SAFE_NO_PAD.encode(secret)]);
        forbidden.push(format!("{:?}", secret.as_bytes()));
    }
    for token in pairs.iter().flat_map(|pair| [&pair.access, &pair.refresh]) {
        let [_, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
            panic!("no token")
        };
        forbidden.extend([payload.to_owned(), signature.to_owned()]);
    }
    forbidden.into_iter().map(|text| text.to_lowercase()).collect()
}

#[track_caller]
fn is_clean(what: &str, bytes: &[u8], forbidden: &[String]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    for secret in forbidden {
        if let Some(at) = text.find(secret.as_str()) {
            let around: String = text[..at].chars().rev().take(300).collect();
            let around: String = around.chars().rev().collect();
            panic!("{secret} is in {what}, after {around}");
        }
    }
}

#[track_caller]
fn files_are_clean(data: &Path, forbidden: &[String]) {
    let files = files(data);
    // The search finds what is there.
    for text in [&b"carol"[..], b"$argon2id$"] {
        let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(files.iter().any(|(_, bytes)| has(bytes)));
    }
    for (path, bytes) in &files {
        is_clean(path, bytes, forbidden);
    }
}

/// All bytes of all files below `directory`; a file may go while the server runs.
fn files(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.extend(fs::read(&path).ok().map(|bytes| (path.display().to_string(), bytes)));
        }
    }
    found
}

#[test]
fn a143_no_canary_is_in_the_log_the_files_or_what_the_operator_reads() {
    let workplace = Workplace::new();
    workplace.write("config.toml", CONFIG);
    workplace.write("secret", SECRET);
    let server = workplace.serve();
    let mut pairs = grow(&workplace, &server);
    sow(&server, &mut pairs);
    let forbidden = forbidden(&pairs);

    for arguments in
        [&["audit"][..], &["audit", "--json"], &["users", "list", "--json"], &["export", "-"]]
    {
        let read = workplace.run(arguments);
        is_clean(&arguments.join(" "), read.output().as_bytes(), &forbidden);
        is_clean("its standard error", read.stderr.as_bytes(), &forbidden);
    }
    files_are_clean(&workplace.data(), &forbidden);
    let log = server.stop().stderr;
    files_are_clean(&workplace.data(), &forbidden);
    for told in ["/users/me/password", "access_denied", "login_failed", "password_changed"] {
        assert!(log.contains(told), "{told}");
    }
    assert!(!log.contains("lines were lost") && !log.contains("left out"));
    is_clean("the log", log.as_bytes(), &forbidden);
}
