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
mod throttle;

use crate::support::{Server, Workplace};

/// The password of the users here.
const PASSWORD: &str = "correct horse battery";

/// A running server with two users, a session and a post.
fn serve_used() -> (Workplace, Server) {
    let workplace = Workplace::new();
    workplace.add_user("alice", PASSWORD, "admin");
    let server = workplace.serve();
    server.client().register("bob", PASSWORD);
    let pair = server.client().login("bob", PASSWORD);
    let post = serde_json::json!({ "title": "a", "content": "b" });
    server.client().post("/posts").bearer(&pair.access).json(&post).expect(201);
    (workplace, server)
}
