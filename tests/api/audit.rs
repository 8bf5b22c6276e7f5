//! What the operator reads of the audit table, page by page.

use std::time::Duration;

use keystile::auth::audit::{AuditQuery, Since};
use keystile::auth::model::audit::{Actor, AuditEvent, Event};
use keystile::auth::model::id::EventId;
use keystile::auth::policy::Operator;
use keystile::random::SeededRandom;

use crate::harness::{NOW, TestServer};

/// More than two pages.
const EVENTS: u64 = 1100;

/// All that is told, and on how many pages.
async fn read(server: &TestServer, user: Option<&str>, since: Since) -> (Vec<EventId>, usize) {
    let (mut told, mut pages, mut after) = (vec![], 0, None);
    loop {
        let query = AuditQuery { user: user.map(str::to_owned), since, after };
        let page = server.auth.audit(&Operator::checked(), query).await.unwrap();
        told.extend(page.items.iter().map(|item| item.event.id));
        pages += 1;
        let Some(next) = page.next else { return (told, pages) };
        after = Some(next);
    }
}

#[tokio::test]
async fn every_event_is_told_once_however_many_there_are() {
    let server = TestServer::start().await;
    server.register("alice").await.ok(201);
    let random = SeededRandom::new(1);
    let at = |number| NOW.after(Duration::from_secs(number));
    let event =
        |number| AuditEvent::of_nobody(Event::KeysChanged, Actor::Server, at(number), &random);
    let events: Vec<_> = (1..=EVENTS).map(|number| event(number).unwrap()).collect();
    let ids: Vec<_> = events.iter().map(|event| event.id).collect();
    let version = server.store.signing_keys().await.unwrap().version;
    server.store.replace_signing_keys(version, vec![], events).await.unwrap();

    let before = server.store.audit(None, usize::MAX).await.unwrap().len() - ids.len();
    let (told, pages) = read(&server, None, Since::Ever).await;
    assert_eq!((told.len(), pages), (before + ids.len(), 3));
    assert_eq!(told[before..], ids);
    assert_eq!(
        read(&server, None, Since::Time(at(EVENTS))).await,
        (ids[ids.len() - 1..].to_vec(), 1)
    );
    let (about, pages) = read(&server, Some("alice"), Since::Ever).await;
    assert_eq!((about.len(), pages), (1, 3));
}
