//! How the store ends: in good order, or without what hangs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::SledStore;
use super::database::Database;
use super::writer::Command;

/// How long the end may take, in which sled waits for its disk.
const END_MAX: Duration = Duration::from_secs(10);

impl SledStore {
    /// Does what is queued, and closes; a store that does not within a while has failed.
    pub(super) async fn end(&self) {
        let closed = async {
            drop(self.queue.send(Command::Close).await);
            release(self.database.swap(None));
            let mut failed = self.failed.clone();
            while failed.changed().await.is_ok() {}
        };
        if tokio::time::timeout(END_MAX, closed).await.is_err() {
            tracing::error!("the store did not close in time");
            if let Some(failure) = self.failure.upgrade() {
                failure.send_replace(true);
            }
        }
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        self.database.store(None);
        // With the last sender gone, the writer does what is queued and ends; that of a store that has failed
        // may never.
        self.queue = mpsc::channel(1).0;
        if let Some(writer) = self.writer.take()
            && !*self.failed.borrow()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer panicked");
        }
    }
}

/// Lets go of sled, which waits for the disk: on a thread that nobody has to wait for.
fn release(database: Option<Arc<Database>>) {
    let released =
        std::thread::Builder::new().name("store-end".to_owned()).spawn(move || drop(database));
    if let Err(error) = released {
        tracing::error!(%error, "the store was let go of without a thread of its own");
    }
}
