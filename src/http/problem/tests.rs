//! Refusals as they are sent: their members, their headers, and what they keep to themselves.

use serde_json::{Value, json};

use super::*;

async fn sent(problem: &Problem, shape: Shape) -> (Response, Value) {
    let mut response = problem.render(shape, RequestId::from_bytes([0; 16]));
    let body = response.take_body().into_json().await.unwrap();
    (response, body)
}

#[tokio::test]
async fn a_problem_has_the_members_of_rfc_9457_and_no_others() {
    let (response, body) = sent(&Code::NotFound.into(), Shape::Problem).await;
    assert_eq!(response.status(), 404);
    assert_eq!(response.content_type(), Some("application/problem+json"));
    let expected = json!({
        "type": "urn:keystile:error:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "Not found",
        "code": "not_found",
        "request_id": "00000000000000000000000000",
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn an_oauth_problem_adds_error_and_description_and_is_not_stored() {
    let problem = Problem::new(Code::InvalidGrant, "say \"no\" \\ n\u{e9}");
    let (response, body) = sent(&problem, Shape::OAuth).await;
    assert_eq!(response.content_type(), Some("application/json"));
    assert_eq!(response.header("pragma"), Some("no-cache"));
    assert_eq!(body["error"], "invalid_grant");
    assert_eq!(body["error_description"], "say 'no' ' n?");
    assert_eq!(body["code"], "invalid_grant");
}

#[tokio::test]
async fn a_401_names_an_error_only_when_a_token_was_presented() {
    let (none, _) = sent(&Code::NotAuthenticated.into(), Shape::Problem).await;
    assert_eq!(none.header("www-authenticate"), Some("Bearer realm=\"keystile\""));
    let (_, body) = sent(&Code::NotAuthenticated.into(), Shape::OAuth).await;
    assert_eq!(body["error"], "invalid_request");
    let invalid = Some("Bearer realm=\"keystile\", error=\"invalid_token\"");
    let (bad, _) = sent(&Code::InvalidToken.into(), Shape::Problem).await;
    assert_eq!(bad.header("www-authenticate"), invalid);
    let refused = Problem::from(Code::InvalidGrant).with_status(StatusCode::UNAUTHORIZED);
    let (dead, body) = sent(&refused, Shape::OAuth).await;
    assert_eq!((dead.status().as_u16(), &body["status"]), (401, &json!(401)));
    assert_eq!(dead.header("www-authenticate"), invalid);
    assert_eq!(body["error"], "invalid_grant");
}

#[tokio::test]
async fn a_missing_scope_is_named_and_a_missing_right_is_not() {
    let (scope, _) = sent(&Problem::insufficient_scope("users:read"), Shape::Problem).await;
    assert_eq!(
        scope.header("www-authenticate"),
        Some("Bearer realm=\"keystile\", error=\"insufficient_scope\", scope=\"users:read\"")
    );
    let (right, _) = sent(&Code::Forbidden.into(), Shape::Problem).await;
    assert_eq!(right.header("www-authenticate"), None);
}

#[tokio::test]
async fn waiting_answers_say_how_long_in_whole_seconds() {
    let (busy, body) = sent(&Problem::unavailable(7), Shape::OAuth).await;
    assert_eq!(busy.header("retry-after"), Some("7"));
    assert_eq!(body["error"], "temporarily_unavailable");
    let (down, _) = sent(&Code::Unavailable.into(), Shape::Problem).await;
    assert_eq!(down.header("retry-after"), Some("1"));
    for (millis, secs) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (900_000, "900")] {
        let later = Problem::later(Duration::from_millis(millis));
        let (later, body) = sent(&later, Shape::OAuth).await;
        assert_eq!((later.status().as_u16(), later.header("retry-after")), (429, Some(secs)));
        assert_eq!(body["error"], "temporarily_unavailable");
    }
}

#[tokio::test]
async fn the_cause_stays_here() {
    let (response, body) = sent(&Problem::internal("disk sda1 gone"), Shape::Problem).await;
    assert_eq!(response.status(), 500);
    assert!(!body.to_string().contains("sda1"));
}

#[test]
fn codes_are_distinct_and_speak_rfc_6749s_characters() {
    for (position, code) in Code::ALL.iter().enumerate() {
        assert!(Code::ALL[position + 1..].iter().all(|other| other.as_str() != code.as_str()));
        assert_eq!(oauth_text(code.detail()), code.detail());
    }
}
