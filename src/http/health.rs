//! For load balancers and containers: does the process live, and does its store still write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::answer::Answer;
use super::fail::{Fail, Unavailable};
use super::problem::Problem;
use super::tag::Tag;

/// How old the last heartbeat may be.
const HEARTBEAT_AGE_MAX: Duration = Duration::from_secs(15);
/// When to ask again, in seconds.
const RETRY_AFTER_SECS: u32 = 5;

/// When the store last wrote and synced its heartbeat, on the monotonic clock.
#[derive(Debug)]
pub struct Heartbeat {
    started: Instant,
    last_millis: AtomicU64,
    has_stopped: AtomicBool,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            last_millis: AtomicU64::new(0),
            has_stopped: AtomicBool::new(false),
        }
    }
}

impl Heartbeat {
    /// Notes that the heartbeat is on disk.
    pub fn beat(&self) {
        self.last_millis.store(self.elapsed_millis(), Ordering::Release);
    }

    /// Notes that there will be no other: the store has failed.
    pub fn stop(&self) {
        self.has_stopped.store(true, Ordering::Release);
    }

    fn is_fresh(&self) -> bool {
        let last = self.last_millis.load(Ordering::Acquire);
        let age = Duration::from_millis(self.elapsed_millis().saturating_sub(last));
        age <= HEARTBEAT_AGE_MAX && !self.has_stopped.load(Ordering::Acquire)
    }

    fn elapsed_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Health.
pub struct HealthApi(pub Arc<Heartbeat>);

/// How the server is.
#[derive(Object, Serialize)]
#[oai(rename = "Health", read_only_all)]
struct Health {
    /// Always `ok`.
    status: String,
}

#[OpenApi(tag = "Tag::Health")]
impl HealthApi {
    /// Does the process live
    #[oai(path = "/healthz", method = "get", operation_id = "healthz")]
    async fn healthz(&self) -> Answer<Health> {
        Answer(Health { status: "ok".to_owned() })
    }

    /// Can it serve: is the last write to disk at most 15 seconds old
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self) -> Result<Answer<Health>, Fail<Unavailable>> {
        if !self.0.is_fresh() {
            return Err(Problem::unavailable(RETRY_AFTER_SECS).into());
        }
        Ok(Answer(Health { status: "ok".to_owned() }))
    }
}
