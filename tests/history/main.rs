//! The real binary under many clients, kills and restarts, and a check of all that it answered: is there one
//! order of these operations, each somewhere between its request and its answer, in which one client after
//! another could have got the same answers from the contract?
//!
//! `KEYSTILE_HISTORY_OPS` is how many operations are recorded, `KEYSTILE_TEST_SEED` repeats a choice of them.
//! Knows the contract (`api.md`) and nothing of how the server keeps it.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod clients;
mod linear;
mod model;
mod record;
mod report;
mod request;
mod samples;
mod slot;

use std::time::Duration;

use crate::clients::Plan;

/// How many operations are recorded unless [`OPS`] says otherwise.
const OPS_DEFAULT: usize = 4000;
/// Names how many operations to record.
const OPS: &str = "KEYSTILE_HISTORY_OPS";
/// Names the seed.
const SEED: &str = "KEYSTILE_TEST_SEED";
/// How long what a refresh replaced stays good here: short, so that both sides of it are seen.
const GRACE: Duration = Duration::from_secs(1);

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "a test's own knobs, not the server's configuration")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn what_many_clients_were_answered_could_have_been_answered_one_after_another() {
    let seed = number(SEED).unwrap_or_else(|| u64::from(std::process::id()));
    let ops = number(OPS).map_or(OPS_DEFAULT, |ops| usize::try_from(ops).unwrap());
    println!("{SEED}={seed} {OPS}={ops}");
    let history = clients::run(&Plan { seed, ops, grace: GRACE });
    println!("{}", report::summary(&history));

    let broken = report::broken(&history, GRACE);
    assert!(broken.is_none(), "{SEED}={seed}\n{}", broken.unwrap_or_default());
}
