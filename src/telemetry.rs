//! The log: one subscriber, to standard error, that neither blocks nor grows.
//!
//! The only place that knows `tracing_subscriber`; what is worth a line is decided where it happens, what a line
//! looks like in `line`, and how many there may be in `flood`.

pub mod engine;
mod flood;
mod line;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::flood::Flood;
use self::line::{JsonLine, text_fields};
use crate::config::log::LogFormat;

/// Lines waiting for a slow reader; further ones are dropped. The queue is allocated at the start,
/// and the library's default of 128,000 would be half of the memory of an idle server.
const WAITING_LINES_MAX: usize = 1024;

/// How long lines gather before they are written together. The lines that wait must hold what comes
/// meanwhile: 200,000 a second.
const GATHER_PAUSE: Duration = Duration::from_millis(5);
/// As much as is written at a time, in bytes.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// What holds unless `log.level` says otherwise.
const BASE_FILTER: &str = "info";

/// Writes out what still waits when it is dropped; keep it until the end of the process.
#[must_use]
pub struct Guard {
    #[expect(dead_code, reason = "held for its drop")]
    writer: WorkerGuard,
    left_out: Arc<LeftOut>,
}

impl Guard {
    /// What is left out of the log.
    #[must_use]
    pub fn left_out(&self) -> Arc<LeftOut> {
        Arc::clone(&self.left_out)
    }
}

/// The lines that are left out of the log: too many of one kind, or faster than somebody reads.
pub struct LeftOut {
    flood: Flood,
    unwritten: ErrorCounter,
    told: AtomicUsize,
}

impl LeftOut {
    /// Tells how many lines were left out since the last time, if any were.
    pub fn tell(&self) {
        for (kind, lines) in self.flood.left_out() {
            tracing::warn!(lines, kind, "too many lines of one kind were left out of the log");
        }
        let unwritten = self.unwritten.dropped_lines();
        let lines = unwritten.saturating_sub(self.told.swap(unwritten, Ordering::Relaxed));
        if lines > 0 {
            tracing::warn!(lines, "lines were lost, since nobody read the log fast enough");
        }
    }
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The text is no filter.
    #[error(
        "must be a level (error, warn, info, debug, trace, off) or a filter such as info,keystile=debug"
    )]
    Level,
    /// A subscriber stands already.
    #[error("the log was set up twice")]
    Twice,
}

/// Starts the log of this process. Without a format it is text on a terminal, else JSON.
///
/// # Errors
/// [`TelemetryError::Level`] for a filter that cannot be read, [`TelemetryError::Twice`] the second
/// time.
pub fn init(format: Option<LogFormat>, level: &str) -> Result<Guard, TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let format = format.unwrap_or(if terminal { LogFormat::Text } else { LogFormat::Json });
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(WAITING_LINES_MAX)
        .finish(Gathering(BufWriter::with_capacity(GATHERED_BYTES_MAX, io::stderr())));
    let (flood, unwritten) = (Flood::new(), writer.error_counter());
    let dispatch = dispatch(format, level, terminal, writer, flood.clone())?;
    dispatch.try_init().map_err(|_| TelemetryError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    let left_out = Arc::new(LeftOut { flood, unwritten, told: AtomicUsize::new(0) });
    Ok(Guard { writer: guard, left_out })
}

/// Starts the log of a command that serves nothing: its warnings as text, each written at once.
///
/// # Errors
/// [`TelemetryError::Twice`] the second time.
pub fn init_for_command() -> Result<(), TelemetryError> {
    let terminal = io::stderr().is_terminal();
    let dispatch = dispatch(LogFormat::Text, "warn", terminal, io::stderr, Flood::new())?;
    dispatch.try_init().map_err(|_| TelemetryError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Whether `level` can be given to [`init`].
///
/// # Errors
/// [`TelemetryError::Level`] if not.
pub fn check_level(level: &str) -> Result<(), TelemetryError> {
    filter(level).map(drop)
}

/// A writer whose every flush is followed by a pause.
///
/// The library's thread takes what waits, flushes, and goes to sleep until the next line wakes it. Under load
/// that would be a system call and a wake-up for every other line, more than making the line costs; this way
/// the lines of a pause are written together.
struct Gathering<W>(W);

impl<W: Write> Write for Gathering<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.0.flush();
        thread::sleep(GATHER_PAUSE);
        flushed
    }
}

/// Beside one that is captured there is always another log: with a single one, the library asks whichever thread
/// first comes to a line whether that line is wanted, and a thread without a log says no for all.
static SILENT: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// What was logged, for tests that look for what must not be there.
#[derive(Clone, Debug, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// A log that is kept in memory rather than written; the caller makes it the default of a thread
    /// or of the process.
    ///
    /// # Errors
    /// As [`check_level`].
    pub fn start(format: LogFormat, level: &str) -> Result<(Self, Dispatch), TelemetryError> {
        LazyLock::force(&SILENT);
        let captured = Self::default();
        let writer = captured.clone();
        let dispatch = dispatch(format, level, false, move || writer.clone(), Flood::new())?;
        Ok((captured, dispatch))
    }

    /// All lines so far.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for Captured {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One line like any other, in place of the library's own. What the panic says stays out of it: that may
/// quote anything, a request or a secret.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(tracing::field::display);
    let thread = thread::current();
    tracing::error!(location, thread = thread.name(), "a thread panicked");
}

fn dispatch<W>(
    format: LogFormat,
    level: &str,
    terminal: bool,
    writer: W,
    flood: Flood,
) -> Result<Dispatch, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(level)?;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer);
    Ok(match format {
        LogFormat::Json => builder.event_format(JsonLine).finish().with(filter).with(flood).into(),
        LogFormat::Text => {
            let builder = builder.fmt_fields(text_fields());
            // Unasked, the library colours unless NO_COLOR is set; only a terminal is to see that.
            let builder = if terminal { builder } else { builder.with_ansi(false) };
            builder.finish().with(filter).with(flood).into()
        }
    })
}

fn filter(level: &str) -> Result<Targets, TelemetryError> {
    // The library takes a lone word that is no level for a module to trace, so that a misspelt level
    // would silence the rest.
    let is_module =
        |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
    let is_sound = |part: &str| match part.split_once('=') {
        Some((module, level)) => is_module(module) && level.parse::<LevelFilter>().is_ok(),
        None => part.parse::<LevelFilter>().is_ok() && !part.is_empty(),
    };
    let parts: Vec<_> = level.split(',').map(str::trim).collect();
    if !parts.iter().all(|part| is_sound(part)) {
        return Err(TelemetryError::Level);
    }
    format!("{BASE_FILTER},{}", parts.join(",")).parse().map_err(|_| TelemetryError::Level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(format: LogFormat, level: &str) -> String {
        let (captured, dispatch) = Captured::start(format, level).unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(answer = 42, "ours");
            tracing::debug!("detail");
            tracing::info!(target: "theirs", "another's");
        });
        captured.text()
    }

    #[test]
    fn json_lines_are_flat() {
        let text = logged(LogFormat::Json, "info");
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["message"], "ours");
        assert_eq!(line["answer"], 42);
        assert_eq!(line["level"], "INFO");
    }

    #[test]
    fn text_away_from_a_terminal_has_no_colours() {
        let text = logged(LogFormat::Text, "info");
        assert!(text.contains("ours answer=42"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn the_level_is_for_all_or_for_the_module_that_is_named() {
        assert!(logged(LogFormat::Text, "debug").contains("detail"));
        let text = logged(LogFormat::Text, "info,theirs=off");
        assert!(text.contains("ours") && !text.contains("another's"), "{text}");
        assert!(!text.contains("detail"), "{text}");
        assert!(logged(LogFormat::Text, "theirs=debug").contains("ours"));
        assert!(!logged(LogFormat::Text, "off").contains("ours"));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        for good in ["info", "WARN", "info,keystile=debug", "off", "keystile::store=trace, warn"] {
            assert!(check_level(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,keystile", "keystile=loud", "info,,warn", "a=b=c", "[=info"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_panic_is_one_line_that_says_where_and_not_what() {
        let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
        let before = panic::take_hook();
        let ours = thread::current().id();
        panic::set_hook(Box::new(move |panic| {
            // Other tests may panic meanwhile.
            if thread::current().id() == ours { log_panic(panic) } else { before(panic) }
        }));
        tracing::dispatcher::with_default(&dispatch, || {
            panic::catch_unwind(|| panic!("hunter2")).unwrap_err();
        });
        drop(panic::take_hook());
        let text = captured.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert!(line["location"].as_str().unwrap().contains("telemetry.rs:"), "{text}");
        assert!(line["thread"].is_string() && !text.contains("hunter2"), "{text}");
    }
}
