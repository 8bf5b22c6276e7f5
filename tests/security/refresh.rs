//! Refresh tokens: many at once, across restarts, and long after.

use std::sync::Arc;
use std::time::Duration;

use keystile::auth::model::audit::Event;
use keystile::clock::Clock;

use crate::harness::{GRACE, SECOND, SESSION_TTL, TestServer};
use crate::support::client::Pair;
use crate::support::{Server, Workplace};

const PASSWORD: &str = "correct horse battery";

/// Without a grace, one of fifty exchanges at once is answered; the others are reuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a083_without_a_grace_one_of_fifty_exchanges_wins_and_the_session_ends() {
    let server = TestServer::with(|settings| settings.policy.refresh_grace = Duration::ZERO).await;
    let first = server.user("alice").await;
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (server, token) = (Arc::clone(&server), first.refresh.clone());
            tokio::spawn(async move { server.refresh(&token).await })
        })
        .collect();
    let mut won = Vec::new();
    for call in calls {
        let answer = call.await.unwrap();
        if answer.status == 200 {
            won.push(answer.pair());
        } else {
            answer.refused(401, "invalid_grant");
        }
    }
    assert_eq!(won.len(), 1);
    assert!(!server.accepts(&first.access).await && !server.accepts(&won[0].access).await);
    server.refresh(&won[0].refresh).await.refused(401, "invalid_grant");
}

/// The form of it that OAuth clients see.
#[tokio::test]
async fn a080_reuse_is_an_invalid_grant_at_the_token_endpoint_and_noted() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let exchange = |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        server.post("/token").form(&form)
    };
    let next = exchange(&first.refresh).await.pair();
    server.wait(GRACE + SECOND);
    assert!(server.accepts(&next.access).await);
    exchange(&first.refresh).await.refused(400, "invalid_grant");
    exchange(&next.refresh).await.refused(400, "invalid_grant");
    assert!(!server.accepts(&next.access).await && !server.accepts(&first.access).await);
    let events = server.store.audit(None, 100).await.unwrap();
    assert_eq!(events.iter().filter(|event| event.event == Event::RefreshReused).count(), 1);
}

/// What an ending leaves behind may go, since nothing but its absence is asked for later.
#[tokio::test]
async fn rt_04_a_malformed_scope_hides_no_used_up_token() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    let next = server.refresh(&pair.refresh).await.pair();
    server.wait(GRACE + SECOND);
    let form =
        [("grant_type", "refresh_token"), ("refresh_token", &*pair.refresh), ("scope", "a  b")];
    server.post("/token").form(&form).await.refused(400, "invalid_grant");
    assert!(!server.accepts(&next.access).await);
}

#[tokio::test]
async fn a135_what_was_ended_stays_dead_when_its_record_is_swept() {
    let server = TestServer::start().await;
    let (reused, ended) = (server.user("alice").await, server.login("alice").await);
    let next = server.refresh(&reused.refresh).await.pair();
    server.wait(GRACE + SECOND);
    server.refresh(&reused.refresh).await.refused(401, "invalid_grant");
    server.post("/logout").bearer(&ended.access).await.ok(200);
    for _ in 0..3 {
        let now = server.clock.now();
        while !server.store.sweep(now, 100).await.unwrap().is_done {}
        for pair in [&reused, &next, &ended] {
            assert!(!server.accepts(&pair.access).await);
            server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
        }
        server.wait(SESSION_TTL);
    }
}

fn serve(workplace: &Workplace, grace: &str) -> Server {
    let text = format!("[tokens]\nrefresh_grace = '{grace}'\n");
    workplace.write("config.toml", &text);
    workplace.serve()
}

/// How the process ended must not matter: in order, or by `kill -9`.
#[test]
fn a086_reuse_and_replay_are_told_apart_across_a_restart() {
    for in_order in [true, false] {
        for (grace, is_replay) in [("60s", true), ("0s", false)] {
            let workplace = Workplace::new();
            let server = serve(&workplace, grace);
            let client = server.client();
            client.register("alice", PASSWORD);
            let first = client.login("alice", PASSWORD);
            let next = client.post("/refresh").bearer(&first.refresh).send().expect(200);
            let next = Pair::of(&next);
            if in_order {
                server.stop();
            } else {
                server.kill();
            }

            let server = serve(&workplace, grace);
            let client = server.client();
            let again = client.post("/refresh").bearer(&first.refresh).send();
            if is_replay {
                assert_eq!(Pair::of(&again.expect(200)), next);
                assert_eq!(client.status_with(&next.access), 200);
            } else {
                again.expect(401);
                assert_eq!(client.status_with(&next.access), 401);
            }
        }
    }
}
