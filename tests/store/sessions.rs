//! Steps on sessions, apart from their tokens.

use keystile::auth::model::audit::Event;
use keystile::auth::model::session::Session;
use keystile::auth::model::user::{Expect, SessionsAfter, User, UserChange};
use keystile::store::StoreError;

use crate::fixture::{AnyStore, GRACE, IDLE, Make, NOW, at, disable, lives, noted, only, set};

pub async fn a_session_opens_and_is_found_with_its_user(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let found = store.session(alice.id, session.id, NOW).await;
    assert_eq!(found, Ok(Some((session.clone(), alice.clone()))));
    let bob = make.stored_user(&store, "bob").await;
    assert_eq!(store.session(bob.id, session.id, NOW).await, Ok(None));
}

pub async fn a_session_opened_again_is_the_same_one(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    assert_eq!(store.open_session(make.open(&session, 1, NOW)).await, Ok(false));
    assert_eq!(store.sessions_of(alice.id, NOW).await, Ok(vec![session]));
}

pub async fn a_session_of_another_epoch_does_not_open(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.session(&alice, NOW);
    let alice = store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]).await.unwrap();
    let refused = store.open_session(make.open(&session, 9, NOW)).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    let session = Session { epoch: alice.epoch, ..session };
    assert_eq!(store.open_session(make.open(&session, 9, NOW)).await, Ok(false));
}

pub async fn a_session_of_a_disabled_or_deleted_user_does_not_open(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let disabled = store.update_user(alice.id, disable(), vec![]).await.unwrap();
    let session = make.session(&disabled, NOW);
    let refused = store.open_session(make.open(&session, 9, NOW)).await;
    assert_eq!(refused, Err(StoreError::Conflict));
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    let refused = store.open_session(make.open(&session, 9, NOW)).await;
    assert_eq!(refused, Err(StoreError::Conflict));
}

pub async fn an_expired_session_is_not_found(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let deadline = IDLE.as_secs();
    assert!(lives(&store, &session, at(deadline - 1)).await);
    assert!(!lives(&store, &session, at(deadline)).await);
    let nonce = session.current.access;
    assert_eq!(store.session_for(alice.id, session.id, nonce, at(deadline)).await, Ok(None));
    assert_eq!(store.sessions_of(alice.id, at(deadline)).await, Ok(vec![]));
}

pub async fn ending_a_session_says_whether_it_lived(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let end = async |session: &Session, now| {
        let audit = vec![make.event(Event::SessionEnded, now)];
        store.end_session(session.user, session.id, None, now, audit).await.unwrap()
    };
    assert!(end(&session, NOW).await);
    assert!(!lives(&store, &session, NOW).await);
    assert!(!end(&session, NOW).await);
    let expired = make.stored_session(&store, &alice, NOW).await;
    assert!(!end(&expired, NOW.after(IDLE)).await);
    assert_eq!(noted(&store, Event::SessionEnded).await.len(), 1);
}

pub async fn ending_for_a_token_takes_a_token_that_lives(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let _ = store.rotate(make.rotate(&session, NOW)).await.unwrap();
    let end = async |nonce, now| {
        let audit = vec![make.event(Event::SessionEnded, now)];
        store.end_session(alice.id, session.id, Some(nonce), now, audit).await.unwrap()
    };
    let replaced = session.current.access;
    assert!(!end(make.nonce(), NOW).await);
    assert!(!end(replaced, NOW.after(GRACE)).await);
    assert!(lives(&store, &session, NOW).await);
    assert_eq!(noted(&store, Event::SessionEnded).await, []);
    assert!(end(replaced, NOW).await);
    assert!(!lives(&store, &session, NOW).await);
    assert_eq!(noted(&store, Event::SessionEnded).await.len(), 1);
    assert!(!end(replaced, NOW).await);
}

pub async fn ending_all_sessions_ends_each(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let one = make.stored_session(&store, &alice, NOW).await;
    let other = make.stored_session(&store, &alice, NOW).await;
    store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]).await.unwrap();
    assert!(!lives(&store, &one, NOW).await);
    assert!(!lives(&store, &other, NOW).await);
    assert_eq!(store.sessions_of(alice.id, NOW).await, Ok(vec![]));
    assert_eq!(store.end_session(alice.id, one.id, None, NOW, vec![]).await, Ok(false));
}

pub async fn ending_all_but_one_spares_that_one(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let spared = make.stored_session(&store, &alice, NOW).await;
    let ended = make.stored_session(&store, &alice, NOW).await;
    let update = only(SessionsAfter::EndAllBut(spared.id));
    let alice = store.update_user(alice.id, update, vec![]).await.unwrap();
    assert!(!lives(&store, &ended, NOW).await);
    let spared = Session { epoch: alice.epoch, ..spared };
    let found = store.session_for(alice.id, spared.id, spared.current.access, NOW).await;
    assert_eq!(found, Ok(Some((spared, alice))));
}

pub async fn sparing_a_session_that_is_dead_is_refused(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let dead = make.stored_session(&store, &alice, NOW).await;
    let alice = store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]).await.unwrap();
    let update = only(SessionsAfter::EndAllBut(dead.id));
    assert_eq!(store.update_user(alice.id, update, vec![]).await, Err(StoreError::Conflict));
    assert!(!lives(&store, &dead, NOW).await);
    assert_eq!(store.user(alice.id).await, Ok(Some(alice)));
}

pub async fn enabling_a_user_revives_no_session(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    store.update_user(alice.id, disable(), vec![]).await.unwrap();
    assert!(!lives(&store, &session, NOW).await);
    let enable = UserChange { disabled: Some(false), ..UserChange::default() };
    store.update_user(alice.id, set(enable, SessionsAfter::Keep), vec![]).await.unwrap();
    assert!(!lives(&store, &session, NOW).await);
}

pub async fn a_deleted_users_session_is_dead_at_once(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    assert!(!lives(&store, &session, NOW).await);
    assert_eq!(store.sessions_of(alice.id, NOW).await, Ok(vec![]));
    assert_eq!(store.end_session(alice.id, session.id, None, NOW, vec![]).await, Ok(false));
}

async fn three_of_three(store: &AnyStore, make: &Make, user: &User) -> [Session; 3] {
    let mut sessions = [0, 1, 2].map(|secs| make.session(user, at(secs)));
    sessions.reverse();
    for session in &sessions {
        store.open_session(make.open(session, 3, at(3))).await.unwrap();
    }
    sessions.reverse();
    sessions
}

pub async fn the_least_recently_used_session_gives_way_at_the_limit(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let [oldest, middle, newest] = three_of_three(&store, &make, &alice).await;
    store.touch_session(alice.id, oldest.id, at(10));
    store.open_session(make.open(&make.session(&alice, at(11)), 3, at(11))).await.unwrap();
    assert!(lives(&store, &oldest, at(11)).await);
    assert!(!lives(&store, &middle, at(11)).await);
    assert!(lives(&store, &newest, at(11)).await);
    assert_eq!(store.sessions_of(alice.id, at(11)).await.unwrap().len(), 3);
    store.open_session(make.open(&make.session(&alice, at(12)), 1, at(12))).await.unwrap();
    assert_eq!(store.sessions_of(alice.id, at(12)).await.unwrap().len(), 1);
}

pub async fn a_session_that_gives_way_is_noted(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let [oldest, middle, _] = three_of_three(&store, &make, &alice).await;
    assert_eq!(noted(&store, Event::SessionEvicted).await, []);
    let open = make.open(&make.session(&alice, at(4)), 3, at(4));
    assert_eq!(store.open_session(open.clone()).await, Ok(true));
    assert_eq!(store.open_session(open).await, Ok(false));
    let open = make.open(&make.session(&alice, at(5)), 1, at(5));
    assert_eq!(store.open_session(open).await, Ok(true));
    let events = noted(&store, Event::SessionEvicted).await;
    let named: Vec<_> = events.iter().filter_map(|event| event.session).collect();
    assert_eq!(named, [oldest.id, middle.id], "one event for each login that had others give way");
    assert_eq!(noted(&store, Event::SessionOpened).await.len(), 5);
}

pub async fn dead_sessions_do_not_count_for_the_limit(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let [ended, ..] = three_of_three(&store, &make, &alice).await;
    let update = only(SessionsAfter::EndAllBut(ended.id));
    let alice = store.update_user(alice.id, update, vec![]).await.unwrap();
    for _ in 0..2 {
        store.open_session(make.open(&make.session(&alice, at(5)), 3, at(5))).await.unwrap();
    }
    assert!(lives(&store, &ended, at(5)).await);
    assert_eq!(store.sessions_of(alice.id, at(5)).await.unwrap().len(), 3);
}

pub async fn a_touch_moves_the_last_use_and_nothing_else(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    store.touch_session(alice.id, session.id, at(60));
    store.touch_session(alice.id, session.id, at(30));
    store.heartbeat(at(60)).await.unwrap(); // behind the touches in the queue
    let expected = Session { last_used_at: at(60), ..session };
    assert_eq!(store.sessions_of(alice.id, at(60)).await, Ok(vec![expected]));
}

pub async fn a_touch_revives_nothing(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    store.end_session(alice.id, session.id, None, NOW, vec![]).await.unwrap();
    store.touch_session(alice.id, session.id, at(1));
    store.heartbeat(at(1)).await.unwrap();
    assert!(!lives(&store, &session, at(1)).await);
}

pub async fn sessions_are_listed_oldest_first(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let sessions = three_of_three(&store, &make, &alice).await;
    assert_eq!(store.sessions_of(alice.id, at(3)).await, Ok(sessions.to_vec()));
}
