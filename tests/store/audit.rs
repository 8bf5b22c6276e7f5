//! Audit events stand or fall with the step that causes them.

use keystile::auth::model::audit::Event;
use keystile::auth::model::user::Expect;
use keystile::store::{OpenSession, StoreError};

use crate::fixture::{AnyStore, Make, NOW, at};

pub async fn events_are_written_with_their_step_and_listed_in_order(store: AnyStore) {
    let make = Make::new();
    let alice = make.user("alice");
    let session = make.session(&alice, NOW);
    let events = [
        make.event(Event::UserCreated, NOW),
        make.event(Event::SessionOpened, at(1)),
        make.event(Event::UserDeleted, at(2)),
    ];
    let [created, opened, deleted] = events.clone();
    store.create_user(alice.clone(), None, vec![created.clone()]).await.unwrap();
    let open = OpenSession { opened, ..make.open(&session, 9, NOW) };
    store.open_session(open).await.unwrap();
    store.delete_user(alice.id, Expect::default(), vec![deleted]).await.unwrap();
    assert_eq!(store.audit(None, 9).await.unwrap(), events);
    assert_eq!(store.audit(Some(created.id), 1).await.unwrap(), events[1..2]);
}

pub async fn a_refused_step_writes_no_event(store: AnyStore) {
    let make = Make::new();
    make.stored_user(&store, "alice").await;
    let event = vec![make.event(Event::UserCreated, NOW)];
    let refused = store.create_user(make.user("alice"), None, event).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    assert_eq!(store.audit(None, 9).await, Ok(vec![]));
}
