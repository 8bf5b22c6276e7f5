//! How much room the disk has left, asked at most once a second.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long an answer is good for.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The floor below which nothing may grow.
pub(super) struct Room {
    path: PathBuf,
    min_free_bytes: u64,
    last: Option<(Instant, bool)>,
}

impl Room {
    /// Watches the file system of `path`.
    pub(super) const fn new(path: PathBuf, min_free_bytes: u64) -> Self {
        Self { path, min_free_bytes, last: None }
    }

    /// Whether the store may grow. A disk that does not tell is taken to have room: it will refuse by itself.
    pub(super) fn is_left(&mut self) -> bool {
        if let Some((asked, answer)) = self.last
            && asked.elapsed() < GOOD_FOR
        {
            return answer;
        }
        let is_left = rustix::fs::statvfs(&self.path)
            .ok()
            .is_none_or(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= self.min_free_bytes);
        self.last = Some((Instant::now(), is_left));
        is_left
    }
}
