//! What the embedded engine says: sled hands its troubles to the `log` crate, and from here they go the way of all
//! lines. Of anything below a warning nothing is taken: it may quote keys and values.

use ::log::{Level, LevelFilter, Log, Metadata, Record};

/// The engine's name, which is the first part of each of its targets.
const ENGINE: &str = "sled";

/// Follows the engine in this process from now on; a second time changes nothing.
///
/// While a store is opened nobody has to: what is wrong with it then is the error of opening it, one line.
pub fn follow() {
    if ::log::set_logger(&Engine).is_ok() {
        ::log::set_max_level(LevelFilter::Warn);
    }
}

/// Takes what comes from the engine, and nothing else that uses `log`.
struct Engine;

impl Log for Engine {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let room = metadata.target().split("::").next();
        metadata.level() <= Level::Warn && room == Some(ENGINE)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if record.level() == Level::Error {
            tracing::error!(target: ENGINE, "{}", record.args());
        } else {
            tracing::warn!(target: ENGINE, "{}", record.args());
        }
    }

    fn flush(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::log::LogFormat;
    use crate::telemetry::Captured;

    #[test]
    fn the_engines_troubles_are_told_and_nothing_else() {
        let (captured, dispatch) = Captured::start(LogFormat::Text, "trace").unwrap();
        follow();
        tracing::dispatcher::with_default(&dispatch, || {
            log::error!(target: "sled::flusher", "it failed to clean");
            log::warn!(target: "sled", "it has doubts");
            log::info!(target: "sled::tree", "it goes on");
            log::warn!(target: "sledge", "somebody else");
        });
        let text = captured.text();
        let lines: Vec<_> = text.lines().collect();
        let [error, warning] = &lines[..] else { panic!("{text}") };
        assert!(error.contains("ERROR sled: it failed to clean"), "{error}");
        assert!(warning.contains("WARN sled: it has doubts"), "{warning}");
    }
}
