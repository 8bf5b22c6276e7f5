//! [`Seats`]: how many connections there may be, and which of them has to go for a new one.
//!
//! It is the one that has had no request in flight for longest: silent, dripping in a request, or slow to take
//! its answer. A flood of such connections therefore keeps nobody out. Knows no bytes and no sockets.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

/// In the place of a time: a request is in flight.
const BUSY: u64 = u64::MAX;

/// How long a connection that was asked to go may take for it.
const LEAVE: Duration = Duration::from_secs(1);
/// How long an answer may take that is on its way, or a connection to notice that it was asked.
const MOMENT: Duration = Duration::from_millis(100);

/// The connections there are.
#[derive(Debug)]
pub struct Seats {
    most: usize,
    opened_at: Instant,
    taken: Mutex<Taken>,
    /// Told of each connection that has gone.
    left: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    sitting: BTreeMap<u64, Sitting>,
}

/// What is known of one connection.
#[derive(Debug)]
struct Sitting {
    /// Since when no request is in flight, in milliseconds since the opening; or [`BUSY`].
    free_since_ms: Arc<AtomicU64>,
    /// Asks the connection to go, if that was not done yet.
    ask: Option<oneshot::Sender<()>>,
}

/// One connection's place; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    number: u64,
    free_since_ms: Arc<AtomicU64>,
    asked: oneshot::Receiver<()>,
    must_go: bool,
}

impl Seats {
    /// Places for `most` connections.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        let opened_at = Instant::now();
        Arc::new(Self { most, opened_at, taken: Mutex::default(), left: Notify::new() })
    }

    /// A place, for which another connection may have to go first: there are never more of them, nor more open
    /// files. None when a request is in flight on each, and stays so for a moment.
    pub async fn take(self: &Arc<Self>) -> Option<Seat> {
        let began = Instant::now();
        let mut is_asked = false;
        loop {
            let left = self.left.notified();
            if let Some(seat) = self.try_take() {
                return Some(seat);
            }
            let asks = self.free_one();
            is_asked |= asks;
            let deadline = began + if is_asked { LEAVE } else { MOMENT };
            if Instant::now() >= deadline {
                return None;
            }
            // Whoever was asked may have begun a request just then: before long it is another one's turn.
            let until = if asks { deadline.min(Instant::now() + MOMENT) } else { deadline };
            // Late or not, there is one more look.
            let _ = timeout_at(until, left).await;
        }
    }

    fn try_take(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.sitting.len() >= self.most {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        let free_since_ms = Arc::new(AtomicU64::new(self.millis(Instant::now())));
        let (ask, asked) = oneshot::channel();
        let sitting = Sitting { free_since_ms: Arc::clone(&free_since_ms), ask: Some(ask) };
        taken.sitting.insert(number, sitting);
        Some(Seat { seats: Arc::clone(self), number, free_since_ms, asked, must_go: false })
    }

    /// Asks a connection to go; `false` when a request is in flight on each that was not asked yet.
    pub fn free_one(&self) -> bool {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let since = |sitting: &Sitting| sitting.free_since_ms.load(Ordering::Relaxed);
        let waiting = taken.sitting.values_mut().filter(|sitting| sitting.ask.is_some());
        let longest =
            waiting.filter(|sitting| since(sitting) != BUSY).min_by_key(|sitting| since(sitting));
        let Some(ask) = longest.and_then(|sitting| sitting.ask.take()) else { return false };
        // It may be gone already.
        let _ = ask.send(());
        true
    }

    fn millis(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.opened_at).as_millis();
        u64::try_from(passed).unwrap_or(BUSY - 1)
    }
}

impl Seat {
    /// Notes that a request is in flight.
    pub fn occupy(&self) {
        self.free_since_ms.store(BUSY, Ordering::Relaxed);
    }

    /// Notes that from `now` on none is.
    pub fn release(&self, now: Instant) {
        self.free_since_ms.store(self.seats.millis(now), Ordering::Relaxed);
    }

    /// Whether the connection must go; whoever asks is woken when that changes.
    pub fn must_go(&mut self, context: &mut Context<'_>) -> bool {
        self.must_go = self.must_go || Pin::new(&mut self.asked).poll(context).is_ready();
        self.must_go
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.sitting.remove(&self.number);
        self.seats.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::{Poll, Waker};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn must_go(seat: &mut Seat) -> bool {
        seat.must_go(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_one_without_a_request_for_longest_goes_for_a_new_one() {
        let seats = Seats::new(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(seats.take().await.unwrap());
            advance(Duration::from_secs(1)).await;
        }
        places[0].occupy();
        places[1].release(Instant::now());
        let (fourth, gone) = tokio::join!(seats.take(), async {
            let gone: Vec<_> = places.iter_mut().map(must_go).collect();
            drop(places.pop());
            gone
        });
        assert_eq!((fourth.is_some(), gone), (true, vec![false, false, true]));
        let (fifth, ()) = tokio::join!(seats.take(), async {
            let mut gone = places.pop().unwrap();
            assert!(must_go(&mut gone) && must_go(&mut gone) && !must_go(&mut places[0]));
        });
        assert!(fifth.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn another_one_goes_if_the_one_that_was_asked_has_begun_a_request() {
        let seats = Seats::new(2);
        let mut first = seats.take().await.unwrap();
        advance(Duration::from_secs(1)).await;
        let mut second = seats.take().await.unwrap();
        let (third, ()) = tokio::join!(seats.take(), async {
            assert!(must_go(&mut first) && !must_go(&mut second));
            first.occupy();
            poll_fn(
                |context| if second.must_go(context) { Poll::Ready(()) } else { Poll::Pending },
            )
            .await;
            drop(second);
        });
        assert!(third.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_goes_while_all_have_a_request_in_flight_or_there_is_room() {
        let seats = Seats::new(1);
        let mut first = seats.take().await.unwrap();
        first.occupy();
        assert!(seats.take().await.is_none() && !seats.free_one() && !must_go(&mut first));
        drop(first);
        let mut second = seats.take().await.unwrap();
        assert!(!must_go(&mut second));
        // One that does not go is not waited for long.
        assert!(seats.take().await.is_none() && must_go(&mut second) && !seats.free_one());
    }
}
