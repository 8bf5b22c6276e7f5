//! What the log tells of a refusal that its answer must not.

use keystile::config::log::LogFormat;
use keystile::telemetry::Captured;
use serde_json::{Value, json};

use crate::audit::UNKNOWN;
use crate::harness::{ACCESS_TTL, CANARY, GRACE, SECOND, TestServer};

/// The lines of the log of this thread while `work` is done.
async fn logged<T>(work: impl Future<Output = T>) -> (T, Vec<Value>) {
    let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
    let guard = tracing::dispatcher::set_default(&dispatch);
    let done = work.await;
    drop(guard);
    let lines = captured.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (done, lines)
}

#[tokio::test]
async fn er_05_why_a_token_is_refused_is_told_in_the_log_and_not_in_the_answer() {
    let server = TestServer::start().await;
    let alice = server.user("alice").await;
    let gate = server.user_with("gate", &["gateway"]).await;
    let ended = server.login("alice").await;
    server.post("/logout").bearer(&ended.access).await.ok(200);
    let (head, signature) = alice.access.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{head}.{other}{}", &signature[1..]);
    for (token, reason) in [
        (CANARY, "malformed token"),
        (&forged, "wrong token signature"),
        (&ended.access, "no live session"),
        (&alice.refresh, "token of another kind"),
    ] {
        let (answer, lines) = logged(async { server.get("/users/me").bearer(token).await }).await;
        answer.refused(401, "invalid_token");
        assert!(!answer.text.contains(reason), "{}", answer.text);
        let line = lines.iter().find(|line| line["request_id"] == answer.json()["request_id"]);
        assert_eq!(line.unwrap()["reason"], reason);
        let ask = server.post("/introspect").bearer(&gate.access).form(&[("token", token)]);
        let (answer, lines) = logged(async { ask.await }).await;
        assert_eq!(answer.ok(200), json!({ "active": false }));
        let line = lines.iter().find(|line| line["reason"] == reason).unwrap();
        assert_eq!(line["request_id"].as_str(), answer.header("x-request-id"));
    }
    server.refresh(&alice.refresh).await.pair();
    server.wait(GRACE + SECOND);
    for (token, reason) in [
        (&alice.refresh, "used up refresh token"),
        (&alice.refresh, "no live session"),
        (&alice.access, "token of another kind"),
    ] {
        let (answer, lines) = logged(async { server.refresh(token).await }).await;
        answer.refused(401, "invalid_grant");
        assert!(!answer.text.contains(reason), "{}", answer.text);
        assert!(lines.iter().any(|line| line["status"] == 401 && line["reason"] == reason));
    }
    server.wait(ACCESS_TTL);
    let (answer, lines) =
        logged(async { server.get("/users/me").bearer(&gate.access).await }).await;
    answer.refused(401, "invalid_token");
    assert!(lines.iter().any(|line| line["reason"] == "expired token"), "{lines:?}");
}

#[tokio::test]
async fn lg_05_a_failed_login_names_whom_it_was_meant_for_only_if_there_is_such_a_user() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    for (name, user) in [("ALICE", Some(server.id_of("alice").await)), (UNKNOWN, None)] {
        let (answer, lines) = logged(async { server.login_with(name, CANARY).await }).await;
        answer.refused(400, "invalid_grant");
        let failed = lines.iter().find(|line| line["event"] == "login_failed").unwrap();
        assert_eq!(failed["user"].as_str(), user.as_deref());
        assert!(
            lines
                .iter()
                .all(|line| !line.to_string().to_lowercase().contains(&name.to_lowercase()))
        );
    }
}
