//! Keystile: a token server in one binary.
//!
//! Data comes in at the top and goes down once; answers come back up the same way. Nothing points
//! upward, and the one exception is stated: every room may name the domain's vocabulary,
//! [`auth::model`].
//!
//! ```text
//! main -> cli -> app -> { http, admin } -> auth -> { store, token, password, throttle, clock, random }
//! ```
//!
//! The modules in reading order:

pub mod clock;
pub mod random;
pub mod socket;

pub mod auth;
pub mod password;
pub mod store;
pub mod throttle;
pub mod token;

pub mod http;

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod telemetry;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
