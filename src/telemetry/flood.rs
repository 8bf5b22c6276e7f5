//! How many lines may be written: so many of one kind in a while, and the rest is counted (LG-06).
//!
//! A kind is a place in the source, and for security events each event. Of what is more detailed than `info`,
//! which somebody has asked for, everything is written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines of one kind are written in a window, all at once if need be.
const LINES_MAX: u32 = 10_000;
/// How long a window is.
const WINDOW: Duration = Duration::from_secs(10);
/// The field that tells security events apart.
const EVENT: &str = "event";

/// Lets lines through, and counts those that it does not.
#[derive(Clone)]
pub(super) struct Flood(Arc<Mutex<Windows>>);

/// The window that is running.
struct Windows {
    began: Instant,
    kinds: HashMap<Identifier, HashMap<String, Kind>>,
}

/// The lines of one kind.
#[derive(Default)]
struct Kind {
    /// How many there were in this window.
    lines: u32,
    /// How many were left out and not yet told of.
    left_out: u64,
}

impl Flood {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Windows { began: Instant::now(), kinds: HashMap::new() })))
    }

    /// What was left out since the last time, by kind: the event, or where in the program it is logged.
    pub(super) fn left_out(&self) -> Vec<(String, u64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).left_out()
    }
}

impl<S: Subscriber> Layer<S> for Flood {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        if *metadata.level() > Level::INFO {
            return true;
        }
        let mut name = EventName::default();
        if metadata.fields().field(EVENT).is_some() {
            event.record(&mut name);
        }
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.admits(metadata, &name.0, Instant::now())
    }
}

impl Windows {
    fn admits(&mut self, metadata: &Metadata<'_>, event: &str, now: Instant) -> bool {
        if now.duration_since(self.began) >= WINDOW {
            self.began = now;
            self.kinds.values_mut().flat_map(HashMap::values_mut).for_each(|kind| kind.lines = 0);
        }
        let kinds = self.kinds.entry(metadata.callsite()).or_default();
        if !kinds.contains_key(event) {
            kinds.insert(event.to_owned(), Kind::default());
        }
        let Some(kind) = kinds.get_mut(event) else { return true };
        let admits = kind.lines < LINES_MAX;
        if admits {
            kind.lines += 1;
        } else {
            kind.left_out += 1;
        }
        admits
    }

    fn left_out(&mut self) -> Vec<(String, u64)> {
        let mut told = Vec::new();
        for (place, kinds) in &mut self.kinds {
            for (event, kind) in kinds.iter_mut().filter(|(_, kind)| kind.left_out > 0) {
                let name = if event.is_empty() { place.0.metadata().target() } else { event };
                told.push((name.to_owned(), std::mem::take(&mut kind.left_out)));
            }
        }
        told
    }
}

/// Finds the name of a security event.
#[derive(Default)]
struct EventName(String);

impl Visit for EventName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == EVENT {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::log::LogFormat;
    use crate::telemetry::{Captured, dispatch};

    /// Logs `lines` lines of one place in the source.
    fn shout(lines: u32, event: &str) {
        for number in 0..lines {
            tracing::info!(target: "audit", event, number, "m");
        }
    }

    /// Whatever the windows are: every line was written or is counted.
    #[test]
    fn a123_of_a_million_lines_few_are_written_and_all_are_counted() {
        let (captured, flood, began) = (Captured::default(), Flood::new(), Instant::now());
        let writer = captured.clone();
        let make = move || writer.clone();
        let dispatch = dispatch(LogFormat::Json, "info", false, make, flood.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            shout(1_000_000, "login_failed");
            shout(3, "password_changed");
            tracing::warn!("another place");
        });
        let windows = 1 + began.elapsed().as_secs() / WINDOW.as_secs();
        let text = captured.text();
        let written = text.lines().filter(|line| line.contains("login_failed")).count() as u64;
        assert!(written <= windows * u64::from(LINES_MAX), "{written} in {windows}");
        assert_eq!(flood.left_out(), [("login_failed".to_owned(), 1_000_000 - written)]);
        assert_eq!(flood.left_out(), []);
        assert_eq!(text.lines().filter(|line| line.contains("password_changed")).count(), 3);
        assert!(text.contains("another place"));
    }

    #[test]
    fn a_new_window_lets_lines_through_again() {
        let span =
            tracing::dispatcher::with_default(&tracing_subscriber::registry().into(), || {
                tracing::info_span!("any")
            });
        let metadata = span.metadata().unwrap();
        let began = Instant::now();
        let mut windows = Windows { began, kinds: HashMap::new() };
        let mut admitted = |after, event| windows.admits(metadata, event, began + after);
        let late = WINDOW.checked_sub(Duration::from_millis(1)).unwrap();
        for _ in 0..LINES_MAX {
            assert!(admitted(Duration::ZERO, "a"));
        }
        assert!(!admitted(late, "a") && admitted(late, "b"));
        assert!(admitted(WINDOW, "a"));
        assert_eq!(windows.left_out(), [("a".to_owned(), 1)]);
    }

    #[test]
    fn what_is_more_detailed_than_info_is_not_counted() {
        let (captured, dispatch) = Captured::start(LogFormat::Text, "debug").unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            for _ in 0..=LINES_MAX {
                tracing::debug!("m");
            }
        });
        assert!(captured.text().lines().count() > LINES_MAX as usize);
    }
}
