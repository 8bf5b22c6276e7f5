//! The sled engine at its limits: a full queue, a disk that is nearly full, and one that fails.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use keystile::auth::model::user::{Expect, SessionsAfter, UserChange, UserUpdate};
use keystile::auth::model::username::Email;
use keystile::store::sled::{SledSettings, SledStore};
use keystile::store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::fixture::{AnyStore, Make, NOW, at, demote, settings};

/// Names the directory to the test that plays the child.
const CHILD: &str = "KEYSTILE_TEST_FAILING_DISK";

#[tokio::test]
async fn a_full_queue_is_busy_and_what_it_refuses_is_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let store: AnyStore = Arc::new(SledStore::open(&settings(directory.path())).unwrap());
    let make = Make::new();
    let mut tasks = JoinSet::new();
    // Spawned on one thread they are all queued before any is answered.
    for number in 0..20_000 {
        let (store, user) = (Arc::clone(&store), make.user(&format!("user{number}")));
        tasks.spawn(async move { (user.id, store.create_user(user, None, vec![]).await) });
    }
    let mut refused = 0;
    for (id, outcome) in tasks.join_all().await {
        let is_there = store.user(id).await.unwrap().is_some();
        match outcome {
            Ok(()) => assert!(is_there),
            Err(StoreError::Busy) => {
                refused += 1;
                assert!(!is_there);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!((1..20_000).contains(&refused), "{refused}");
    assert_eq!(store.heartbeat(NOW).await, Ok(()));
}

#[tokio::test]
async fn touches_leave_room_in_the_queue_for_what_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let store: AnyStore = Arc::new(SledStore::open(&settings(directory.path())).unwrap());
    let make = Make::new();
    let alice = make.stored_user(&store, "alice").await;
    let session = make.stored_session(&store, &alice, NOW).await;
    for second in 0..20_000 {
        store.touch_session(alice.id, session.id, at(second));
    }
    assert_eq!(store.heartbeat(NOW).await, Ok(()));
}

#[tokio::test]
async fn below_the_floor_nothing_grows_but_everything_can_end() {
    let directory = tempfile::tempdir().unwrap();
    let make = Make::new();
    let (root, alice) = (make.admin("root"), make.user("alice"));
    let session = make.session(&alice, NOW);
    let post = make.post(&alice, NOW);
    let store = SledStore::open(&settings(directory.path())).unwrap();
    store.create_user(root.clone(), None, vec![]).await.unwrap();
    store.create_user(alice.clone(), None, vec![]).await.unwrap();
    store.open_session(make.open(&session, 9, NOW)).await.unwrap();
    store.create_post(post.clone()).await.unwrap();
    store.close().await;

    let full = SledSettings { min_free_bytes: u64::MAX, ..settings(directory.path()) };
    let store = SledStore::open(&full).unwrap();
    let another = make.session(&alice, NOW);
    assert_eq!(store.create_user(make.user("bob"), None, vec![]).await, Err(StoreError::DiskFull));
    assert_eq!(store.open_session(make.open(&another, 9, NOW)).await, Err(StoreError::DiskFull));
    assert_eq!(store.create_post(make.post(&alice, NOW)).await, Err(StoreError::DiskFull));
    let longer = store.update_post(post.id, None, String::new(), "x".repeat(3000), NOW).await;
    assert_eq!(longer, Err(StoreError::DiskFull));
    let email = Some(Some(Email::parse("alice@example.com").unwrap()));
    for change in [
        UserChange { full_name: Some(Some("Alice".to_owned())), ..UserChange::default() },
        UserChange { email, ..UserChange::default() },
    ] {
        let update =
            UserUpdate { change, expect: Expect::default(), sessions: SessionsAfter::Keep };
        let named = store.update_user(alice.id, update, vec![]).await;
        assert_eq!(named, Err(StoreError::DiskFull));
    }

    assert!(store.rotate(make.rotate(&session, NOW)).await.is_ok());
    assert_eq!(store.end_session(alice.id, session.id, None, NOW, vec![]).await, Ok(true));
    assert!(store.update_user(alice.id, demote(), vec![]).await.is_ok());
    assert_eq!(store.delete_user(alice.id, Expect::default(), vec![]).await, Ok(()));
    assert!(store.sweep(NOW, 100).await.unwrap().records > 0);
    assert_eq!(store.heartbeat(NOW).await, Ok(()));
}

/// Runs [`until_the_disk_fails`] in a process whose files may not grow beyond 1 MiB or so.
#[tokio::test]
async fn a_failing_disk_acknowledges_nothing_that_is_not_on_it() {
    let directory = tempfile::tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let child = Command::new("sh")
        .args(["-c", limited])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "sled_failure::until_the_disk_fails", "--nocapture"])
        .env(CHILD, directory.path())
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&child.stdout);
    let errors = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{output}{errors}");
    let acknowledged: BTreeSet<_> = output.lines().filter_map(|l| l.strip_prefix("ok ")).collect();
    assert!(!acknowledged.is_empty(), "{output}{errors}");

    let store = SledStore::open(&settings(directory.path())).unwrap();
    let posts = store.posts(None, usize::MAX).await.unwrap().items;
    let stored: BTreeSet<_> = posts.iter().map(|(post, _)| post.id.to_string()).collect();
    assert!(acknowledged.iter().all(|id| stored.contains(*id)));
}

/// The child's part: writes until the store fails, and reports what was acknowledged.
#[tokio::test]
async fn until_the_disk_fails() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = SledStore::open(&settings(path.as_ref())).unwrap();
    let make = Make::new();
    let alice = make.user("alice");
    store.create_user(alice.clone(), None, vec![]).await.unwrap();
    let error = loop {
        let mut post = make.post(&alice, NOW);
        post.content = "x".repeat(3000);
        let id = post.id;
        match store.create_post(post).await {
            Ok(()) => println!("\nok {id}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Unknown | StoreError::Unavailable), "{error}");
    tokio::time::timeout(Duration::from_secs(10), store.failed()).await.unwrap();
    assert_eq!(store.user(alice.id).await, Err(StoreError::Unavailable));
    assert_eq!(store.heartbeat(NOW).await, Err(StoreError::Unavailable));
}
