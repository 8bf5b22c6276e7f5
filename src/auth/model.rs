//! The vocabulary of the domain: users, sessions, posts, their ids and names, and the pure rules of
//! how a session moves on.
//!
//! Knows no HTTP, no engine, no JWT. It is the one part of `auth` that the rooms below may name, since
//! the store keeps these very records and must decide by these very rules.

pub mod attempts;
pub mod audit;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod id;
pub mod key;
pub mod network;
pub mod post;
pub mod scope;
pub mod session;
pub mod source;
pub mod user;
pub mod username;
