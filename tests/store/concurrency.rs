//! Steps that race each other: whatever the order, the outcome is one of the orders.

use std::sync::Arc;

use keystile::auth::model::session::Rotation;
use keystile::auth::model::user::SessionsAfter;
use keystile::store::StoreError;
use tokio::task::JoinSet;

use crate::fixture::{AnyStore, Make, NOW, demote, disable, lives, only};

pub async fn of_64_tasks_that_register_one_name_one_wins(store: AnyStore) {
    let make = Make::new();
    let mut tasks = JoinSet::new();
    for _ in 0..64 {
        let (store, alice) = (Arc::clone(&store), make.user("alice"));
        tasks.spawn(async move {
            store.create_user(alice.clone(), None, vec![]).await.map(|()| alice.id)
        });
    }
    let outcomes = tasks.join_all().await;
    let winners: Vec<_> = outcomes.iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(outcomes.iter().filter(|&o| *o == Err(StoreError::Conflict)).count(), 63);
    let name = make.user("alice").username;
    assert_eq!(store.user_by_name(&name).await.unwrap().unwrap().id, *winners[0]);
}

pub async fn of_1000_rotations_of_one_token_one_rotates(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let mut tasks = JoinSet::new();
    for _ in 0..1000 {
        let (store, rotate) = (Arc::clone(&store), make.rotate(&session, NOW));
        tasks.spawn(async move { store.rotate(rotate).await.unwrap() });
    }
    let (mut rotated, mut replayed) = (vec![], vec![]);
    for outcome in tasks.join_all().await {
        match outcome {
            Rotation::Rotated(session) => rotated.push(session),
            Rotation::Replayed(session) => replayed.push(session),
            Rotation::Reused => panic!("within the grace there is no reuse"),
        }
    }
    assert_eq!((rotated.len(), replayed.len()), (1, 999));
    assert!(replayed.iter().all(|session| *session == rotated[0]));
    assert_eq!(store.sessions_of(alice.id, NOW).await, Ok(rotated));
}

/// Both at once, in every other round the second is asked for first.
async fn both<A, B>(
    round: usize,
    one: impl Future<Output = A>,
    other: impl Future<Output = B>,
) -> (A, B) {
    if round.is_multiple_of(2) {
        tokio::join!(one, other)
    } else {
        let (other, one) = tokio::join!(other, one);
        (one, other)
    }
}

pub async fn a_login_racing_a_disabling_never_lives_on(store: AnyStore) {
    let make = Make::new();
    for round in 0..50 {
        let user = make.stored_user(&store, &format!("user{round}")).await;
        let session = make.session(&user, NOW);
        let login = store.open_session(make.open(&session, 9, NOW));
        let (opened, disabled) =
            both(round, login, store.update_user(user.id, disable(), vec![])).await;
        assert!([Ok(false), Err(StoreError::Conflict)].contains(&opened), "{opened:?}");
        assert!(disabled.is_ok());
        assert!(!lives(&store, &session, NOW).await);
    }
}

pub async fn a_rotation_racing_an_end_of_all_sessions_never_lives_on(store: AnyStore) {
    let make = Make::new();
    let mut alice = make.stored_user(&store, "alice").await;
    for round in 0..50 {
        let session = make.stored_session(&store, &alice, NOW).await;
        let rotation = store.rotate(make.rotate(&session, NOW));
        let end = store.update_user(alice.id, only(SessionsAfter::EndAll), vec![]);
        let (rotated, ended) = both(round, rotation, end).await;
        let is_sound = matches!(rotated, Ok(Rotation::Rotated(_)) | Err(StoreError::NotFound));
        assert!(is_sound, "{rotated:?}");
        assert!(!lives(&store, &session, NOW).await);
        alice = ended.unwrap();
    }
}

pub async fn two_administrators_demoting_each_other_leave_one(store: AnyStore) {
    let make = Make::new();
    let (one, other) = (make.admin("one"), make.admin("other"));
    for admin in [&one, &other] {
        store.create_user(admin.clone(), None, vec![]).await.unwrap();
    }
    let outcomes = tokio::join!(
        store.update_user(one.id, demote(), vec![]),
        store.update_user(other.id, demote(), vec![]),
    );
    let ((Ok(_), Err(refused)) | (Err(refused), Ok(_))) = outcomes else {
        panic!("one and only one goes: {outcomes:?}");
    };
    assert_eq!(refused, StoreError::LastAdmin);
}

pub async fn concurrent_logins_never_exceed_the_limit(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let open = make.open(&make.session(&alice, NOW), 5, NOW);
        let (store, user) = (Arc::clone(&store), alice.id);
        tasks.spawn(async move {
            store.open_session(open).await.unwrap();
            assert!(store.sessions_of(user, NOW).await.unwrap().len() <= 5);
        });
    }
    tasks.join_all().await;
    assert_eq!(store.sessions_of(alice.id, NOW).await.unwrap().len(), 5);
}

pub async fn a_spared_session_is_never_seen_dead(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    let reader = {
        let (store, session) = (Arc::clone(&store), session.clone());
        tokio::spawn(async move {
            while store.user(session.user).await.unwrap().unwrap().epoch < 200 {
                assert!(lives(&store, &session, NOW).await);
                tokio::task::yield_now().await;
            }
        })
    };
    for _ in 0..200 {
        let update = only(SessionsAfter::EndAllBut(session.id));
        store.update_user(alice.id, update, vec![]).await.unwrap();
    }
    reader.await.unwrap();
}
