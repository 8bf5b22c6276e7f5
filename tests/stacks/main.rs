//! The five stacks that Keystile replaces: what each one's client calls, in its order and its encodings,
//! against the real binary.

#![cfg(test)]

#[expect(dead_code, reason = "other test targets use the rest")]
#[path = "../support/mod.rs"]
mod support;

mod bearer_and_sessions;
mod mini_blog;
mod rest_auth_service;
mod security_notebook;
mod tutorial;

use serde_json::Value;

use crate::support::client::{Answer, Pair};

/// The password of the users here.
const PASSWORD: &str = "correct horse battery";

/// The names of an object, in order.
fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    names
}

/// The tokens of an answer that must be a `TokenPair`.
#[track_caller]
fn pair(answer: &Answer) -> Pair {
    let body = answer.expect(200);
    let expected = ["access_token", "expires_in", "refresh_token", "scope", "token_type"];
    assert_eq!(names(&body), expected);
    assert_eq!(body["token_type"], "bearer");
    // What is left of 15 minutes when the answer is made; a loaded machine may need a second for it.
    assert!((890..=900).contains(&body["expires_in"].as_u64().unwrap()), "{body}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    Pair::of(&body)
}

/// Asserts that a body is the `User` of this name and these roles.
#[track_caller]
fn assert_user(body: &Value, username: &str, roles: &[&str]) {
    let expected = ["created_at", "disabled", "email", "full_name", "id", "roles", "username"];
    assert_eq!(names(body), expected);
    assert_eq!(body["username"], username);
    assert_eq!(body["roles"], Value::from(roles));
    assert!(is_ulid(body["id"].as_str().unwrap()));
}

/// Asserts that an answer refuses with this status, and says why where the replaced stacks did: in `detail`.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, detail: &str) {
    let body = answer.expect(status);
    assert_eq!(body["detail"], detail, "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401);
}

/// Asserts that an access token is no longer taken.
#[track_caller]
fn assert_dead(answer: &Answer) {
    assert_refused(answer, 401, "Could not validate credentials");
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer") && challenge.contains("invalid_token"), "{challenge}");
}

fn is_ulid(text: &str) -> bool {
    text.parse::<ulid::Ulid>().is_ok_and(|ulid| ulid.to_string() == text)
}
