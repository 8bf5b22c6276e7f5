//! The sled engine's check: a sound store passes, and each kind of disagreement is found and named.

use keystile::auth::model::attempts::{Attempts, STRANGERS};
use keystile::auth::model::audit::Event;
use keystile::auth::model::post::Post;
use keystile::auth::model::session::Session;
use keystile::auth::model::user::{Expect, User};
use keystile::clock::Timestamp;
use keystile::store::sled::{Checked, SledStore};
use keystile::store::{Store, codec};
use serde::Serialize;
use sled::Db;
use tempfile::TempDir;

use crate::fixture::{Make, NOW, at, behind_its_back, settings};
use crate::sled_import::key;

/// What the store below holds besides what a deleted user left.
struct Stored {
    directory: TempDir,
    alice: User,
    bob: User,
    /// Of Bob's session and post.
    session: Session,
    post: Post,
    /// A post of Carol's, who is deleted.
    left: Post,
}

/// An administrator, a user with a session and a post, and the like of a user who was deleted.
async fn closed_store(make: &Make) -> Stored {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    let (alice, bob, carol) = (make.admin("alice"), make.user("bob"), make.user("carol"));
    for user in [&alice, &bob, &carol] {
        let created = make.event(Event::UserCreated, NOW);
        store.create_user(user.clone(), None, vec![created]).await.unwrap();
    }
    let [session, lost] = [&bob, &carol].map(|user| make.session(user, NOW));
    for session in [&session, &lost] {
        store.open_session(make.open(session, 9, NOW)).await.unwrap();
    }
    let [post, left] = [&bob, &carol].map(|user| make.post(user, NOW));
    for post in [&post, &left] {
        store.create_post(post.clone()).await.unwrap();
    }
    store.delete_user(carol.id, Expect::default(), vec![]).await.unwrap();
    store.throttle_unlock(bob.id, vec![]).await.unwrap();
    store.replace_signing_keys(0, vec![key()], vec![]).await.unwrap();
    store.heartbeat(NOW).await.unwrap();
    store.close().await;
    Stored { directory, alice, bob, session, post, left }
}

async fn check(stored: &Stored) -> Checked {
    let store = SledStore::open(&settings(stored.directory.path())).unwrap();
    let checked = store.check().await.unwrap();
    store.close().await;
    checked
}

#[tokio::test]
async fn a_sound_store_agrees_and_its_entries_are_counted() {
    let stored = closed_store(&Make::new()).await;
    let checked = check(&stored).await;
    assert_eq!((checked.disagreements, checked.first), (0, None));
    let expected = [
        ("user", 2),
        ("name", 2),
        ("admin", 1),
        ("session", 2),
        ("expiry", 2),
        ("post", 2),
        ("author", 2),
        ("audit", 5),
        ("attempts", 1),
        ("deleted", 1),
        ("meta", 3),
    ];
    assert_eq!(checked.tables, expected);
}

#[tokio::test]
async fn what_a_deleted_user_left_agrees_before_and_after_it_is_swept() {
    let stored = closed_store(&Make::new()).await;
    for _ in 0..4 {
        let store = SledStore::open(&settings(stored.directory.path())).unwrap();
        store.sweep(NOW, 1).await.unwrap();
        store.close().await;
        assert_eq!(check(&stored).await.first, None);
    }
}

fn put<T: Serialize>(db: &Db, table: &'static str, key: &[u8], record: &T) {
    db.open_tree(table).unwrap().insert(key, codec::encode(table, key, record).unwrap()).unwrap();
}

/// Writes a session with the time that it is filed under.
fn put_session(db: &Db, key: &[u8], session: &Session, filed_at: Timestamp) {
    put(db, "session", key, &(session, filed_at));
}

fn mark(db: &Db, table: &str, key: &[u8]) {
    db.open_tree(table).unwrap().insert(key, b"").unwrap();
}

fn remove(db: &Db, table: &str, key: &[u8]) {
    let removed = db.open_tree(table).unwrap().remove(key).unwrap();
    assert!(removed.is_some(), "there was nothing to remove");
}

fn key_of(session: &Session) -> Vec<u8> {
    [session.user.to_bytes(), session.id.to_bytes()].concat()
}

fn expiry_of(session: &Session) -> Vec<u8> {
    [session.expires_at().millis().to_be_bytes().to_vec(), key_of(session)].concat()
}

fn author_of(post: &Post) -> Vec<u8> {
    [post.author.to_bytes(), post.id.to_bytes()].concat()
}

/// Makes one thing wrong.
type Plant = fn(&Db, &Stored);

/// Each with the table and the words of what is found first, and how many entries disagree.
const PLANTS: [(&str, &str, u64, Plant); 27] = [
    ("user", "it cannot be read", 3, |db, stored| {
        let alice = stored.alice.id.to_bytes();
        db.open_tree("user").unwrap().insert(alice, b"garbage").unwrap();
    }),
    ("user", "it holds another user", 2, |db, stored| {
        put(db, "user", &stored.bob.id.to_bytes(), &stored.alice);
    }),
    ("user", "the user's name does not lead to it", 1, |db, _| remove(db, "name", b"bob")),
    ("user", "the user's name does not lead to it", 2, |db, stored| {
        put(db, "name", b"bob", &stored.alice.id);
    }),
    ("user", "it is not among the administrators", 1, |db, stored| {
        remove(db, "admin", &stored.alice.id.to_bytes());
    }),
    ("name", "there is no such user", 1, |db, stored| {
        put(db, "name", b"carol", &stored.left.author);
    }),
    ("name", "its user has another name", 1, |db, stored| {
        put(db, "name", b"robert", &stored.bob.id);
    }),
    ("admin", "there is no such user", 1, |db, stored| {
        mark(db, "admin", &stored.left.author.to_bytes());
    }),
    ("admin", "its user is no enabled administrator", 1, |db, stored| {
        mark(db, "admin", &stored.bob.id.to_bytes());
    }),
    ("session", "there is no expiry entry for it", 1, |db, stored| {
        remove(db, "expiry", &expiry_of(&stored.session));
    }),
    ("session", "it holds another session", 1, |db, stored| {
        put_session(db, &[7; 32], &stored.session, stored.session.expires_at());
    }),
    ("session", "its epoch is still to come", 1, |db, stored| {
        let session = Session { epoch: 1, ..stored.session.clone() };
        put_session(db, &key_of(&session), &session, session.expires_at());
    }),
    ("session", "it is filed later than it expires", 1, |db, stored| {
        let session = Session { ends_at: NOW, ..stored.session.clone() };
        put_session(db, &key_of(&session), &session, stored.session.expires_at());
    }),
    ("session", "there is no such user, and none was deleted", 2, |db, stored| {
        remove(db, "deleted", &stored.left.author.to_bytes());
    }),
    ("expiry", "there is no such session", 1, |db, stored| {
        remove(db, "session", &key_of(&stored.session));
    }),
    ("expiry", "its session is filed under another", 1, |db, stored| {
        mark(
            db,
            "expiry",
            &[NOW.millis().to_be_bytes().to_vec(), key_of(&stored.session)].concat(),
        );
    }),
    ("expiry", "it is no key of this table", 1, |db, _| mark(db, "expiry", b"short")),
    ("post", "it is not in its author's index", 1, |db, stored| {
        remove(db, "author", &author_of(&stored.post));
    }),
    ("post", "it holds another post", 1, |db, stored| put(db, "post", &[7; 16], &stored.post)),
    ("author", "there is no such post", 1, |db, stored| {
        remove(db, "post", &stored.post.id.to_bytes());
    }),
    ("author", "its post is another author's", 1, |db, stored| {
        mark(db, "author", &[stored.alice.id.to_bytes(), stored.post.id.to_bytes()].concat());
    }),
    ("audit", "it holds another event", 1, |db, _| {
        let event = Make::seeded(9).event(Event::UserCreated, at(1));
        put(db, "audit", &[7; 16], &event);
    }),
    ("attempts", "there is no such user", 1, |db, stored| {
        put(db, "attempts", &stored.left.author.to_bytes(), &Attempts::default());
    }),
    ("attempts", "it is no key of this table", 1, |db, _| {
        put(db, "attempts", &STRANGERS.to_be_bytes(), &Attempts::default());
    }),
    ("deleted", "its user is there", 1, |db, stored| {
        mark(db, "deleted", &stored.bob.id.to_bytes());
    }),
    ("meta", "it is no key of this table", 1, |db, _| put(db, "meta", b"other", &NOW)),
    ("meta", "there are users and no signing keys", 1, |db, _| {
        remove(db, "meta", b"signing_keys");
    }),
];

#[tokio::test]
async fn each_kind_of_disagreement_is_found_and_named() {
    for (index, (table, what, disagreements, plant)) in PLANTS.into_iter().enumerate() {
        let stored = closed_store(&Make::new()).await;
        behind_its_back(stored.directory.path(), |db| plant(db, &stored));
        let checked = check(&stored).await;
        let first = checked.first.unwrap_or_else(|| panic!("{index}: {what}: nothing was found"));
        assert_eq!((first.table, first.what), (table, what), "{index}");
        assert_eq!(checked.disagreements, disagreements, "{index}: {what}");
    }
}

#[tokio::test]
async fn a_disagreement_names_its_key() {
    let stored = closed_store(&Make::new()).await;
    behind_its_back(stored.directory.path(), |db| {
        put(db, "meta", b"\x01other", &Timestamp::default());
    });
    let first = check(&stored).await.first.unwrap().to_string();
    assert_eq!(first, "table meta, key 016f74686572: it is no key of this table");
}
