//! The requirements, each shown by the test that is named after it.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "other test targets use the rest")]
#[path = "../api/harness/mod.rs"]
mod harness;

mod throttle;
