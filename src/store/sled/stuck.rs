//! A writer that never ends, as sled's may after an I/O error: closing goes on without it.

use super::*;

fn open(path: &std::path::Path) -> SledStore {
    let durability = Durability::Flush;
    let path = path.to_owned();
    SledStore::open(&SledSettings { path, cache_bytes: 1 << 20, durability, min_free_bytes: 0 })
        .unwrap()
}

/// Closes a store that has `queued` steps behind one that never ends.
async fn close_with(queued: usize) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (begun, has_begun) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let stuck = Box::new(move |_: &mut Staged<'_>| -> writer::Acknowledge {
        begun.send(()).unwrap();
        let _ = ended.recv();
        Box::new(drop)
    });
    store.enqueue(Command::Run(stuck)).unwrap();
    has_begun.recv().unwrap();
    for _ in 0..queued {
        store.enqueue(Command::Run(Box::new(|_| Box::new(drop)))).unwrap();
    }
    store.close().await;
    store.failed().await;
    assert_eq!(store.has_users().await, Err(StoreError::Unavailable));
    drop(store);
    drop(end);
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_stuck_does_not_hold_up_the_end() {
    close_with(0).await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_before_a_writer_that_is_stuck_does_not_either() {
    close_with(QUEUE_MAX).await;
}

#[tokio::test]
async fn a_store_that_closes_in_time_has_not_failed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.close().await;
    assert!(!*store.failed.borrow());
}
