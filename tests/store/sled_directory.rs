//! The sled engine's data directory: what is opened, what is refused, and that what is refused stays as it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use keystile::auth::model::post::{CONTENT_BYTES_MAX, Post, TITLE_CHARS_MAX};
use keystile::store::Store;
use keystile::store::sled::{OpenError, SledStore, compact};
use tempfile::TempDir;

use crate::fixture::{Make, NOW, settings};

/// A directory with one user in it, closed in good order.
async fn closed_store() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    store.create_user(Make::new().user("alice"), None, vec![]).await.unwrap();
    store.close().await;
    directory
}

/// Opens the store and makes sure that it holds what [`closed_store`] put there.
#[track_caller]
fn opens_with_its_user(path: &Path) -> impl Future<Output = ()> {
    let store = SledStore::open(&settings(path)).unwrap();
    async move {
        assert!(!store.is_first_start());
        let alice = Make::new().user("alice");
        assert_eq!(store.user_by_name(&alice.username).await, Ok(Some(alice)));
        store.close().await;
    }
}

/// sled puts what does not fit into a quarter of a segment into files of their own, which nothing here syncs.
#[tokio::test]
async fn the_longest_records_fit_into_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    let make = Make::new();
    let alice = make.user("alice");
    store.create_user(alice.clone(), None, vec![]).await.unwrap();
    for _ in 0..300 {
        let title = "\u{1F600}".repeat(TITLE_CHARS_MAX);
        let content = "x".repeat(CONTENT_BYTES_MAX);
        store.create_post(Post { title, content, ..make.post(&alice, NOW) }).await.unwrap();
    }
    store.close().await;
    let files = contents(directory.path());
    assert!(directory.path().join("db/blobs").is_dir(), "{files:?}");
    let blobs: Vec<_> =
        files.keys().filter(|path| path.to_string_lossy().contains("/blobs/")).collect();
    assert!(blobs.is_empty(), "{blobs:?}");
}

/// Opens the store, which must be refused and change nothing.
#[track_caller]
fn is_refused(path: &Path) -> OpenError {
    let before = contents(path);
    let Err(refused) = SledStore::open(&settings(path)) else {
        panic!("it opened");
    };
    assert_eq!(contents(path), before, "the directory was changed: {refused}");
    assert!(!refused.to_string().contains('\n'));
    refused
}

fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            found.insert(path, bytes);
        }
    }
    found
}

fn truncate(file: &Path, length: u64) {
    fs::File::options().write(true).open(file).unwrap().set_len(length).unwrap();
}

fn edit_manifest(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let file = path.join("manifest.json");
    let mut manifest = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    edit(&mut manifest);
    fs::write(&file, manifest.to_string()).unwrap();
}

fn snapshot(path: &Path) -> PathBuf {
    let names = fs::read_dir(path.join("db")).unwrap().map(|entry| entry.unwrap().path());
    let is_snapshot = |path: &PathBuf| path.file_stem().unwrap() == "snap";
    names.into_iter().find(is_snapshot).unwrap()
}

#[tokio::test]
async fn the_first_start_is_told_from_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/data");
    assert!(SledStore::open(&settings(&path)).unwrap().is_first_start());
    assert!(!SledStore::open(&settings(&path)).unwrap().is_first_start());
}

#[tokio::test]
async fn a_store_that_was_dropped_reopens_with_everything() {
    let directory = tempfile::tempdir().unwrap();
    let alice = Make::new().user("alice");
    for round in 0..5 {
        let store = SledStore::open(&settings(directory.path())).unwrap();
        let user = Make::seeded(round + 2).user(&format!("user{round}"));
        store.create_user(user, None, vec![]).await.unwrap();
        store.create_user(alice.clone(), None, vec![]).await.unwrap();
        let page = store.users(String::new(), None, 9).await.unwrap();
        assert_eq!(page.items.len() as u64, round + 2);
    }
}

#[tokio::test]
async fn what_is_queued_at_the_end_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(SledStore::open(&settings(directory.path())).unwrap());
    let make = Make::new();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let (store, user) = (store.clone(), make.user(&format!("user{number}")));
        tasks.spawn(async move { store.create_user(user, None, vec![]).await });
    }
    tokio::task::yield_now().await;
    store.close().await;
    let done = tasks.join_all().await.into_iter().flatten().count();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    assert_eq!(store.users(String::new(), None, 1000).await.unwrap().items.len(), done);
    assert!(done > 0);
}

#[tokio::test]
async fn a_second_opening_is_refused_and_names_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    let refused = is_refused(directory.path());
    let OpenError::Locked { holder, .. } = &refused else { panic!("{refused}") };
    assert_eq!(*holder, Some(std::process::id()));
    store.close().await;
    assert!(SledStore::open(&settings(directory.path())).is_ok());
}

#[tokio::test]
async fn a_truncated_database_is_refused_at_any_length() {
    let directory = closed_store().await;
    let file = directory.path().join("db/db");
    let whole = fs::read(&file).unwrap();
    for length in [0, 100, whole.len() / 2, whole.len() - 1] {
        truncate(&file, length as u64);
        assert!(matches!(is_refused(directory.path()), OpenError::Damaged { .. }), "{length}");
        fs::write(&file, &whole).unwrap();
    }
    opens_with_its_user(directory.path()).await;
}

#[tokio::test]
async fn a_database_that_lost_its_content_is_refused() {
    let (directory, other) = (closed_store().await, closed_store().await);
    let files = directory.path().join("db");
    fs::remove_dir_all(&files).unwrap();
    assert!(matches!(is_refused(directory.path()), OpenError::Damaged { .. }));
    fs::rename(other.path().join("db"), &files).unwrap();
    let Err(OpenError::Damaged { reason, .. }) = SledStore::open(&settings(directory.path()))
    else {
        panic!("another instance's database was taken");
    };
    assert!(reason.contains("another"), "{reason}");
}

#[tokio::test]
async fn a_foreign_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("thesis.txt"), "words").unwrap();
    assert!(matches!(is_refused(directory.path()), OpenError::Foreign { .. }));
    assert_eq!(contents(directory.path()).len(), 1);
}

#[tokio::test]
async fn a_fresh_volume_is_no_foreign_directory() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("lost+found")).unwrap();
    assert!(SledStore::open(&settings(directory.path())).unwrap().is_first_start());
}

#[tokio::test]
async fn a_database_without_its_manifest_is_refused() {
    let directory = closed_store().await;
    fs::remove_file(directory.path().join("manifest.json")).unwrap();
    assert!(matches!(is_refused(directory.path()), OpenError::Foreign { .. }));
}

#[tokio::test]
async fn an_unreadable_manifest_is_refused() {
    let directory = closed_store().await;
    fs::write(directory.path().join("manifest.json"), "{").unwrap();
    assert!(matches!(is_refused(directory.path()), OpenError::Damaged { .. }));
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = closed_store().await;
    edit_manifest(directory.path(), |manifest| manifest["schema"] = 4.into());
    assert!(matches!(is_refused(directory.path()), OpenError::Newer { found: 4, .. }));
    edit_manifest(directory.path(), |manifest| manifest["schema"] = 3.into());
    opens_with_its_user(directory.path()).await;
}

#[tokio::test]
async fn a_first_start_that_broke_off_is_begun_again() {
    let directory = closed_store().await;
    edit_manifest(directory.path(), |manifest| manifest["sealed"] = false.into());
    fs::write(directory.path().join("db/conf"), "torn").unwrap();
    let store = SledStore::open(&settings(directory.path())).unwrap();
    assert!(store.is_first_start());
    assert_eq!(store.has_users().await, Ok(false));
}

#[tokio::test]
async fn where_there_is_no_store_none_is_begun_unless_it_is_asked_for() {
    let path = tempfile::tempdir().unwrap();
    let refuse = |path: &Path| {
        let before = contents(path);
        for refused in [
            SledStore::open_existing(&settings(path)).map(drop),
            compact(&settings(path), &mut |_| {}).map(drop),
        ] {
            assert!(matches!(refused, Err(OpenError::Empty { .. })), "{refused:?}");
        }
        assert_eq!(contents(path), before);
    };
    refuse(path.path());
    fs::create_dir(path.path().join("lost+found")).unwrap();
    refuse(path.path());
    fs::write(path.path().join("keystile.lock"), format!("{}\n", std::process::id())).unwrap();
    refuse(path.path());
    let begun = closed_store().await;
    edit_manifest(begun.path(), |manifest| manifest["sealed"] = false.into());
    refuse(begun.path());
    let nowhere = path.path().join("nowhere");
    assert!(matches!(SledStore::open_existing(&settings(&nowhere)), Err(OpenError::Empty { .. })));
    assert!(!nowhere.exists());

    let directory = closed_store().await;
    let store = SledStore::open_existing(&settings(directory.path())).unwrap();
    assert!(!store.is_first_start());
}

#[tokio::test]
async fn a_compaction_that_fails_promises_no_less_than_before() {
    let directory = closed_store().await;
    let (store, make) = (SledStore::open(&settings(directory.path())).unwrap(), Make::seeded(2));
    let bob = make.user("bob");
    store.create_user(bob.clone(), None, vec![]).await.unwrap();
    for _ in 0..400 {
        let content = "x".repeat(3000);
        store.create_post(Post { content, ..make.post(&bob, NOW) }).await.unwrap();
    }
    store.close().await;
    drop(store);
    let promised = || {
        let manifest = fs::read(directory.path().join("manifest.json")).unwrap();
        serde_json::from_slice::<serde_json::Value>(&manifest).unwrap()["bytes_min"].as_u64()
    };
    let before = promised();
    assert!(before > Some(512 * 1024), "{before:?}");
    // What is in the way of the new database is nobody's to remove.
    fs::write(directory.path().join("db-1"), "a file").unwrap();
    compact(&settings(directory.path()), &mut |_| {}).unwrap_err();
    assert_eq!(promised(), before);
    fs::remove_file(directory.path().join("db-1")).unwrap();
    compact(&settings(directory.path()), &mut |_| {}).unwrap();
    opens_with_its_user(directory.path()).await;
}

#[tokio::test]
async fn a_snapshot_that_was_never_finished_is_dropped() {
    let directory = closed_store().await;
    let unfinished = directory.path().join("db/snap.7FFFFFFFFFFFFFFF.generating");
    fs::write(&unfinished, "").unwrap();
    opens_with_its_user(directory.path()).await;
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_bad_snapshot_is_moved_aside_and_the_log_replayed() {
    let directory = closed_store().await;
    opens_with_its_user(directory.path()).await;
    let snapshot = snapshot(directory.path());
    truncate(&snapshot, 5);
    opens_with_its_user(directory.path()).await;
    let name = format!("bad-{}", snapshot.file_name().unwrap().to_str().unwrap());
    assert!(directory.path().join(name).exists());
}

#[tokio::test]
async fn a_directory_of_another_owner_is_refused_with_the_command_to_type() {
    let directory = closed_store().await;
    // Only root can give a directory away; for anybody else there is nothing to try.
    if std::os::unix::fs::chown(directory.path(), Some(12_345), None).is_ok() {
        let refused = is_refused(directory.path());
        assert!(matches!(refused, OpenError::Owner { owner: 12_345, .. }));
        assert!(refused.to_string().contains("chown -R "), "{refused}");
    }
}

#[tokio::test]
async fn a_loose_directory_is_tightened_and_so_are_its_files() {
    let directory = closed_store().await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let loosen =
        |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let file = directory.path().join("db/db");
    loosen(directory.path(), 0o755);
    loosen(&file, 0o644);
    opens_with_its_user(directory.path()).await;
    assert_eq!(mode(directory.path()), 0o700);
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(&directory.path().join("manifest.json")), 0o600);
    assert_eq!(mode(&directory.path().join("keystile.lock")), 0o600);
}
