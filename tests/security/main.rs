//! What the server owes by number, and what was tried against it.
//!
//! A test here is named after the requirement or the attack it shows (`rt_04_..`, `a079_..`); `table` sees to
//! it that none is forgotten, and that `SECURITY.md` says which test shows what.

#![cfg(test)]

#[expect(dead_code, reason = "the API's own tests use the rest")]
#[path = "../api/harness/mod.rs"]
mod harness;
#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod found;
mod table;

mod access;
mod audit;
mod authority;
mod canaries;
mod committed;
mod config;
mod errors;
mod flood;
mod http;
mod jwt;
mod keys;
mod limits;
mod load;
mod local;
mod login;
mod names;
mod nginx;
mod process;
mod proxy;
mod refresh;
mod secrets;
mod sessions;
mod slow;
mod sources;
mod throttle;
mod told;
mod vectors;
