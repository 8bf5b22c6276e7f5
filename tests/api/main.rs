//! The API, operation by operation, through the whole router in this process.
//!
//! Each test owns its server: a store in a directory of its own, a clock that moves when told to and a
//! seeded randomness. Every answer passes `harness::laws`, which hold for all of them.

#![cfg(test)]

mod harness;

mod account;
mod audit;
mod authority;
mod bearer;
mod discovery;
mod document;
mod endings;
mod examples;
mod hashing;
mod http;
mod introspect;
mod json;
mod keys;
mod last_admin;
mod login;
mod logs;
mod passwords;
mod posts;
mod protected;
mod refresh;
mod register;
mod replay;
mod sessions;
mod signup;
mod stale;
mod token;
mod unauthorized;
mod users;
