//! Loading a dump into the sled engine: all of it is there with its indexes, or there is no store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keystile::auth::model::audit::Event;
use keystile::auth::model::user::Expect;
use keystile::store::dump::{Contents, Writer, survey};
use keystile::store::sled::{ImportError, Load, SledStore, compact, import};
use keystile::store::{KeyPurpose, Store, StoredKey};

use crate::export::{State, churn, stored_users};
use crate::fixture::{AnyStore, Make, NOW, settings, sled};

/// The text of an export, taken piece by piece.
async fn dumped(store: &AnyStore) -> (String, State) {
    let (mut text, mut state) = (String::new(), State::default());
    let mut writer = Writer::begin(NOW, &mut text).unwrap();
    let mut export = store.export(vec![]).await.unwrap();
    while let Some(changes) = export.next().await.unwrap() {
        for change in &changes {
            writer.write(change, &mut text).unwrap();
        }
        state.apply(changes);
    }
    writer.finish(&mut text).unwrap();
    (text, state)
}

pub fn key() -> StoredKey {
    StoredKey {
        kid: "a".to_owned(),
        algorithm: "EdDSA".to_owned(),
        purpose: KeyPurpose::Access,
        secret: vec![1],
        created_at: NOW,
        verifies_until: None,
    }
}

fn load(path: &Path, text: &str, contents: &Contents) -> Result<(), ImportError> {
    let load = Load { dump: text.as_bytes(), contents, keys: vec![key()], audit: vec![] };
    import(&settings(path), load, &mut |_| {})
}

/// What an import of `text` makes of a new directory.
async fn imported(text: &str) -> State {
    let directory = tempfile::tempdir().unwrap();
    load(directory.path(), text, &survey(text.as_bytes(), &mut |_| {}).unwrap()).unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    assert!(!store.is_first_start());
    assert_eq!(store.signing_keys().await.unwrap().keys, [key()]);
    let checked = store.check().await.unwrap();
    assert_eq!(checked.first, None);
    let store: AnyStore = Arc::new(store);
    let state = State::listed(&store).await;
    store.close().await;
    state
}

#[tokio::test]
async fn an_imported_store_is_the_exported_one_without_its_sessions() {
    let (store, _directory) = sled();
    let make = Make::new();
    let alice = make.admin("alice");
    let created = make.event(Event::UserCreated, NOW);
    store.create_user(alice.clone(), None, vec![created]).await.unwrap();
    let [bob, carol] =
        [make.stored_user(&store, "bob").await, make.stored_user(&store, "carol").await];
    for user in [&alice, &bob, &carol] {
        store.create_post(make.post(user, NOW)).await.unwrap();
        make.stored_session(&store, user, NOW).await;
    }
    store.delete_user(carol.id, Expect::default(), vec![]).await.unwrap();
    let (text, state) = dumped(&store).await;
    assert_eq!(state, State::listed(&store).await);
    assert_eq!(imported(&text).await, state);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_exported_under_load_is_imported_as_it_was_in_the_end() {
    let (store, _directory) = sled();
    stored_users(&store, &Make::new(), "user").await;
    let stop = Arc::new(AtomicBool::new(false));
    let changing: Vec<_> = (0..4)
        .map(|number| tokio::spawn(churn(Arc::clone(&store), number, Arc::clone(&stop))))
        .collect();
    let (text, state) = dumped(&store).await;
    stop.store(true, Ordering::Relaxed);
    for changing in changing {
        changing.await.unwrap();
    }
    assert!(imported(&text).await == state, "another state was imported");
}

#[tokio::test]
async fn a_store_that_is_there_is_left_alone() {
    let (store, directory) = sled();
    let alice = Make::new().stored_user(&store, "alice").await;
    let (text, _) = dumped(&store).await;
    store.close().await;
    let contents = survey(text.as_bytes(), &mut |_| {}).unwrap();
    let refused = load(directory.path(), &text, &contents);
    assert!(matches!(refused, Err(ImportError::Occupied { .. })), "{refused:?}");
    let store = SledStore::open(&settings(directory.path())).unwrap();
    assert_eq!(store.user(alice.id).await, Ok(Some(alice)));
}

#[tokio::test]
async fn a_dump_that_changes_while_it_is_loaded_leaves_no_store() {
    let (store, _directory) = sled();
    stored_users(&store, &Make::new(), "user").await;
    let (text, _) = dumped(&store).await;
    let contents = survey(text.as_bytes(), &mut |_| {}).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let changed = text.replacen("a title", "A title", 1);
    for broken in [&changed, &text[..text.len() / 2]] {
        let refused = load(directory.path(), broken, &contents);
        assert!(matches!(refused, Err(ImportError::Dump(_))), "{refused:?}");
    }
    // It comes up neither empty nor half full: it waits for the import to be done again.
    for refused in [
        SledStore::open(&settings(directory.path())).map(drop),
        SledStore::open_existing(&settings(directory.path())).map(drop),
        compact(&settings(directory.path()), &mut |_| {}).map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            refused.to_string().ends_with(" was broken off; repeat it, or empty the directory")
        );
    }
    load(directory.path(), &text, &contents).unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    assert!(!store.is_first_start());
    assert_eq!(store.has_users().await, Ok(true));
}
