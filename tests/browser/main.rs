//! Swagger UI at `/docs` in a real browser, against the real binary.
//!
//! Skipped with a message where Chromium or its driver is missing, unless `KEYSTILE_TEST_REQUIRE_BROWSER`
//! is 1. With `KEYSTILE_TEST_SCREENSHOT=FILE`, the picture of the README is taken on the way.

#![cfg(test)]

mod chromium;
mod keystile;
mod swagger;

use serde_json::{Value, json};

use crate::keystile::Keystile;
use crate::swagger::Swagger;

const USERNAME: &str = "grace";
const PASSWORD: &str = "seven lamps on the quay";
const FULL_NAME: &str = "Grace Example";

/// Where the picture goes.
const SCREENSHOT: &str = "KEYSTILE_TEST_SCREENSHOT";

/// Registers the user of these tests.
fn register(server: &Keystile) {
    let account = json!({ "username": USERNAME, "password": PASSWORD, "full_name": FULL_NAME });
    ureq::post(format!("http://{}/auth/", server.address)).send_json(account).unwrap();
}

/// An access token of that user.
fn access_token(server: &Keystile) -> String {
    let form = [("username", USERNAME), ("password", PASSWORD)];
    let mut answer =
        ureq::post(format!("http://{}/token", server.address)).send_form(form).unwrap();
    let answer: Value = answer.body_mut().read_json().unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_user_signs_in_with_a_password_and_sees_the_own_account() {
    let directory = tempfile::tempdir().unwrap();
    let server = Keystile::start(&directory);
    register(&server);
    let Some(page) = Swagger::open(&server).await else { return };
    assert_eq!(page.title().await, "Keystile API");

    page.press_authorize().await;
    page.sign_in(USERNAME, PASSWORD).await;
    page.see_signed_in().await;
    page.close_dialog().await;

    let (status, body) = page.execute("Account", "me").await;
    assert_eq!(status, "200");
    assert!(body.contains(FULL_NAME), "{body}");
    if let Some(file) = std::env::var_os(SCREENSHOT) {
        let picture = page.picture().await;
        std::fs::write(file, picture).unwrap();
    }
    assert_eq!(page.console_errors().await, [""; 0]);
}

#[tokio::test]
async fn a_wrong_password_is_answered_with_the_servers_words() {
    let directory = tempfile::tempdir().unwrap();
    let server = Keystile::start(&directory);
    register(&server);
    let Some(page) = Swagger::open(&server).await else { return };

    page.press_authorize().await;
    page.sign_in(USERNAME, "not the password").await;
    let refusal = page.refusal().await;
    assert!(refusal.contains("Incorrect username or password"), "{refusal}");

    // The browser itself notes every answer that is not a success.
    let errors = page.console_errors().await;
    let is_noted = |error: &String| error.contains("/token") && error.contains("400");
    assert!(errors.len() == 1 && errors.iter().all(is_noted), "{errors:?}");
}

#[tokio::test]
async fn a_token_pasted_with_its_prefix_is_as_good_as_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let server = Keystile::start(&directory);
    register(&server);
    let token = access_token(&server);
    let Some(page) = Swagger::open(&server).await else { return };

    page.press_authorize().await;
    page.paste_bearer("Bearer", &format!("Bearer {token}")).await;
    page.close_dialog().await;

    let (status, body) = page.execute("Account", "me").await;
    assert_eq!(status, "200");
    assert!(body.contains(FULL_NAME), "{body}");
    assert_eq!(page.console_errors().await, [""; 0]);
}

#[tokio::test]
async fn registering_and_logging_in_need_no_typing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Keystile::start(&directory);
    let Some(page) = Swagger::open(&server).await else { return };

    let (status, body) = page.execute("Account", "register").await;
    assert_eq!(status, "201", "{body}");
    let (status, body) = page.execute("Tokens", "token").await;
    assert_eq!(status, "200", "{body}");
    assert!(body.contains("access_token"), "{body}");
    assert_eq!(page.console_errors().await, [""; 0]);
}
