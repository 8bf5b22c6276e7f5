//! Finds the tests in the sources: what stands below a test attribute, and what the stores' conformance lists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Names each conformance test, which carries no attribute of its own.
const CONFORMANCE: &str = "tests/store/main.rs";

/// Every test of the package as `path::name`.
pub fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    // Tests run in the directory of the package.
    for directory in ["src", "tests"] {
        collect(Path::new(directory), &mut found);
    }
    assert!(found.len() > 600, "the tests were not found");
    found
}

/// The number that a test is named after: `RT-04` of `rt_04_...`, `A79` of `a079_...`.
pub fn number(name: &str) -> Option<String> {
    let (first, rest) = name.split_once('_')?;
    let is_number =
        |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(attack) = first.strip_prefix('a').filter(|attack| is_number(attack, 3)) {
        return Some(format!("A{:0>2}", attack.trim_start_matches('0')));
    }
    let (second, _) = rest.split_once('_')?;
    let is_section = first.len() == 2 && first.bytes().all(|byte| byte.is_ascii_lowercase());
    (is_section && is_number(second, 2)).then(|| format!("{}-{second}", first.to_ascii_uppercase()))
}

fn collect(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let (text, path) = (fs::read_to_string(&path).unwrap(), path.to_str().unwrap());
            let listed = if path.starts_with("tests/store/") {
                fs::read_to_string(CONFORMANCE).unwrap()
            } else {
                String::new()
            };
            found.extend(named(&text, &listed).iter().map(|name| format!("{path}::{name}")));
        }
    }
}

/// The names of the tests in a file, of which `listed` names those without an attribute.
fn named<'a>(text: &'a str, listed: &str) -> Vec<&'a str> {
    let (mut names, mut is_test) = (Vec::new(), false);
    for line in text.lines().map(str::trim_start) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(name) = function(line) {
            let is_listed = || listed.lines().any(|line| line.trim() == format!("{name},"));
            if is_test || is_listed() {
                names.push(name);
            }
            is_test = false;
        }
    }
    names
}

/// The name of the function that a line begins.
fn function(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let rest = line.strip_prefix("fn ")?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
    (end > 0).then(|| &rest[..end])
}

#[test]
fn a_test_is_known_by_its_attribute_or_by_the_list() {
    let text = "#[test]\nfn one() {}\nfn helper() {}\n    #[tokio::test(flavor = \"x\")]\n    \
                #[cfg(unix)]\n    async fn two() {}\npub async fn three(store: S) {}\nfn four() {}";
    assert_eq!(named(text, "    three,\n"), ["one", "two", "three"]);
}

#[test]
fn a_number_is_read_off_a_name() {
    for (name, expected) in [
        ("rt_04_reuse_ends_it", Some("RT-04")),
        ("a079_the_same", Some("A79")),
        ("a003_a_public_key", Some("A03")),
        ("a160_a_client", Some("A160")),
        ("a_79_times", None),
        ("of_64", None),
        ("a79_the_same", None),
        ("an_id", None),
    ] {
        assert_eq!(number(name).as_deref(), expected, "{name}");
    }
}
