//! The real binary: its life, its end, its files, its command line, and what it refuses to start with.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod check;
mod commands;
mod compact;
mod configured;
mod connections;
mod directory;
mod disk;
mod dump;
mod dump_under_load;
mod operator;
mod restart;
mod signals;
mod stalled;

/// The password of the users here.
const PASSWORD: &str = "correct horse battery";
