//! What the committed files promise: dependencies, lints, and switches that do not exist.

use std::fs;

/// The least versions (requirement SC-02), each the first without the advisory beside it.
const FLOORS: [(&str, [u64; 3], &str); 8] = [
    ("jsonwebtoken", [10, 3, 0], "CVE-2026-25537"),
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258"),
    ("crossbeam-epoch", [0, 9, 20], "RUSTSEC-2026-0204"),
    ("time", [0, 3, 47], "RUSTSEC-2026-0009"),
    ("idna", [1, 0, 0], "RUSTSEC-2024-0421"),
    ("bcrypt", [0, 19, 2], "RUSTSEC-2026-0199"),
    ("rsa", [u64::MAX, 0, 0], "RUSTSEC-2023-0071"),
    ("openssl-sys", [u64::MAX, 0, 0], "one library of ciphers"),
];

/// The packages of a lock file that are below their floor.
fn below(lock: &str) -> Vec<String> {
    let packages = lock.split("[[package]]").skip(1);
    let found = packages.filter_map(|package| {
        let text = |key: &str| package.split(&format!("\n{key} = \"")).nth(1)?.split('"').next();
        let (name, version) = (text("name")?, text("version")?);
        let numbers = version.split(['.', '-', '+']).take(3).map(|number| number.parse().unwrap());
        let numbers: Vec<u64> = numbers.collect();
        let (_, floor, why) = FLOORS.iter().find(|floor| floor.0 == name)?;
        (numbers.as_slice() < floor.as_slice()).then(|| format!("{name} {version}: {why}"))
    });
    found.collect()
}

#[test]
fn sc_02_nothing_below_its_floor_is_locked() {
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    assert!(lock.matches("[[package]]").count() > 100);
    assert_eq!(below(&lock), [""; 0]);
}

#[test]
fn a150_a_dependency_that_got_worse_is_seen() {
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    let (before, rest) = lock.split_once("name = \"jsonwebtoken\"\nversion = \"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    for (version, expected) in [("10.2.9", 1), ("10.3.0", 0), ("9.99.0", 1), ("11.0.0", 0)] {
        let lock = format!("{before}name = \"jsonwebtoken\"\nversion = \"{version}\"{after}");
        assert_eq!(below(&lock).len(), expected, "{version}");
    }
    let banned = "\n[[package]]\nname = \"rsa\"\nversion = \"0.9.8\"\n";
    assert_eq!(below(&format!("{lock}{banned}")).len(), 1);
}

#[test]
fn sc_03_what_is_accepted_has_a_reason_and_an_end() {
    let deny = fs::read_to_string("deny.toml").unwrap();
    let accepted: Vec<_> = deny.lines().filter(|line| line.contains("id = \"RUSTSEC")).collect();
    assert!(accepted.iter().any(|line| line.contains("RUSTSEC-2025-0057")));
    for line in accepted {
        let reason = line.split("reason = \"").nth(1).unwrap();
        assert!(reason.contains("goes ") || reason.contains("as above"), "{line}");
    }
}

#[test]
fn sc_04_no_unsafe_code_checked_arithmetic_and_panics_that_unwind() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    assert!(manifest.contains("\nunsafe_code = \"forbid\"\n"));
    let release = manifest.split("[profile.release]\n").nth(1).unwrap();
    let release = release.split("\n[").next().unwrap();
    assert!(release.contains("overflow-checks = true"));
    assert!(!manifest.contains("panic = \"abort\""), "a panic costs one request");
}

/// `config.toml` lists every key there is, which a test of the configuration sees to.
#[test]
fn cf_03_there_is_no_insecure_switch() {
    let config = fs::read_to_string("config.toml").unwrap();
    assert!(config.contains("behind_tls_proxy"));
    for word in ["insecure", "debug", "unsafe", "dev_"] {
        let has_key = |line: &str| line.trim_start_matches("# ").starts_with(word);
        assert!(!config.lines().any(has_key), "{word}");
    }
}
