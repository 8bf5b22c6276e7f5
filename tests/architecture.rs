//! The house: which room may name which, and who owns each outside crate.
//!
//! Goal: the direction of `lib.rs` stays true. Method: reads the paths in `src`, comments, texts and unit
//! tests left out. Whatever moves against the direction must change a table here, in sight of a review.

#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

/// Each room with the rooms below it that it may name; all may name `auth::model`.
const ROOMS: [(&str, &[&str]); 17] = [
    ("main", &["cli"]),
    ("lib", &[]),
    ("cli", &["app", "admin", "auth", "config", "password", "telemetry"]),
    (
        "app",
        &[
            "admin", "auth", "clock", "config", "http", "password", "random", "socket", "store",
            "throttle", "token",
        ],
    ),
    ("http", &["auth", "clock", "password", "random", "socket", "store", "throttle", "token"]),
    ("admin", &["auth", "clock", "password", "socket"]),
    ("auth", &["clock", "password", "random", "store", "throttle", "token"]),
    ("token", &["clock", "random", "store"]),
    ("store", &["clock", "random"]),
    ("password", &["random"]),
    ("throttle", &["clock"]),
    ("clock", &[]),
    ("random", &[]),
    ("socket", &[]),
    // What a level, an algorithm, a secret or a path must be is said by the rooms that use them.
    ("config", &["socket", "telemetry", "token"]),
    ("telemetry", &["config"]),
    // Built for fuzzing and tests alone; knows each room's targets by name.
    ("fuzz", &["auth", "http", "password", "store", "token"]),
];

/// The vocabulary that every room may name.
const MODEL: &str = "auth::model";

/// The crates that are named under one path only.
const OWNERS: [(&str, &str); 14] = [
    ("poem::", "src/http/"),
    ("poem_openapi::", "src/http/"),
    ("sled::", "src/store/sled/"),
    ("crc32fast::", "src/store/sled/"),
    ("jsonwebtoken::", "src/token/"),
    ("argon2::", "src/password/"),
    ("bcrypt::", "src/password/"),
    ("governor::", "src/throttle"),
    ("unicode_security::", "src/auth/model/"),
    ("figment::", "src/config/"),
    ("clap::", "src/cli/"),
    ("tracing_subscriber::", "src/telemetry"),
    ("::log::", "src/telemetry"),
    ("getrandom::", "src/random.rs"),
];

/// Calls that one file alone makes, or none: sled's asynchronous flush deadlocks with its log writer.
/// Passwords have one verifier, behind the one throttle.
const CALLS: [(&str, &str); 3] = [
    ("SystemTime::now", "src/clock.rs"),
    ("flush_async", ""),
    ("hasher.verify", "src/auth/credential.rs"),
];

/// What is secret, and compared in constant time if at all (PW-16).
const SECRETS: [&str; 8] = [
    "Password",
    "PasswordHash",
    "PlainPassword",
    "Secret",
    "SecretText",
    "TokenSecret",
    "Nonce",
    "StoredKey",
];

/// Lines of a file, its unit tests not counted.
const FILE_LINES_MAX: usize = 400;

/// A file of `src`.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        Self { path: path.to_str().unwrap().replace('\\', "/"), text }
    }

    /// The room, and how deep in the crate the module is: 1 for a room itself.
    fn place(&self) -> (&str, usize) {
        let module = self.path.trim_start_matches("src/").trim_end_matches(".rs");
        let module = module.trim_end_matches("/mod");
        (module.split('/').next().unwrap(), module.split('/').count())
    }

    fn is_test(&self) -> bool {
        ["/tests.rs", "/testing.rs"].iter().any(|end| self.path.ends_with(end))
    }

    /// The text up to the unit tests, which come last.
    fn untested(&self) -> &str {
        let starts = self.text.match_indices("#[cfg(test)]\n").map(|(start, _)| start);
        let mut modules = starts.filter(|start| {
            self.text[*start..].lines().nth(1).is_some_and(|line| line.ends_with("tests {"))
        });
        modules.next().map_or(self.text.as_str(), |start| &self.text[..start])
    }

    /// What is wrong with the file.
    fn breaches(&self) -> Vec<String> {
        let code = code(self.untested());
        let (room, depth) = self.place();
        let mut breaches = Vec::new();
        for (name, owner) in OWNERS {
            let is_named = starts(&code, name).next().is_some();
            if is_named && !self.path.starts_with(owner) {
                breaches.push(format!("{} names {name}, which {owner} owns", self.path));
            }
        }
        let Some((_, below)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            return vec![format!("{room} is no room of the table")];
        };
        for target in targets(&code, depth) {
            let other = target.split("::").next().unwrap();
            let is_fine = other == room || below.contains(&other) || target.starts_with(MODEL);
            // lib.rs declares the rooms, main.rs names the library by its own name.
            if !is_fine && room != "lib" {
                breaches.push(format!("{} names {target}", self.path));
            }
        }
        breaches.extend(self.comparisons(&code));
        for (name, owner) in CALLS {
            if code.contains(name) && self.path != owner {
                breaches.push(format!("{} calls {name}", self.path));
            }
        }
        breaches
    }
}

impl Source {
    /// Where secrets are compared byte by byte, by a derived `==` or by one on what they hold.
    fn comparisons(&self, code: &str) -> Vec<String> {
        let mut breaches = Vec::new();
        for name in SECRETS {
            for end in ["(", " {"] {
                let Some((before, _)) = code.split_once(&format!("struct {name}{end}")) else {
                    continue;
                };
                let attributes = before.rsplit(['}', ';']).next().unwrap();
                if attributes.contains("PartialEq") {
                    breaches.push(format!("{} derives == for {name}", self.path));
                }
            }
            let compares = code.split_once(&format!("impl PartialEq for {name} {{"));
            if compares.is_some_and(|(_, body)| !up_to_its_end(body).contains(".ct_eq(")) {
                breaches.push(format!("{} compares {name} in a time that tells", self.path));
            }
        }
        let compared =
            |line: &&str| line.contains("expose()") && (line.contains("==") || line.contains("!="));
        for line in code.lines().filter(compared) {
            breaches.push(format!("{} compares a secret: {}", self.path, line.trim()));
        }
        breaches
    }
}

/// What of `code` is before the line that closes its first item.
fn up_to_its_end(code: &str) -> &str {
    code.split_once("\n}").map_or(code, |(body, _)| body)
}

/// Where `name` starts a path.
fn starts<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    code.match_indices(name).filter_map(|(start, _)| {
        let before = code[..start].chars().next_back();
        let inside = before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        (!inside).then(|| &code[start + name.len()..])
    })
}

/// The paths into the crate that the code of a module at `depth` names, from the crate's root.
fn targets(code: &str, depth: usize) -> Vec<String> {
    let mut rests: Vec<&str> = starts(code, "crate::").chain(starts(code, "keystile::")).collect();
    let upward = "super::".repeat(depth);
    rests.extend(starts(code, &upward).map(|rest| rest.trim_start_matches("super::")));
    rests.into_iter().flat_map(heads).collect()
}

/// The paths that follow `crate::`: one, or those of a group.
fn heads(rest: &str) -> Vec<String> {
    let path = |text: &str| {
        let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
        text[..end.unwrap_or(text.len())].trim_end_matches(':').to_owned()
    };
    let Some(group) = rest.strip_prefix('{') else { return vec![path(rest)] };
    let (mut depth, mut heads, mut is_start) = (0, Vec::new(), true);
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            _ if is_start && !c.is_whitespace() => {
                heads.push(path(&group[index..]));
                is_start = false;
            }
            _ => {}
        }
    }
    heads
}

/// The code without comments and texts.
fn code(text: &str) -> String {
    let (mut code, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(['/', '"', '\'']) {
        let (before, at) = rest.split_at(start);
        code.push_str(before);
        let skipped = if at.starts_with("//") {
            at.find('\n').unwrap_or(at.len())
        } else if at.starts_with("'\"'") || at.starts_with("'\\\"'") {
            at[1..].find('\'').unwrap() + 2
        } else if at.starts_with('"') {
            text_len(before, at)
        } else {
            code.push_str(&at[..1]);
            1
        };
        rest = &at[skipped..];
    }
    code + rest
}

/// The length of the text literal that `at` starts with; `before` says whether it is a raw one.
fn text_len(before: &str, at: &str) -> usize {
    let hashes = before.len() - before.trim_end_matches('#').len();
    if before.trim_end_matches('#').ends_with('r') {
        let end = format!("\"{}", "#".repeat(hashes));
        return 1 + at[1..].find(&end).map_or(at.len() - 1, |index| index + end.len());
    }
    let mut escaped = false;
    for (index, c) in at.char_indices().skip(1) {
        match c {
            '"' if !escaped => return index + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    at.len()
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    // Tests run in the directory of the package.
    files(Path::new("src"), &mut found);
    let sources: Vec<_> = found.iter().map(|path| Source::read(path)).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

#[test]
fn every_room_names_only_those_below_it_and_no_crate_of_another() {
    let sources = sources();
    let breaches: Vec<_> =
        sources.iter().filter(|source| !source.is_test()).flat_map(Source::breaches).collect();
    assert!(breaches.is_empty(), "{breaches:#?}");
}

#[test]
fn every_module_opens_with_what_it_owns() {
    for source in sources() {
        assert!(source.text.starts_with("//!"), "{} does not open with //!", source.path);
    }
}

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    for source in sources().iter().filter(|source| !source.is_test()) {
        let lines = source.untested().lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", source.path);
    }
    let main = Source::read(Path::new("src/main.rs"));
    assert!(main.text.lines().count() < 40, "main.rs only starts what is elsewhere");
}

fn breaches(path: &str, text: &str) -> usize {
    Source { path: path.to_owned(), text: text.to_owned() }.breaches().len()
}

#[test]
fn the_scan_sees_a_breach_however_it_is_written() {
    for (path, text) in [
        ("src/auth/x.rs", "use crate::http::page;"),
        ("src/auth/x.rs", "fn f() { crate::http::f() }"),
        ("src/auth/x.rs", "use super::super::http::page;"),
        ("src/auth.rs", "use super::http;"),
        ("src/auth/x.rs", "use crate::{clock::Clock, http::{page, tag}};"),
        ("src/token/x.rs", "use crate::auth::Auth;"),
        ("src/token/x.rs", "use crate::auth::{model, Auth};"),
        ("src/http/x.rs", "use crate::config::Config;"),
        ("src/auth/x.rs", "use poem::Request;"),
        ("src/http/x.rs", "let text = \"//\"; sled::open();"),
        ("src/http/x.rs", "let c = '\"'; std::time::SystemTime::now()"),
        ("src/store/sled/x.rs", "tree.flush_async()"),
        ("src/auth/model/x.rs", "#[derive(Clone, PartialEq)]\npub struct Nonce([u8; 16]);"),
        ("src/store/x.rs", "use a::B;\n#[derive(PartialEq, Eq)]\npub struct StoredKey {"),
        ("src/auth/x.rs", "fn f() { hash.expose() == other }"),
        ("src/stranger.rs", ""),
    ] {
        assert_eq!(breaches(path, text), 1, "{path}: {text}");
    }
}

#[test]
fn the_scan_sees_none_where_there_is_none() {
    for (path, text) in [
        ("src/auth/x.rs", "use crate::store::Store; use super::Auth; use crate::auth::policy;"),
        ("src/auth/x.rs", "//! [`crate::http`] and sled::Tree\nfn f() {}"),
        ("src/auth/x.rs", "const TEXT: &str = \"poem:: \\\" crate::http::x\";"),
        ("src/auth/x.rs", "const TEXT: &str = r#\"a \"poem::x\" crate::http\"#; "),
        ("src/token/x.rs", "use crate::auth::model::id::UserId;"),
        ("src/app.rs", "use crate::store::sled::SledStore;"),
        ("src/http/body/x.rs", "use super::super::page::page_limit;"),
        ("src/http/x.rs", "use poem::Request;"),
        (
            "src/auth/x.rs",
            "#[derive(PartialEq)]\nstruct A(u8);\n#[derive(Clone)]\nstruct Nonce(u8);",
        ),
        ("src/auth/x.rs", "#[derive(PartialEq)]\nstruct NonceOfOthers(u8);"),
        ("src/auth/x.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n use crate::http;\n}"),
    ] {
        assert_eq!(breaches(path, text), 0, "{path}: {text}");
    }
}
