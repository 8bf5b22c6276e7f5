//! Signing keys, the clock's mark, and the store's own end.

use keystile::auth::model::audit::Event;
use keystile::auth::model::user::Expect;
use keystile::store::{KeyPurpose, SigningKeys, StoreError, StoredKey};

use crate::fixture::{AnyStore, Make, NOW, at};

fn key(kid: &str) -> StoredKey {
    StoredKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        purpose: KeyPurpose::Access,
        secret: vec![7; 32],
        created_at: NOW,
        verifies_until: None,
    }
}

pub async fn signing_keys_are_replaced_by_version(store: AnyStore) {
    let event = Make::new().event(Event::KeysChanged, NOW);
    assert_eq!(store.signing_keys().await, Ok(SigningKeys::default()));
    let replaced = store.replace_signing_keys(0, vec![key("a")], vec![event.clone()]).await;
    assert_eq!(replaced, Ok(1));
    let keys = vec![key("b"), key("a")];
    assert_eq!(store.replace_signing_keys(1, keys.clone(), vec![]).await, Ok(2));
    assert_eq!(store.signing_keys().await, Ok(SigningKeys { version: 2, keys: keys.clone() }));
    assert_eq!(store.replace_signing_keys(1, keys, vec![]).await, Ok(2), "repeated");
    assert_eq!(store.audit(None, 9).await, Ok(vec![event]));
}

pub async fn a_stale_version_replaces_no_keys(store: AnyStore) {
    store.replace_signing_keys(0, vec![key("a")], vec![]).await.unwrap();
    for stale in [0, 2] {
        let refused = store.replace_signing_keys(stale, vec![key("b")], vec![]).await;
        assert_eq!(refused, Err(StoreError::Conflict));
    }
    assert_eq!(store.signing_keys().await.unwrap().keys, [key("a")]);
}

pub async fn the_clock_mark_never_falls(store: AnyStore) {
    assert_eq!(store.clock_mark().await, Ok(None));
    store.heartbeat(at(5)).await.unwrap();
    store.heartbeat(at(3)).await.unwrap();
    assert_eq!(store.clock_mark().await, Ok(Some(at(5))));
    store.heartbeat(at(6)).await.unwrap();
    assert_eq!(store.clock_mark().await, Ok(Some(at(6))));
}

pub async fn a_store_knows_whether_it_has_users(store: AnyStore) {
    assert_eq!(store.has_users().await, Ok(false));
    let alice = Make::new().stored_user(&store, "alice").await;
    assert_eq!(store.has_users().await, Ok(true));
    store.delete_user(alice.id, Expect::default(), vec![]).await.unwrap();
    assert_eq!(store.has_users().await, Ok(false));
}

pub async fn a_closed_store_is_unavailable(store: AnyStore) {
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    store.close().await;
    assert_eq!(store.user(alice.id).await, Err(StoreError::Unavailable));
    assert_eq!(store.users(String::new(), None, 9).await, Err(StoreError::Unavailable));
    let refused = store.create_user(make.user("bob"), None, vec![]).await;
    assert_eq!(refused, Err(StoreError::Unavailable));
    assert_eq!(store.sweep(NOW, 9).await, Err(StoreError::Unavailable));
    store.touch_session(alice.id, make.session(&alice, NOW).id, NOW);
}

pub async fn closing_twice_is_closing_once(store: AnyStore) {
    tokio::join!(store.close(), store.close());
    store.close().await;
}
