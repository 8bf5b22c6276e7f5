//! The commands that ask nothing of the data, the exit statuses, and what the first start says.

use std::process::Stdio;

use serde_json::Value;

use crate::PASSWORD;
use crate::support::{Server, Workplace, run};

#[test]
fn wrong_usage_is_status_2_and_help_is_status_0() {
    let workplace = Workplace::new();
    for wrong in [&["--nonsense"][..], &["nonsense"], &["users"], &["users", "add"]] {
        let ended = workplace.run(wrong);
        assert_eq!((ended.status, ended.stdout.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(ended.stderr.contains("Usage:"), "{}", ended.stderr);
    }
    assert_eq!(workplace.run(&["users", "show", "nobody"]).status, Some(1));
    let version = workplace.run(&["--version"]);
    assert_eq!(version.output(), concat!("keystile ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn help_names_every_command_and_each_explains_itself() {
    let workplace = Workplace::new();
    let help = workplace.run(&["--help"]);
    let (_, list) = help.output().split_once("Commands:\n").unwrap();
    let (list, _) = list.split_once("\n\n").unwrap();
    let named: Vec<_> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(
        named,
        [
            "serve",
            "users",
            "audit",
            "keys",
            "export",
            "import",
            "check",
            "compact",
            "config",
            "openapi",
            "healthcheck",
            "help"
        ]
    );
    for command in named.into_iter().filter(|&name| name != "help") {
        let help = workplace.run(&[command, "--help"]);
        assert!(help.output().contains("Usage: keystile "), "{help:?}");
    }
    for arguments in [&["users", "add", "--help"][..], &["config", "check", "--help"]] {
        let help = workplace.run(arguments);
        for flag in ["--config", "--data", "--json"] {
            assert!(help.output().contains(flag), "{help:?}");
        }
    }
}

#[test]
fn the_first_start_says_what_there_is_and_what_to_do_next() {
    let workplace = Workplace::new();
    let first = workplace.serve();
    let address = first.address();
    let said = first.stop().stderr;
    let data = workplace.data().canonicalize().unwrap();
    for expected in [
        format!("listening  http://{address}   Swagger UI: http://{address}/docs"),
        format!("data       {} (new, with a new signing key)", data.display()),
        "hashing at a time, at most ".to_owned(),
        "users add alice --role admin".to_owned(),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    workplace.add_user("alice", PASSWORD, "admin");
    let said = workplace.serve().stop().stderr;
    assert!(!said.contains("(new") && !said.contains("users add"), "{said}");
}

#[test]
fn the_next_step_leads_to_the_data_that_the_environment_names() {
    let workplace = Workplace::new();
    let elsewhere = workplace.path("elsewhere");
    let mut command = workplace.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("KEYSTILE_STORAGE__PATH", &elsewhere);
    let said = Server::start(command).stop().stderr;
    let step = format!("--data {} users add alice", elsewhere.display());
    assert!(said.contains(&step), "{said}");
}

#[test]
fn the_document_is_the_one_that_the_server_serves() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let answer = server.client().get("/openapi.json").send();
    assert_eq!(workplace.run(&["openapi"]).output().trim_end(), answer.text);
    let yaml: Value = serde_yaml::from_str(workplace.run(&["openapi", "--yaml"]).output()).unwrap();
    assert_eq!(yaml, answer.expect(200));
}

#[test]
fn the_health_check_tells_a_well_server_from_none() {
    let workplace = Workplace::new();
    let server = workplace.serve();
    let address = server.address();
    let at =
        |path: &str| workplace.run(&["healthcheck", "--url", &format!("http://{address}{path}")]);
    assert_eq!(at("/readyz").output(), "healthy\n");
    assert!(at("/nowhere").complaint().contains("answers 404"));
    // As in a container: it asks the address that the server is configured to listen on.
    let configured = || {
        let mut command = workplace.command(&["healthcheck", "--json"]);
        command.env("KEYSTILE_SERVER__LISTEN", address.to_string());
        run(command, "")
    };
    assert!(configured().output().contains("\"healthy\": true"));
    server.stop();
    assert!(configured().complaint().contains("no answer"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let workplace = Workplace::new();
    let mut command = workplace.command(&["openapi"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The document is longer than what a pipe holds, so that the command meets the closed end.
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), vec![]));
}
