//! Signing keys that rotate while the server runs: what the old ones signed, and keys that nobody has.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keystile::auth::keys::OldKeys;
use keystile::auth::model::audit::{Actor, Event};
use keystile::auth::policy::Operator;
use keystile::store::StoreError;
use keystile::token::ACCESS_TTL_MAX;
use keystile::token::algorithm::Algorithm;
use serde_json::{Value, json};

use crate::harness::{GRACE, Pair, REFRESH_TTL, SECOND, TestServer, just_before};

/// What an old key is kept for beyond the life of its tokens.
const LAG: Duration = Duration::from_secs(60);

async fn rotate(server: &TestServer, old: OldKeys) {
    server.auth.rotate_keys(&Operator::checked(), old).await.unwrap();
}

/// The names of the published keys.
async fn published(server: &TestServer) -> Vec<Value> {
    let set = server.get("/.well-known/jwks.json").await.ok(200);
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].clone()).collect()
}

/// The names of the keys that signed these, the access token's first.
fn kids(pair: &Pair) -> [Value; 2] {
    [pair.access_header()["kid"].clone(), pair.refresh_header()["kid"].clone()]
}

#[tokio::test]
async fn ky_06_keys_rotate_without_a_restart_and_no_live_token_is_lost() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let server = TestServer::with(|settings| settings.algorithm = algorithm).await;
        let (old, idle) = (server.user("alice").await, server.user("idle").await);
        let replaced = server.user("bob").await;
        let current = server.refresh(&replaced.refresh).await.pair();
        rotate(&server, OldKeys::Retire).await;
        assert!(server.accepts(&old.access).await && server.accepts(&idle.access).await);
        assert_eq!(published(&server).await.len(), 2);

        // A replay gets the tokens it was given before, by the key that signs now.
        let again = server.refresh(&replaced.refresh).await.pair();
        let claims = |token: &str| token.split('.').nth(1).unwrap().to_owned();
        assert_eq!(claims(&again.access), claims(&current.access));
        assert_eq!(claims(&again.refresh), claims(&current.refresh));
        let new = server.refresh(&old.refresh).await.pair();
        let login = server.login("alice").await;
        for pair in [&again, &new] {
            assert_eq!(kids(pair), kids(&login));
        }
        let ([old_access, old_refresh], [access, refresh]) = (kids(&old), kids(&new));
        assert!(access != old_access && refresh != old_refresh);
        assert_eq!(new.access_header()["alg"], algorithm.name());
        assert!(server.accepts(&current.access).await && server.accepts(&new.access).await);

        // Each old key goes once the last token that it may have signed has expired.
        let remaining = ACCESS_TTL_MAX + LAG;
        server.wait(just_before(remaining));
        assert_eq!(published(&server).await.len(), 2);
        server.wait(remaining.saturating_sub(just_before(remaining)));
        assert_eq!(published(&server).await, [access]);
        server.wait(just_before(REFRESH_TTL).saturating_sub(remaining));
        server.refresh(&idle.refresh).await.ok(200);
    }
}

#[tokio::test]
async fn a027_a_key_that_is_dropped_kills_its_tokens_at_the_next_request() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    rotate(&server, OldKeys::Retire).await;
    let second = server.login("alice").await;
    // Their signatures are remembered from here on.
    for pair in [&first, &second] {
        assert!(server.accepts(&pair.access).await);
    }
    rotate(&server, OldKeys::Drop).await;
    for pair in [&first, &second] {
        assert!(!server.accepts(&pair.access).await);
        server.refresh(&pair.refresh).await.refused(401, "invalid_grant");
    }
    let third = server.login("alice").await;
    assert!(server.accepts(&third.access).await);
    assert_eq!(published(&server).await, kids(&third)[..1]);
    let stored = server.store.signing_keys().await.unwrap();
    assert_eq!(stored.keys.len(), 2);
    let events = server.store.audit(None, 100).await.unwrap();
    let noted = events.iter().filter(|event| event.event == Event::KeysChanged);
    assert_eq!(noted.map(|event| event.actor).collect::<Vec<_>>(), [Actor::Operator; 2]);
}

/// Names that no key has, well-formed and not, in tokens that are ours but for them.
#[tokio::test]
async fn a027_ten_thousand_unknown_keys_cost_no_access_to_the_store() {
    let server = TestServer::start().await;
    let pair = server.user("alice").await;
    for (token, mut named) in
        [(&pair.access, pair.access_header()), (&pair.refresh, pair.refresh_header())]
    {
        let (_, rest) = token.split_once('.').unwrap();
        let before = server.watched.calls();
        for index in 0..5_000 {
            named["kid"] = json!(match index % 4 {
                0 => format!("{index:043}"),
                1 => format!("../keys/{index}"),
                2 => format!("' or {index} --"),
                _ => format!("http://127.0.0.1:{index}/"),
            });
            let forged = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(named.to_string()));
            let call = if token == &pair.access {
                server.get("/users/me").bearer(&forged).await
            } else {
                server.refresh(&forged).await
            };
            assert_eq!(call.status, 401, "{named}");
        }
        assert_eq!(server.watched.calls(), before);
    }
    assert!(server.accepts(&pair.access).await);
    server.refresh(&pair.refresh).await.ok(200);
}

#[tokio::test]
async fn ky_06_keys_that_could_not_be_stored_sign_nothing() {
    let server = TestServer::start().await;
    let old = server.user("alice").await;
    server.watched.fail("replace_signing_keys", StoreError::Busy);
    for keys in [OldKeys::Retire, OldKeys::Drop] {
        server.auth.rotate_keys(&Operator::checked(), keys).await.unwrap_err();
    }
    let still = server.login("alice").await;
    assert_eq!(kids(&still), kids(&old));
    assert!(server.accepts(&old.access).await);
    assert_eq!(published(&server).await.len(), 1);
    server.watched.mend("replace_signing_keys");
    rotate(&server, OldKeys::Drop).await;
    assert!(!server.accepts(&still.access).await);
}

#[tokio::test]
async fn ky_06_keys_whose_storing_had_no_answer_sign_nevertheless() {
    let server = TestServer::start().await;
    let old = server.user("alice").await;
    server.watched.lose_answer("replace_signing_keys");
    rotate(&server, OldKeys::Drop).await;
    assert!(!server.accepts(&old.access).await);
    let new = server.login("alice").await;
    let stored = server.store.signing_keys().await.unwrap();
    assert_eq!(stored.keys[0].kid, kids(&new)[0]);
}

/// A refresh that was let in by the old key is answered after it is dropped, with tokens that are dead.
#[tokio::test]
async fn ky_06_a_refresh_in_flight_does_not_outlive_a_dropped_key() {
    for (old, lives) in [(OldKeys::Drop, false), (OldKeys::Retire, true)] {
        let server = TestServer::start().await;
        let pair = server.user("alice").await;
        let held = server.watched.hold("rotate");
        let refresh = tokio::spawn({
            let server = Arc::clone(&server);
            async move { server.refresh(&pair.refresh).await.pair() }
        });
        held.reached().await;
        rotate(&server, old).await;
        held.release();
        let late = refresh.await.unwrap();
        assert_eq!(server.accepts(&late.access).await, lives);
        assert_eq!(server.refresh(&late.refresh).await.status == 200, lives);
    }
}

/// Whoever logs in or refreshes while keys rotate, from several sides at once, gets tokens that live on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ky_06_rotations_at_once_and_among_requests_lose_nothing() {
    let server = TestServer::start().await;
    let first = server.user("alice").await;
    let rotations: Vec<_> = (0..4)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move { rotate(&server, OldKeys::Retire).await })
        })
        .collect();
    let requests: Vec<_> = (0..16)
        .map(|_| {
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                let pair = server.login("alice").await;
                [server.refresh(&pair.refresh).await.pair(), pair]
            })
        })
        .collect();
    for rotation in rotations {
        rotation.await.unwrap();
    }
    for request in requests {
        for pair in request.await.unwrap() {
            assert!(server.accepts(&pair.access).await);
        }
    }
    assert!(server.accepts(&first.access).await);
    assert_eq!(published(&server).await.len(), 5);
    let stored = server.store.signing_keys().await.unwrap();
    let login = server.login("alice").await;
    assert_eq!(stored.keys[0].kid, kids(&login)[0], "what is stored last signs");
    server.wait(GRACE + SECOND);
    assert!(server.accepts(&first.access).await);
}
