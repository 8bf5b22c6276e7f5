//! The sweeper removes what is dead, and only that.

use std::time::Duration;

use keystile::auth::model::audit::Event;
use keystile::auth::model::user::Expect;
use keystile::clock::Timestamp;
use keystile::store::Swept;

use crate::fixture::{AnyStore, IDLE, Make, NOW, at, disable, lives};

/// How long after its deadline a session may still be kept.
const SLACK: Duration = Duration::from_secs(3600);

fn swept_by(deadline: Timestamp) -> Timestamp {
    deadline.after(SLACK)
}

pub async fn what_lives_is_not_swept(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let post = make.post(&alice, NOW);
    store.create_post(post.clone()).await.unwrap();
    let last = at(IDLE.as_secs() - 1);
    assert_eq!(store.sweep(last, 100).await.unwrap().records, 0);
    assert!(lives(&store, &session, last).await);
    assert!(store.post(post.id).await.unwrap().is_some());
}

pub async fn an_expired_session_is_kept_for_seventy_seconds(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    make.stored_session(&store, &alice, NOW).await;
    let deadline = IDLE.as_secs();
    assert_eq!(store.sweep(at(deadline + 69), 100).await.unwrap().records, 0);
    assert_eq!(store.sweep(at(deadline + 70), 100).await.unwrap().records, 1);
}

pub async fn expired_sessions_are_swept_within_the_limit(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    for _ in 0..5 {
        make.stored_session(&store, &alice, NOW).await;
    }
    let bob = make.stored_user(&store, "bob").await;
    let now = swept_by(NOW.after(IDLE));
    let living = make.stored_session(&store, &bob, now).await;
    for (records, is_done) in [(3, false), (2, true), (0, true)] {
        assert_eq!(store.sweep(now, 3).await, Ok(Swept { records, is_done }));
    }
    assert!(lives(&store, &living, now).await);
}

pub async fn a_session_that_moved_its_deadline_is_not_swept_by_the_old_one(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let later = at(IDLE.as_secs() - 1);
    let _ = store.rotate(make.rotate(&session, later)).await.unwrap();
    let now = swept_by(NOW.after(IDLE / 2));
    store.sweep(now, 100).await.unwrap();
    assert!(lives(&store, &session, now).await);
    assert_eq!(store.sweep(swept_by(later.after(IDLE)), 100).await.unwrap().records, 1);
}

pub async fn refreshed_sessions_are_swept_at_their_last_deadline_and_no_sweep_lasts_for_ever(
    store: AnyStore,
) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let mut sessions = vec![];
    for _ in 0..5 {
        sessions.push(make.stored_session(&store, &alice, NOW).await);
    }
    let last = at(IDLE.as_secs() - 1);
    for session in &sessions {
        let _ = store.rotate(make.rotate(session, last)).await.unwrap();
    }
    for (now, live) in [(last.after(IDLE / 2), 5), (swept_by(last.after(IDLE)), 0)] {
        let mut rounds = 0;
        while !store.sweep(now, 2).await.unwrap().is_done {
            rounds += 1;
        }
        assert!(rounds <= 3, "{rounds}");
        assert_eq!(store.sweep(now, 2).await.unwrap().records, 0);
        assert_eq!(store.sessions_of(alice.id, now).await.unwrap().len(), live);
    }
}

pub async fn a_shortened_deadline_is_swept_at_its_time(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let mut rotate = make.rotate(&session, at(1));
    rotate.next.refresh_expires_at = at(60);
    let _ = store.rotate(rotate).await.unwrap();
    assert_eq!(store.sweep(at(60 + 70), 9).await.unwrap().records, 1);
    assert_eq!(store.sweep(swept_by(NOW.after(IDLE)), 9).await.unwrap().records, 0);
}

pub async fn what_a_deleted_user_left_is_swept(store: AnyStore) {
    let make = Make::new();
    let (alice, bob) =
        (make.stored_user(&store, "alice").await, make.stored_user(&store, "bob").await);
    for user in [&alice, &bob] {
        for _ in 0..3 {
            make.stored_session(&store, user, NOW).await;
            store.create_post(make.post(user, NOW)).await.unwrap();
        }
    }
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    let mut removed = 0;
    loop {
        let step = store.sweep(NOW, 4).await.unwrap();
        assert!(step.records <= 4);
        removed += step.records;
        if step.is_done {
            break;
        }
    }
    assert!(removed >= 6, "{removed}");
    assert_eq!(store.sessions_of(bob.id, NOW).await.unwrap().len(), 3);
    assert_eq!(store.posts(None, 9).await.unwrap().items.len(), 3);
}

pub async fn audit_events_are_kept_for_ninety_days(store: AnyStore) {
    let make = Make::new();
    let alice = make.user("alice");
    let (old, young) =
        (make.event(Event::UserCreated, NOW), make.event(Event::UserDisabled, at(1)));
    store.create_user(alice.clone(), None, vec![old]).await.unwrap();
    store.update_user(alice.id, disable(), vec![young.clone()]).await.unwrap();
    let days = Duration::from_secs(90 * 24 * 60 * 60);
    assert_eq!(store.sweep(NOW.after(days), 100).await.unwrap().records, 0);
    assert_eq!(store.sweep(at(1).after(days), 100).await.unwrap().records, 1);
    assert_eq!(store.audit(None, 9).await, Ok(vec![young]));
}
