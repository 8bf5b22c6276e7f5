//! The real binary from outside: what another user sees of it, and what nobody becomes on a fresh one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Signal, geteuid};
use serde_json::{Value, json};

use crate::support::{Server, Workplace, clean};

const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "9c7d1f3a5b8e2460c1d3f5a7b9e0d2c4f6a8b0c2d4e6f80123456789abcdef42";
/// A user without rights.
const NOBODY: u32 = 65534;

/// A server of an unprivileged user with a secret in its environment, started in a directory that is theirs.
fn unprivileged(workplace: &Workplace) -> Server {
    let binary = workplace.path("keystile");
    // Not by this process: a child that another test forks meanwhile would hold the file open for writing.
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_keystile")).arg(&binary).status();
    assert!(copied.unwrap().success());
    let directory = binary.parent().unwrap();
    let mut command = Command::new(&binary);
    clean(&mut command, directory);
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("SECRET_KEY", SECRET);
    if geteuid().is_root() {
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    Server::start(command)
}

/// A command of that user.
fn theirs(name: &str, argument: &str) -> Command {
    let mut command = Command::new(name);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Whether another process of the same user reads this file of process `pid`.
fn reads(pid: u32, file: &str) -> bool {
    theirs("cat", &format!("/proc/{pid}/{file}")).status().unwrap().success()
}

#[test]
fn a142_another_process_of_the_same_user_reads_nothing_of_it() {
    let workplace = Workplace::new();
    let server = unprivileged(&workplace);
    let (pid, mut other) = (server.pid(), theirs("sleep", "60").spawn().unwrap());
    for file in ["environ", "maps", "auxv"] {
        assert!(reads(other.id(), file), "any other process shows its {file}");
        assert!(!reads(pid, file), "{file}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(!arguments.contains(SECRET));
    let document = server.client().get("/openapi.json").send();
    assert!(!document.text.contains(SECRET));
}

/// Neither a secret nor its file can be given as an argument, where every user of the host would read it.
#[test]
fn ky_04_no_argument_takes_a_secret() {
    let workplace = Workplace::new();
    let (mut commands, mut flags) = (vec![Vec::<String>::new()], BTreeSet::new());
    while let Some(command) = commands.pop() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let help = workplace.run(&arguments);
        let help = help.output();
        let words = help.split_whitespace().filter(|word| word.starts_with("--"));
        flags.extend(words.map(|flag| flag.trim_end_matches([',', '.', ')']).to_owned()));
        let below = help.split_once("\nCommands:\n").map_or("", |(_, below)| below);
        let below = below.lines().take_while(|line| !line.is_empty());
        let below = below.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
        for name in below.filter(|name| *name != "help") {
            commands.push([&command[..], &[name.to_owned()]].concat());
        }
    }
    // Of the deepest of them, too.
    assert!(flags.contains("--drop-old"), "{flags:?}");
    for flag in flags {
        assert!(!flag.contains("secret") && !flag.contains("key"), "{flag}");
        assert!(!flag.contains("password") || flag == "--password-stdin", "{flag}");
    }
}

#[test]
fn a149_an_abort_leaves_no_core() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    let values: Vec<_> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(values, ["0", "0"]);
    server.signal(Signal::ABORT);
    assert_eq!(server.wait().signal, Some(6));
    let left = fs::read_dir(workplace.path(".")).unwrap();
    assert!(left.map(|entry| entry.unwrap().file_name()).all(|name| name != "core"));
}

/// What the example says, and what is guessed first.
#[test]
fn bo_01_no_account_is_there_before_somebody_makes_one() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let client = server.client();
    let document: Value = client.get("/openapi.json").send().expect(200);
    let example = &document["components"]["schemas"]["Registration"]["example"];
    let example = ["username", "password"].map(|name| example[name].as_str().unwrap());
    for [name, password] in
        [example, ["admin", "admin"], ["admin", "password"], ["root", "root"], ["keystile"; 2]]
    {
        client.post("/token").form(&[("username", name), ("password", password)]).expect(400);
    }
    let list = workplace.run(&["users", "list", "--json"]);
    assert_eq!(list.output().trim(), "[]");
}

/// On a fresh server and on a restored one, by every way in, and with everything that a request can claim.
#[test]
fn a144_nobody_becomes_an_administrator_over_the_network() {
    let fresh = Workplace::new();
    let server = fresh.serve();
    assert_no_administrator(&server, "fresh");
    fresh.run(&["export", "dump.jsonl"]).output();
    server.stop();
    fresh.run(&["import", "dump.jsonl", "--data", "restored"]).output();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", "restored"];
    assert_no_administrator(&Server::start(fresh.command(&arguments)), "restored");
}

/// Neither by its name nor by what it may do is a role an administrator's and every stranger's at once.
#[test]
fn bo_03_no_configuration_makes_every_stranger_an_administrator() {
    let workplace = Workplace::new();
    for (roles, key) in [
        ("default = ['admin']", "roles.default"),
        ("default = ['user', 'admin']", "roles.default"),
        ("default = ['user', 'x']\nscopes.x = ['*']", "roles.default"),
        ("default = ['x']\nscopes.x = ['me', 'users:write']", "roles.default"),
        ("scopes.user = ['*']", "roles.scopes.user"),
        ("scopes.user = ['users:write']", "roles.scopes.user"),
    ] {
        for (registration, is_refused) in
            [("", true), ("registration = 'open'", true), ("registration = 'closed'", false)]
        {
            let text = format!("[users]\n{registration}\n[roles]\n{roles}\n");
            workplace.write("config.toml", &text);
            let ended = workplace.run(&["config", "check"]);
            if is_refused {
                assert!(ended.complaint().contains(key), "{text}: {}", ended.complaint());
            } else {
                ended.output();
            }
        }
    }
}

/// What the service is called, wherever the configuration says it, is the first guess.
#[test]
fn pw_09_no_name_of_the_service_is_a_password() {
    let workplace = Workplace::new();
    let config = "[server]\npublic_url = 'https://login.acme.example'\n\
                  [tokens]\nissuer = 'https://ID.acme.example:444/realm'\naudience = 'acme-readers'\n";
    workplace.write("config.toml", config);
    let server = workplace.serve();
    let client = server.client();
    client.register("ann", PASSWORD);
    let pair = client.login("ann", PASSWORD);
    for (index, name) in [
        "keystile",
        "KeyStile",
        "login.acme.example",
        "id.acme.example",
        "https://id.acme.example:444/realm",
        "Acme-Readers",
    ]
    .iter()
    .enumerate()
    {
        let account = json!({ "username": format!("user-{index}"), "password": name });
        let refused = client.post("/auth/").json(&account).expect(422);
        assert_eq!(refused["code"], "weak_password", "{name}");
        assert!(refused["detail"].as_str().unwrap().contains("name of this service"), "{name}");
        let change = json!({ "current_password": PASSWORD, "new_password": name });
        client.post("/users/me/password").bearer(&pair.access).json(&change).expect(422);
        let more = json!({ "username": format!("user-{index}"), "password": format!("{name} 2") });
        client.post("/auth/").json(&more).expect(201);
    }
    client.login("ann", PASSWORD);
}

fn assert_no_administrator(server: &Server, prefix: &str) {
    let client = server.client();
    let name = |index: u32| format!("{prefix}-{index}@example.com");
    for (index, more) in
        [json!({ "roles": ["admin"] }), json!({ "role": "admin" })].iter().enumerate()
    {
        let mut body = json!({ "username": format!("{prefix}-x{index}"), "password": PASSWORD });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.post("/auth/").json(&body).expect(400);
    }
    client.register(&name(0), PASSWORD);
    let signup = json!({ "fullname": "admin", "email": name(1), "password": PASSWORD });
    client.post("/user/signup").json(&signup).expect(200);
    for index in 0..2 {
        let pair = client.login(&name(index), PASSWORD);
        client.get("/admin").bearer(&pair.access).send().expect(403);
        let me = client.get("/users/me").bearer(&pair.access).send().expect(200);
        assert_eq!(me["roles"], json!(["user"]));
    }
    for path in ["/bootstrap", "/setup", "/install", "/admin/setup"] {
        client.post(path).json(&json!({})).expect(404);
    }
}
