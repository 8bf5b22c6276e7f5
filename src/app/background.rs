//! What runs beside the requests: the heartbeat that proves the store still writes, and the sweeper that
//! frees what has expired. Neither is ever needed for an answer to be right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::{Clock, SystemClock};
use crate::http::health::Heartbeat;
use crate::store::Store;

/// How often the heartbeat is written.
const BEAT_INTERVAL: Duration = Duration::from_secs(5);
/// How far the clock may get ahead of the monotonic one before its time is no longer swept by.
const LEAP_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How many dead records one step of the sweeper removes. Each may be a page that has to be read, and traffic
/// waits for the whole step: with 64, the p99 of checks was 2.7 times as long while a million sessions were swept.
const SWEEP_STEP: usize = 16;
/// How long the sweeper rests after each step, in lengths of that step: traffic has the writer, the disk and
/// the cache to itself meanwhile.
const SWEEP_REST: u32 = 3;
/// And how long at most, however long a step took.
const SWEEP_REST_MAX: Duration = Duration::from_secs(1);

/// Resolves once `stopped` says so.
pub async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Writes the clock's mark every few seconds and notes when it was on disk.
pub async fn beat(
    store: Arc<dyn Store>,
    clock: Arc<SystemClock>,
    heartbeat: Arc<Heartbeat>,
    stopped: watch::Receiver<bool>,
) {
    while goes_on(&stopped, BEAT_INTERVAL).await {
        match store.heartbeat(clock.advance()).await {
            Ok(()) => heartbeat.beat(),
            Err(error) => tracing::error!(%error, "the heartbeat was not written"),
        }
    }
}

/// Removes what has expired, in small steps.
///
/// A clock that has leapt far ahead is not swept by: what it calls expired may be alive again once the clock
/// is set right, and a removal cannot be taken back.
pub async fn sweep(
    store: Arc<dyn Store>,
    clock: Arc<SystemClock>,
    interval: Duration,
    stopped: watch::Receiver<bool>,
) {
    while goes_on(&stopped, interval).await {
        // One time for the whole round: a long one must not go on by a clock that leaps meanwhile.
        let now = clock.now();
        let leap = now.since(clock.steady());
        if leap > LEAP_MAX {
            tracing::error!(leap_secs = leap.as_secs(), "the clock has leapt: nothing is swept");
            continue;
        }
        let (began, mut records) = (Instant::now(), 0);
        loop {
            let step_began = Instant::now();
            match store.sweep(now, SWEEP_STEP).await {
                Ok(step) => {
                    records += step.records;
                    let rest = step_began.elapsed().saturating_mul(SWEEP_REST).min(SWEEP_REST_MAX);
                    if step.is_done || !goes_on(&stopped, rest).await {
                        break;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the sweeper could not remove what has expired");
                    break;
                }
            }
        }
        if records > 0 {
            let duration_ms = began.elapsed().as_secs_f64() * 1000.0;
            tracing::debug!(records, duration_ms, "swept what has expired");
        }
    }
}

/// Runs what `task` makes until it ends by itself; one that panics is begun anew, since the server goes on
/// without it (TM-05).
pub async fn kept<F: Future<Output = ()> + Send + 'static>(
    name: &'static str,
    stopped: watch::Receiver<bool>,
    task: impl Fn() -> F,
) {
    while let Err(error) = tokio::spawn(task()).await {
        tracing::error!(%error, name, "a background task broke off and is begun anew");
        if !goes_on(&stopped, BEAT_INTERVAL).await {
            break;
        }
    }
}

/// Waits for `interval`; false if it is time to stop instead.
async fn goes_on(stopped: &watch::Receiver<bool>, interval: Duration) -> bool {
    tokio::select! {
        () = tokio::time::sleep(interval) => true,
        () = until(stopped.clone()) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn tm_05_a_task_that_panics_is_begun_anew_and_one_that_ends_is_not() {
        let (_stop, stopped) = watch::channel(false);
        let begun = Arc::new(AtomicU32::new(0));
        kept("test", stopped, || {
            let begun = Arc::clone(&begun);
            async move {
                assert!(begun.fetch_add(1, Ordering::Relaxed) >= 2, "planted");
            }
        })
        .await;
        assert_eq!(begun.load(Ordering::Relaxed), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_left_when_the_server_stops() {
        let (stop, stopped) = watch::channel(false);
        stop.send_replace(true);
        kept("test", stopped, || async { panic!("planted") }).await;
    }
}
