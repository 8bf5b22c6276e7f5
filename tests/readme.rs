//! What README.md shows is what happens: its commands, run in one shell against the real binary, print what
//! stands below them.
//!
//! Each `bash` block that a `text` block follows is run. Ids, tokens and times are compared by their form.

#![cfg(test)]

#[path = "browser/keystile.rs"]
mod keystile;
#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "support/tools.rs"]
mod tools;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::keystile::{BINARY, Keystile};
use crate::tools::require;

const README: &str = include_str!("../README.md");
const CONFIG: &str = include_str!("../config.toml");

/// What the README has in the places of what is tested.
const ADDRESS: &str = "127.0.0.1:8000";
const PROGRAM: &str = "target/release/keystile";
/// Where the reader is asked to restart the server.
const RESTART: &str = "<!-- tests/readme.rs restarts the server here. -->";
/// What the shell says once a block is done.
const DONE: &str = "--- done ---";

/// What the reader does.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Restarts the server.
    Restart,
    /// Pastes the first text and sees the second.
    Paste(String, String),
}

#[test]
fn every_command_of_the_readme_prints_what_it_shows() {
    let has = |tool: &str| Command::new(tool).arg("--version").output().is_ok();
    if !["bash", "curl"].into_iter().all(|tool| require(tool, has(tool))) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("config.toml"), CONFIG).unwrap();
    let mut server = Keystile::start(&directory);
    let address = server.address.clone();
    let mut shell = Shell::start(directory.path());
    let steps = steps(README);
    for step in &steps {
        match step {
            Step::Restart => {
                drop(server);
                server = Keystile::start_at(directory.path(), &address);
            }
            Step::Paste(commands, shown) => {
                let printed =
                    shell.run(&commands.replace(ADDRESS, &address).replace(PROGRAM, BINARY));
                assert_eq!(formed(&printed), formed(shown), "after pasting:\n{commands}");
            }
        }
    }
    assert!(steps.contains(&Step::Restart), "the README restarts the server");
    assert!(steps.len() > 10, "the README has its session");
}

#[test]
fn ids_tokens_and_times_are_compared_by_their_form_and_nothing_else_is() {
    let one =
        r#"{"id":"01M801XJZ2MY378F63KCRH8ZNW","at":"2026-11-21T21:59:08.002Z","t":"eyJa.b.c"}"#;
    let other =
        r#"{"id":"01M801XKCCKXWJXPFVY3MSQ7S0","at":"2030-01-01T00:00:00.999Z","t":"eyJd.e.f"}"#;
    assert_eq!(formed(one), formed(other));
    for different in [
        r#"{"id":"01M801XJZ2","at":"2026-11-21T21:59:08.002Z","t":"eyJa.b.c"}"#,
        r#"{"id":"01M801XJZ2MY378F63KCRH8ZNW","at":"2026-11-21","t":"eyJa.b.c"}"#,
        r#"{"id":"01M801XJZ2MY378F63KCRH8ZNW","at":"2026-11-21T21:59:08.002Z","t":"a.b.c"}"#,
    ] {
        assert_ne!(formed(one), formed(different));
    }
}

/// The steps of a page, in its order.
fn steps(page: &str) -> Vec<Step> {
    let mut steps = vec![];
    let mut commands = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if line == RESTART {
                steps.push(Step::Restart);
            }
            continue;
        };
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        let block = block.join("\n");
        match language {
            "bash" => commands = Some(block),
            "text" => steps.push(Step::Paste(commands.take().unwrap(), block)),
            _ => {}
        }
    }
    assert_eq!(commands, None, "a bash block has no output below it");
    steps
}

/// `text` with every id, token and time replaced by what it is.
fn formed(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
    let mut formed = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_part) {
        let (between, word) = rest.split_at(start);
        let (word, after) = word.split_at(word.find(|c| !is_part(c)).unwrap_or(word.len()));
        formed.push_str(between);
        formed.push_str(form_of(word));
        rest = after;
    }
    formed + rest
}

fn form_of(word: &str) -> &str {
    const TIME: &str = "dddd-dd-ddTdd:dd:dd.dddZ";
    let is_time = || {
        word.len() == TIME.len()
            && word
                .chars()
                .zip(TIME.chars())
                .all(|(c, wanted)| if wanted == 'd' { c.is_ascii_digit() } else { c == wanted })
    };
    if word.starts_with("eyJ") {
        "TOKEN"
    } else if word.parse::<ulid::Ulid>().is_ok() {
        "ID"
    } else if is_time() {
        "TIME"
    } else {
        word
    }
}

/// One shell for the whole page, as its reader has.
struct Shell {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Shell {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new("bash")
            .current_dir(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    /// Pastes `commands`: what they print.
    fn run(&mut self, commands: &str) -> String {
        write!(self.input, "exec 2>&1\n{commands}\necho '{DONE}'\n").unwrap();
        let lines = self.output.by_ref().lines().map(Result::unwrap);
        lines.take_while(|line| line != DONE).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
