//! The sled engine with records that cannot be read: each denies itself and nothing else.

use std::path::Path;

use keystile::auth::model::audit::Event;
use keystile::auth::model::session::Session;
use keystile::auth::model::user::User;
use keystile::store::dump::Change;
use keystile::store::sled::SledStore;
use keystile::store::{Store, StoreError};
use tempfile::TempDir;

use crate::fixture::{IDLE, Make, NOW, at, behind_its_back, settings};

/// What the store below holds.
struct Stored {
    directory: TempDir,
    alice: User,
    bob: User,
    /// Both are Bob's.
    sessions: [Session; 2],
}

/// Two users, two sessions, a post by each and an event for each, closed in good order.
async fn closed_store(make: &Make) -> Stored {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    let (alice, bob) = (make.user("alice"), make.user("bob"));
    for (secs, user) in [(0, &alice), (1, &bob)] {
        let event = make.event(Event::UserCreated, at(secs));
        store.create_user(user.clone(), None, vec![event]).await.unwrap();
        store.create_post(make.post(user, at(secs))).await.unwrap();
    }
    let sessions = [make.session(&bob, at(2)), make.session(&bob, at(3))];
    for session in &sessions {
        store.open_session(make.open(session, 9, NOW)).await.unwrap();
    }
    store.close().await;
    Stored { directory, alice, bob, sessions }
}

/// Overwrites what stands at `key`.
fn spoil(path: &Path, table: &str, key: &[u8]) {
    let before = behind_its_back(path, |db| db.open_tree(table).unwrap().insert(key, b"garbage"));
    assert!(before.unwrap().is_some(), "there was nothing to spoil");
}

fn key_of(session: &Session) -> Vec<u8> {
    [session.user.to_bytes(), session.id.to_bytes()].concat()
}

#[tokio::test]
async fn an_unreadable_user_is_left_out_of_lists_with_what_is_theirs() {
    let stored = closed_store(&Make::new()).await;
    spoil(stored.directory.path(), "user", &stored.alice.id.to_bytes());
    let store = SledStore::open(&settings(stored.directory.path())).unwrap();
    let page = store.users(String::new(), None, 1).await.unwrap();
    assert_eq!((page.items, page.next), (vec![stored.bob.clone()], None));
    let posts = store.posts(None, 9).await.unwrap().items;
    assert_eq!(posts.iter().map(|(_, author)| author).collect::<Vec<_>>(), [&stored.bob]);
    let read = store.user(stored.alice.id).await;
    assert!(matches!(read, Err(StoreError::Corrupt { table: "user", .. })), "{read:?}");
}

#[tokio::test]
async fn an_unreadable_session_hinders_neither_the_list_nor_a_login() {
    let make = Make::new();
    let stored = closed_store(&make).await;
    let [spoilt, sound] = &stored.sessions;
    spoil(stored.directory.path(), "session", &key_of(spoilt));
    let store = SledStore::open(&settings(stored.directory.path())).unwrap();
    assert_eq!(store.sessions_of(stored.bob.id, NOW).await, Ok(vec![sound.clone()]));
    let another = make.session(&stored.bob, at(9));
    assert_eq!(store.open_session(make.open(&another, 9, at(9))).await, Ok(false));
    assert_eq!(store.sessions_of(stored.bob.id, at(9)).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_unreadable_session_is_swept_when_its_time_is_over() {
    let stored = closed_store(&Make::new()).await;
    let path = stored.directory.path();
    spoil(path, "session", &key_of(&stored.sessions[0]));
    let store = SledStore::open(&settings(path)).unwrap();
    assert_eq!(store.sweep(NOW.after(IDLE), 9).await.unwrap().records, 0);
    assert_eq!(store.sweep(NOW.after(IDLE * 2), 9).await.unwrap().records, 2);
    store.close().await;
    for table in ["session", "expiry"] {
        assert!(behind_its_back(path, |db| db.open_tree(table).unwrap().is_empty()), "{table}");
    }
}

#[tokio::test]
async fn an_unreadable_event_is_left_out_of_the_list() {
    let stored = closed_store(&Make::new()).await;
    let path = stored.directory.path();
    let store = SledStore::open(&settings(path)).unwrap();
    let events = store.audit(None, 9).await.unwrap();
    store.close().await;
    spoil(path, "audit", &events[0].id.to_bytes());
    let store = SledStore::open(&settings(path)).unwrap();
    assert_eq!(store.audit(None, 2).await, Ok(events[1..3].to_vec()));
}

#[tokio::test]
async fn an_export_leaves_out_what_cannot_be_read_and_says_how_much() {
    let stored = closed_store(&Make::new()).await;
    let path = stored.directory.path();
    spoil(path, "user", &stored.alice.id.to_bytes());
    let store = SledStore::open(&settings(path)).unwrap();
    let mut export = store.export(vec![]).await.unwrap();
    let (mut users, mut posts) = (vec![], vec![]);
    while let Some(changes) = export.next().await.unwrap() {
        for change in changes {
            match change {
                Change::User(user) => users.push(user),
                Change::Post(post) => posts.push(post.author),
                Change::Audit(_) | Change::Removed(_) => {}
            }
        }
    }
    assert_eq!((users, posts), (vec![stored.bob.clone()], vec![stored.bob.id]));
    assert_eq!(export.left_out(), 2, "a user and the user's post");
}
