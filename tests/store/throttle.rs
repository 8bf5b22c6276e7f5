//! Attempts at passwords: what is counted before it is judged, locked, unlocked, and gone with its user.

use std::time::Duration;

use keystile::auth::model::attempts::{Account, AccountLimits, Attempt, Attempts, Outcome, Permit};
use keystile::auth::model::audit::Event;
use keystile::auth::model::id::UserId;
use keystile::auth::model::source::Source;
use keystile::auth::model::user::Expect;
use keystile::store::StoreError;

use crate::fixture::{AnyStore, Make, NOW, at, noted};

const LIMITS: AccountLimits = AccountLimits {
    free_failures: 5,
    first_delay: Duration::from_secs(1),
    max_delay: Duration::from_secs(900),
    lock_after: 10,
    known_for: Duration::from_secs(86_400),
};

fn from(source: u8, account: Account) -> Attempt {
    Attempt { account, source: Source::V4([192, 0, 2, source]), limits: LIMITS }
}

async fn fail(store: &AnyStore, make: &Make, attempt: Attempt) -> bool {
    assert!(matches!(
        store.throttle_reserve(attempt, NOW).await.unwrap(),
        Permit::Go | Permit::Locked
    ));
    let on_lock = Some(make.event(Event::AccountLocked, NOW));
    store.throttle_settle(attempt, Outcome::Wrong, NOW, on_lock).await.unwrap()
}

/// Fails as often as it takes, from one source after another.
async fn lock(store: &AnyStore, make: &Make, account: Account) {
    for source in 0..10 {
        assert_eq!(fail(store, make, from(source, account)).await, source == 9);
    }
}

pub async fn of_64_attempts_at_once_the_free_ones_go(store: AnyStore) {
    let alice = Make::new().stored_user(&store, "alice").await;
    let attempt = from(1, Account::User(alice.id));
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let store = AnyStore::clone(&store);
            tokio::spawn(async move { store.throttle_reserve(attempt, NOW).await.unwrap() })
        })
        .collect();
    let mut gone = 0;
    for task in tasks {
        match task.await.unwrap() {
            Permit::Go => gone += 1,
            permit => assert_eq!(permit, Permit::Turn),
        }
    }
    assert_eq!(gone, LIMITS.free_failures);
}

pub async fn a_wait_is_read_and_ends_at_its_instant(store: AnyStore) {
    let make = Make::new();
    let account = Account::User(make.stored_user(&store, "alice").await.id);
    assert_eq!(store.attempts(account).await, Ok(Attempts::default()));
    for _ in 0..5 {
        assert!(!fail(&store, &make, from(1, account)).await);
    }
    let attempt = from(1, account);
    assert_eq!(store.throttle_reserve(attempt, NOW).await, Ok(Permit::Wait(at(1))));
    let attempts = store.attempts(account).await.unwrap();
    assert_eq!(attempts.blocked_until(attempt.source, NOW), Some(at(1)));
    assert_eq!(store.throttle_reserve(attempt, at(1)).await, Ok(Permit::Go));
}

pub async fn a_lock_is_noted_once_and_lifted_by_the_operator(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let account = Account::User(alice.id);
    lock(&store, &make, account).await;
    assert!(!fail(&store, &make, from(99, account)).await);
    assert_eq!(noted(&store, Event::AccountLocked).await.len(), 1);
    let unlocked = make.event(Event::AccountUnlocked, NOW);
    store.throttle_unlock(alice.id, vec![unlocked.clone()]).await.unwrap();
    assert_eq!(noted(&store, Event::AccountUnlocked).await, [unlocked]);
    assert_eq!(store.throttle_reserve(from(99, account), NOW).await, Ok(Permit::Go));
}

pub async fn only_a_user_can_be_unlocked(store: AnyStore) {
    let make = Make::new();
    let nobody = UserId::from_bytes([9; 16]);
    let unlocked = make.event(Event::AccountUnlocked, NOW);
    assert_eq!(store.throttle_unlock(nobody, vec![unlocked]).await, Err(StoreError::NotFound));
    assert!(noted(&store, Event::AccountUnlocked).await.is_empty());
}

pub async fn strangers_are_counted_as_users_are(store: AnyStore) {
    let make = Make::new();
    let account = Account::Stranger(7);
    lock(&store, &make, account).await;
    assert_eq!(store.throttle_reserve(from(99, account), NOW).await, Ok(Permit::Locked));
    let another = from(99, Account::Stranger(8));
    assert_eq!(store.throttle_reserve(another, NOW).await, Ok(Permit::Go));
}

pub async fn nothing_is_remembered_of_a_deleted_user(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let attempt = from(1, Account::User(alice.id));
    assert_eq!(store.throttle_reserve(attempt, NOW).await, Ok(Permit::Go));
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    assert_eq!(store.throttle_settle(attempt, Outcome::Wrong, NOW, None).await, Ok(false));
    assert_eq!(store.throttle_reserve(attempt, NOW).await, Ok(Permit::Go));
    assert_eq!(store.attempts(attempt.account).await, Ok(Attempts::default()));
}

pub async fn the_key_of_names_is_the_first_one(store: AnyStore) {
    assert_eq!(store.throttle_key([1; 32]).await, Ok([1; 32]));
    assert_eq!(store.throttle_key([2; 32]).await, Ok([1; 32]));
}
