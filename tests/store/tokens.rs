//! What presenting a token does to its session.

use keystile::auth::model::audit::Event;
use keystile::auth::model::session::{Rotation, Session};
use keystile::auth::model::user::{Expect, SessionsAfter};
use keystile::store::{Rotate, StoreError};

use crate::fixture::{AnyStore, GRACE, IDLE, Make, NOW, at, disable, lives, noted, only};

/// The session after `rotate`, which must succeed.
async fn rotated(store: &AnyStore, rotate: Rotate) -> Session {
    match store.rotate(rotate).await {
        Ok(Rotation::Rotated(session)) => session,
        other => panic!("not rotated: {other:?}"),
    }
}

pub async fn a_token_of_the_current_pair_lives_and_a_strange_one_does_not(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let found = async |nonce| store.session_for(alice.id, session.id, nonce, NOW).await.unwrap();
    assert_eq!(found(session.current.access).await, Some((session.clone(), alice.clone())));
    assert!(found(session.current.refresh).await.is_some());
    assert_eq!(found(make.nonce()).await, None);
}

pub async fn a_rotation_moves_the_session_on(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let first = make.stored_session(&store, &alice, NOW).await;
    let second = rotated(&store, make.rotate(&first, at(60))).await;
    assert_eq!(second.current.number, 1);
    let stored = store.session_for(alice.id, first.id, second.current.access, at(60)).await;
    assert_eq!(stored, Ok(Some((second, alice))));
}

pub async fn the_replaced_pair_is_borne_with_through_the_grace(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let first = make.stored_session(&store, &alice, NOW).await;
    let second = rotated(&store, make.rotate(&first, NOW)).await;
    let old = first.current.access;
    let within = at(GRACE.as_secs() - 1);
    assert!(store.session_for(alice.id, first.id, old, within).await.unwrap().is_some());
    let after = NOW.after(GRACE);
    assert!(store.session_for(alice.id, first.id, old, after).await.unwrap().is_none());
    let again = store.rotate(make.rotate(&first, within)).await;
    assert_eq!(again, Ok(Rotation::Replayed(second)));
}

pub async fn a_used_up_token_ends_the_session_and_is_noted(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let first = make.stored_session(&store, &alice, NOW).await;
    let second = rotated(&store, make.rotate(&first, NOW)).await;
    assert_eq!(noted(&store, Event::RefreshReused).await, []);
    let after = NOW.after(GRACE);
    assert_eq!(store.rotate(make.rotate(&first, after)).await, Ok(Rotation::Reused));
    assert!(!lives(&store, &second, after).await);
    let refused = store.rotate(make.rotate(&second, after)).await;
    assert_eq!(refused, Err(StoreError::NotFound));
    assert_eq!(noted(&store, Event::RefreshReused).await.len(), 1);
}

pub async fn a_rotation_repeated_after_a_lost_answer_is_the_same(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let first = make.stored_session(&store, &alice, NOW).await;
    let rotate = make.rotate(&first, NOW);
    let once = rotated(&store, rotate.clone()).await;
    let late = Rotate { now: at(60), ..rotate };
    assert_eq!(rotated(&store, late).await, once);
}

pub async fn a_dead_session_does_not_rotate(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let refused = async |session: &Session, now| {
        assert_eq!(store.rotate(make.rotate(session, now)).await, Err(StoreError::NotFound));
    };
    let session = make.stored_session(&store, &alice, NOW).await;
    refused(&session, NOW.after(IDLE)).await;
    let alice = store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]).await.unwrap();
    refused(&session, NOW).await;
    let session = make.stored_session(&store, &alice, NOW).await;
    store.end_session(alice.id, session.id, None, NOW, vec![]).await.unwrap();
    refused(&session, NOW).await;
    let session = make.stored_session(&store, &alice, NOW).await;
    store.update_user(alice.id, disable(), vec![]).await.unwrap();
    refused(&session, NOW).await;
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    refused(&session, NOW).await;
}

pub async fn a_rotation_moves_the_deadline(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    rotated(&store, make.rotate(&session, at(60))).await;
    assert!(lives(&store, &session, at(59 + IDLE.as_secs())).await);
    assert!(!lives(&store, &session, at(60 + IDLE.as_secs())).await);
}
