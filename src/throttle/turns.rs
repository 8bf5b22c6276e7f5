//! Who waits for whom: attempts at one account that wait until others are settled, first come first served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::auth::model::attempts::Account;

/// The queues, each there only while somebody waits in it.
#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<Account, Arc<Notify>>>);

/// A place in a queue; it ends when it is dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    account: Account,
    queue: Arc<Notify>,
}

impl Turns {
    /// A place in the queue of `account`. A call of [`Turns::next`] from now on is not missed.
    pub(super) fn take(&self, account: Account) -> Turn<'_> {
        let queue = Arc::clone(self.queues().entry(account).or_default());
        Turn { turns: self, account, queue }
    }

    /// Wakes who has waited for longest.
    pub(super) fn next(&self, account: Account) {
        if let Some(queue) = self.queues().get(&account) {
            queue.notify_one();
        }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<Account, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn<'_> {
    /// Waits to be woken.
    pub async fn wait(&self) {
        self.queue.notified().await;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.queues();
        // One is the map's, one is this.
        if Arc::strong_count(&self.queue) <= 2 {
            queues.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    const ACCOUNT: Account = Account::Stranger(1);

    async fn poll_immediately(mut waiting: Pin<&mut impl Future<Output = ()>>) -> Poll<()> {
        poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await
    }

    #[tokio::test]
    async fn each_call_wakes_one_and_none_is_missed() {
        let turns = Turns::default();
        let (first, second) = (turns.take(ACCOUNT), turns.take(ACCOUNT));
        turns.next(ACCOUNT);
        first.wait().await;
        let mut waiting = std::pin::pin!(second.wait());
        assert!(poll_immediately(waiting.as_mut()).await.is_pending());
        turns.next(ACCOUNT);
        assert!(poll_immediately(waiting).await.is_ready());
    }

    #[test]
    fn a_queue_is_there_while_somebody_waits_in_it() {
        let turns = Turns::default();
        turns.next(ACCOUNT);
        let (first, second) = (turns.take(ACCOUNT), turns.take(ACCOUNT));
        drop(first);
        assert_eq!(turns.queues().len(), 1);
        drop(second);
        assert_eq!(turns.queues().len(), 0);
    }
}
