//! Faults: damaged files, failing and slow disks, directories that are not ours to write, and clocks that leap.
//!
//! The outcome is what `security.md` ST and TM ask for: an answer is true or there is none. A test that needs a
//! tool of the system says "skipped" without it, unless `KEYSTILE_TEST_REQUIRE_TOOLS` is 1.
//! `KEYSTILE_FAULTS_FLIPS` is how many bits are flipped in each file, `KEYSTILE_TEST_SEED` decides which.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../store/fixture.rs"]
mod fixture;
#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod calls;
mod clock;
mod damage;
mod places;
mod scene;
mod strace;

/// The password of the users here.
const PASSWORD: &str = "correct horse battery";
/// Names the seed.
const SEED: &str = "KEYSTILE_TEST_SEED";

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "a test's own knobs, not the server's configuration")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// The seed of this run.
fn seed() -> u64 {
    number(SEED).unwrap_or_else(|| u64::from(std::process::id()))
}
