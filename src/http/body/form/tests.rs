//! Forms as clients send them, well and badly, behind everything that stands before an operation.

use poem::test::TestResponse;
use poem_openapi::OpenApi;
use poem_openapi::payload::PlainText;

use super::*;
use crate::http::edge::tests::{client, refusal};

struct Login {
    username: String,
    password: String,
    scope: Option<String>,
}

const fn field(name: &'static str, required: bool) -> Field {
    Field { name, about: "a field", example: Some("alice"), required, secret: false }
}

impl FormFields for Login {
    const FIELDS: &'static [Field] =
        &[field("username", true), field("password", true), field("scope", false)];
    const MULTIPART: bool = true;

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        Ok(Self {
            username: fields.require("username")?,
            password: fields.require("password")?,
            scope: fields.take("scope"),
        })
    }
}

struct Token(String);

impl FormFields for Token {
    const FIELDS: &'static [Field] = &[field("token", true)];

    fn from_fields(fields: &mut Fields) -> Result<Self, Problem> {
        fields.require("token").map(Self)
    }
}

struct Api;

#[OpenApi]
#[expect(clippy::unused_async, reason = "poem-openapi takes async functions only")]
impl Api {
    #[oai(path = "/token", method = "post")]
    async fn token(&self, form: FormBody<Login>) -> PlainText<String> {
        let Login { username, password, scope } = form.0;
        PlainText(format!("{username}|{password}|{scope:?}"))
    }

    #[oai(path = "/revoke", method = "post")]
    async fn revoke(&self, form: OptionalFormBody<Token>) -> PlainText<String> {
        PlainText(form.0.map_or_else(|| "no body".to_owned(), |token| token.0))
    }
}

async fn send(path: &str, media: Option<&str>, body: impl Into<Body>) -> TestResponse {
    let client = client(Api);
    let request = client.post(path).body(body);
    match media {
        Some(media) => request.header("content-type", media).send().await,
        None => request.send().await,
    }
}

async fn accepted(media: &str, body: impl Into<Body>) -> String {
    let response = send("/token", Some(media), body).await;
    response.assert_status_is_ok();
    response.0.into_body().into_string().await.unwrap()
}

#[track_caller]
fn assert_invalid_request(body: &serde_json::Value, about: &str) {
    assert_eq!(body["status"], 400, "{about}");
    assert_eq!(body["code"], "invalid_request", "{about}");
    assert_eq!(body["error"], "invalid_request", "{about}");
    assert_eq!(body["error_description"], body["detail"], "{about}");
    assert!(!body.to_string().contains("hunter2"), "{about}");
}

async fn assert_refused(path: &str, media: Option<&str>, body: impl Into<Body>, about: &str) {
    let response = send(path, media, body).await;
    response.assert_header("cache-control", "no-store");
    response.assert_header("pragma", "no-cache");
    response.assert_content_type("application/json");
    assert_invalid_request(&response.0.into_body().into_json().await.unwrap(), about);
}

fn part(disposition: &str, value: &str) -> String {
    format!("--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n")
}

const FORM_DATA: &str = "multipart/form-data; boundary=B";

#[tokio::test]
async fn a_form_is_decoded_and_its_empty_and_unknown_parameters_do_not_count() {
    let body = "x=1&x=2&username=al%69ce&scope=&&password=a+b%2B%C3%A9%3D=";
    for media in [URLENCODED, "application/x-www-form-urlencoded;charset=UTF-8"] {
        assert_eq!(accepted(media, body).await, "alice|a b+é==|None");
    }
}

#[tokio::test]
async fn text_parts_are_read_like_a_form() {
    let body = part("name=\"username\"", "alice")
        + &part("name=\"password\"", "a+b%20")
        + &part("name=\"other\"", "1")
        + "--B--\r\n";
    assert_eq!(accepted(FORM_DATA, body).await, "alice|a+b%20|None");
}

#[tokio::test]
async fn a_malformed_form_is_invalid_request() {
    let wrong: [&[u8]; 12] = [
        b"",
        b"username=alice",
        b"username=alice&password=",
        b"username=alice&password=hunter2&password=hunter2",
        b"username=alice&password=hunter2&scope=&scope=",
        b"username=alice&password=hunter2&user%6eame=alice",
        b"username=alice&password=hunter2%",
        b"username=alice&password=hunter2%2",
        b"username=alice&password=hunter2%zz",
        b"username=alice&password=hunter2%+1",
        b"username=alice&password=hunter2%ff",
        b"username=alice&password=hunter2&x=%00",
    ];
    for body in wrong {
        let about = String::from_utf8_lossy(body).into_owned();
        assert_refused("/token", Some(URLENCODED), body, &about).await;
    }
}

#[tokio::test]
async fn a_part_that_is_a_file_or_comes_twice_is_invalid_request() {
    let user = part("name=\"username\"", "alice");
    let password = part("name=\"password\"", "hunter2");
    let wrong = [
        user.clone() + &part("name=\"password\"; filename=\"p\"", "hunter2"),
        user.clone() + &password + &password,
        user.clone()
            + "--B\r\nContent-Disposition: form-data; name=\"password\"\r\n\
            Content-Type: application/json\r\n\r\nhunter2\r\n",
        user.clone() + &part("name=\"password\"", "hunter2\0"),
        user + &part("filename*=x", "hunter2"),
    ];
    for body in wrong {
        assert_refused("/token", Some(FORM_DATA), body.clone() + "--B--\r\n", &body).await;
    }
    assert_refused("/token", Some(FORM_DATA), password, "not closed").await;
    assert_refused("/token", Some(MULTIPART), "hunter2", "no boundary").await;
}

#[tokio::test]
async fn another_media_type_is_invalid_request() {
    let body = "username=alice&password=hunter2";
    let wrong = [
        None,
        Some("application/json"),
        Some("text/plain"),
        Some("application/x+x-www-form-urlencoded"),
        Some("application/x-www-form-urlencoded; charset=utf-16"),
    ];
    for media in wrong {
        assert_refused("/token", media, body, &format!("{media:?}")).await;
    }
    let token = part("name=\"token\"", "hunter2") + "--B--\r\n";
    assert_refused("/revoke", Some(FORM_DATA), token, "multipart where it is not offered").await;
}

#[tokio::test]
async fn no_body_is_told_from_an_empty_form() {
    for media in [None, Some(URLENCODED), Some("application/json")] {
        send("/revoke", media, "").await.assert_text("no body").await;
    }
    send("/revoke", Some(URLENCODED), "token=t").await.assert_text("t").await;
    assert_refused("/revoke", Some(URLENCODED), "token=", "an empty token").await;
    assert_refused("/token", None, "", "nothing where a form is required").await;
}

#[tokio::test]
async fn a_form_above_the_limit_is_413() {
    let body = format!("username={}", "x".repeat(CREDENTIALS_BYTES_MAX));
    let (status, code) = refusal(send("/token", Some(URLENCODED), body).await).await;
    assert_eq!((status, code.as_str()), (413, "body_too_large"));
}

#[test]
fn a_parameter_without_an_example_is_shown_empty() {
    let fields = [Field { example: None, ..field("refresh_token", false) }];
    let schema = serde_json::to_value(schema(&fields)).unwrap();
    assert_eq!(schema["properties"]["refresh_token"]["example"], "");
}

#[test]
fn secrets_do_not_show_in_debug() {
    let fields = urlencoded(Login::FIELDS, b"password=hunter2").unwrap();
    assert_eq!(format!("{fields:?}"), "Fields");
}
