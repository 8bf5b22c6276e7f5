//! How `/token` and its two aliases read their form.

use poem::test::{TestForm, TestFormField};
use serde_json::json;

use crate::harness::{CANARY, Call, PASSWORD, TestServer};

const NAMES: [&str; 3] = ["/token", "/authenticate", "/auth/token"];
const FORM: &str = "application/x-www-form-urlencoded";

/// Alice's login, as a URL-encoded form.
const LOGIN: &str = "username=alice&password=hunter2+at+the+harbour";

fn alice<'a>(server: &'a TestServer, path: &str, more: &[(&str, &str)]) -> Call<'a> {
    let mut fields = vec![("username", "alice"), ("password", PASSWORD)];
    fields.extend_from_slice(more);
    server.post(path).form(&fields)
}

#[tokio::test]
async fn each_of_the_three_names_takes_a_url_encoded_form() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for path in NAMES {
        let answer = alice(&server, path, &[]).await;
        assert_eq!(answer.header("pragma"), Some("no-cache"));
        let body = answer.ok(200);
        assert_eq!(body["token_type"], "bearer");
        assert_eq!(body["expires_in"], 900);
        assert_eq!(body["scope"], "me posts:write");
        let members: Vec<_> = body.as_object().unwrap().keys().collect();
        assert_eq!(members, ["access_token", "refresh_token", "token_type", "expires_in", "scope"]);
    }
}

#[tokio::test]
async fn each_of_the_three_names_takes_a_multipart_form_of_text() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for path in NAMES {
        let form = TestForm::new().text("username", "alice").text("password", PASSWORD);
        server.post(path).multipart(form).await.pair();
    }
}

#[tokio::test]
async fn a_multipart_form_with_a_file_or_a_repeated_field_is_refused() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let login = || TestForm::new().text("username", "alice").text("password", PASSWORD);
    let file = TestFormField::text(CANARY).name("scope").filename("scope.txt");
    for form in [login().field(file), login().text("password", PASSWORD)] {
        server.post("/token").multipart(form).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn the_blank_client_fields_of_swagger_ui_mean_none_given() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let blank =
        [("grant_type", "password"), ("scope", ""), ("client_id", ""), ("client_secret", "")];
    let pair = alice(&server, "/token", &blank).header("authorization", "Basic Og==").await.pair();
    assert_eq!(pair.scope(), "me posts:write");
}

#[tokio::test]
async fn the_grant_type_is_password_when_absent_or_empty() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for form in ["", "&grant_type=", "&grant_type=password", "&grant_type=passw%6frd"] {
        server.post("/token").body(FORM, format!("{LOGIN}{form}")).await.pair();
    }
}

#[tokio::test]
async fn a_grant_type_that_is_not_offered_is_refused() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for grant in
        ["PASSWORD", "password ", "urn:x", "implicit", "token", "client_credentials", CANARY]
    {
        let answer = alice(&server, "/token", &[("grant_type", grant)]).await;
        let body = answer.refused(400, "unsupported_grant_type");
        assert_eq!(body["error"], "unsupported_grant_type");
    }
}

#[tokio::test]
async fn the_grant_type_refresh_token_exchanges_one() {
    let server = TestServer::start().await;
    for path in NAMES {
        let name = format!("u{}", path.len());
        let pair = server.user(&name).await;
        let form = [("grant_type", "refresh_token"), ("refresh_token", pair.refresh.as_str())];
        server.post(path).form(&form).await.pair();
    }
    let none = server.post("/token").form(&[("grant_type", "refresh_token")]).await;
    none.refused(400, "invalid_request");
}

#[tokio::test]
async fn a_missing_empty_or_repeated_parameter_is_refused() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let wrong = [
        "",
        "username=alice",
        "username=alice&password=",
        "username=&password=hunter2",
        "password=hunter2",
        "username=alice&username=alice&password=hunter2",
        "username=alice&username=&password=hunter2",
        "username=alice&password=hunter2&password=hunter2",
        "username=alice&password=hunter2&scope=me&scope=me",
        "username=alice&password=hunter2&client_id=a&client_id=b",
        "username=alice&password=hunter2&grant_type=password&grant_type=password",
        "username=alice&password=hunter2&refresh_token=a&refresh_token=b",
    ];
    for form in wrong {
        let body = server.post("/token").body(FORM, form).await.refused(400, "invalid_request");
        assert_eq!(body["error"], "invalid_request", "{form}");
    }
}

#[tokio::test]
async fn what_no_encoder_writes_is_refused() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for form in ["username=al%ice&password=hunter2", "username=%ff&password=hunter2"] {
        server.post("/token").body(FORM, form).await.refused(400, "invalid_request");
    }
    let nul = server.post("/token").body(FORM, format!("{LOGIN}%00")).await;
    nul.refused(400, "invalid_request");
}

#[tokio::test]
async fn unknown_parameters_are_ignored() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let more = [("role", "admin"), ("roles[]", "admin"), ("is_admin", "1"), ("x", "1"), ("x", "2")];
    let pair = alice(&server, "/token", &more).await.pair();
    assert_eq!(pair.access_claims()["roles"], json!(["user"]));
    assert_eq!(pair.scope(), "me posts:write");
}

#[tokio::test]
async fn any_other_content_type_is_an_invalid_request() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let media = [
        "application/json",
        "text/plain",
        "application/x+x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=utf-16",
        "multipart/form-data",
        "application/hunter2",
    ];
    for media in media {
        server.post("/token").body(media, LOGIN).await.refused(400, "invalid_request");
    }
    let json = server.post("/token").json(&json!({ "username": "alice", "password": PASSWORD }));
    json.await.refused(400, "invalid_request");
    server.post("/token").await.refused(400, "invalid_request");
    let utf8 = "application/x-www-form-urlencoded; charset=UTF-8";
    server.post("/token").body(utf8, LOGIN).await.pair();
}

#[tokio::test]
async fn credentials_in_the_query_are_not_read() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let answer = server.post(&format!("/token?grant_type=password&{LOGIN}")).body(FORM, "").await;
    answer.refused(400, "invalid_request");
}

#[tokio::test]
async fn an_overlong_client_field_is_refused_and_a_long_one_is_not() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for field in ["client_id", "client_secret"] {
        alice(&server, "/token", &[(field, &"x".repeat(1024))]).await.pair();
        let long = alice(&server, "/token", &[(field, &"x".repeat(1025))]).await;
        long.refused(400, "invalid_request");
    }
}
