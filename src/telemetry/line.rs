//! The form of a line: one JSON object, or text for a person, of values that are cut and do no harm (LG-04).
//!
//! Every value goes through [`Cut`], whoever logged it: what somebody typed can neither end a line, nor turn it
//! around on a screen, nor make it long.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{self, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::registry::LookupSpan;

/// How many characters of a value are written.
const VALUE_CHARS_MAX: usize = 256;

/// A line as JSON (RFC 8259). Spans are left out: only libraries have any.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        write!(writer, "\",\"level\":\"{}\"", metadata.level())?;
        let mut members = Members { writer, done: Ok(()) };
        event.record(&mut members);
        members.text("target", metadata.target());
        members.done?;
        members.writer.write_str("}\n")
    }
}

/// The fields of a line of text.
pub(super) fn text_fields() -> impl for<'a> FormatFields<'a> + 'static {
    let field = |writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug| {
        if field.name() != "message" {
            write!(writer, "{}=", field.name())?;
        }
        write!(Cut::new(writer, Quoting::Text), "{value:?}")
    };
    format::debug_fn(field).delimited(" ")
}

/// Writes the members of the object.
struct Members<'a> {
    writer: Writer<'a>,
    done: fmt::Result,
}

impl Members<'_> {
    fn member(&mut self, name: &str, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.done.is_ok() {
            self.done = write!(self.writer, ",\"{}\":", name.trim_start_matches("r#"))
                .and_then(|()| value(&mut self.writer));
        }
    }

    fn text(&mut self, name: &str, value: impl fmt::Display) {
        self.member(name, |writer| {
            writer.write_char('"')?;
            write!(Cut::new(writer, Quoting::Json), "{value}")?;
            writer.write_char('"')
        });
    }
}

impl Visit for Members<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.member(field.name(), |writer| write!(writer, "{value}"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), |writer| write!(writer, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), |writer| write!(writer, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), |writer| write!(writer, "{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format_args!("{value:?}"));
    }
}

/// What stands around a value, and must not stand in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// The quotes of a JSON string.
    Json,
    /// Nothing: a text that has quotes has escaped its own.
    Text,
}

/// Writes a value: no more than so many characters of it, and the harmful ones by their number.
struct Cut<'a, W> {
    out: &'a mut W,
    quoting: Quoting,
    left: usize,
    is_over: bool,
}

impl<'a, W: Write> Cut<'a, W> {
    const fn new(out: &'a mut W, quoting: Quoting) -> Self {
        Self { out, quoting, left: VALUE_CHARS_MAX, is_over: false }
    }

    fn is_plain(&self, c: char) -> bool {
        !is_harmful(c) && (self.quoting == Quoting::Text || (c != '"' && c != '\\'))
    }

    fn escaped(&mut self, c: char) -> fmt::Result {
        match (self.quoting, c) {
            (Quoting::Json, '"' | '\\') => write!(self.out, "\\{c}"),
            (Quoting::Json, _) => write!(self.out, "\\u{:04x}", u32::from(c)),
            (Quoting::Text, _) => write!(self.out, "{}", c.escape_unicode()),
        }
    }
}

impl<W: Write> Write for Cut<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // What nearly every value is, and much faster to see.
        let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.len() <= self.left && text.bytes().all(is_plain) {
            self.left -= text.len();
            return self.out.write_str(text);
        }
        let mut rest = text;
        while !rest.is_empty() && !self.is_over {
            let plain = |c: &(usize, char)| self.is_plain(c.1);
            let run: usize = rest
                .char_indices()
                .take(self.left)
                .take_while(plain)
                .map(|(_, c)| c.len_utf8())
                .sum();
            let (run, after) = rest.split_at(run);
            self.out.write_str(run)?;
            self.left -= run.chars().count();
            let mut chars = after.chars();
            let Some(c) = chars.next() else { return Ok(()) };
            if self.left == 0 {
                self.is_over = true;
                return self.out.write_char('…');
            }
            self.left -= 1;
            self.escaped(c)?;
            rest = chars.as_str();
        }
        Ok(())
    }
}

/// Ends or hides a line, or turns what follows around: controls (C0, DEL, C1), the separators of lines, and the
/// invisible marks, those of the bidirectional algorithm (UAX 9) among them.
const fn is_harmful(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::log::LogFormat;
    use crate::telemetry::Captured;

    const HOSTILE: &str = "a\r\nb\u{1b}[31m\u{7f}\u{85}\u{202e}\u{2066}\u{2028}\u{feff}\t\"\\é";

    fn logged(format: LogFormat, value: &str) -> String {
        let (captured, dispatch) = Captured::start(format, "info").unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(text = value, shown = %value, known = ?value, "said {value}");
        });
        captured.text()
    }

    #[test]
    fn lg_04_a_value_stays_in_its_line_whatever_it_is_made_of() {
        for format in [LogFormat::Json, LogFormat::Text] {
            let line = logged(format, HOSTILE);
            assert_eq!(line.lines().count(), 1, "{line}");
            assert!(!line.trim_end_matches('\n').chars().any(is_harmful), "{line}");
            assert!(line.contains('é'), "{line}");
        }
    }

    #[test]
    fn lg_04_a_value_reads_back_from_json_as_it_was() {
        let line: serde_json::Value =
            serde_json::from_str(&logged(LogFormat::Json, HOSTILE)).unwrap();
        assert_eq!((line["text"].as_str(), line["shown"].as_str()), (Some(HOSTILE), Some(HOSTILE)));
        assert_eq!(line["message"], format!("said {HOSTILE}"));
    }

    #[test]
    fn lg_04_no_more_than_256_characters_of_a_value_are_written() {
        for c in ['x', 'é', '\n', '"', '\u{202e}'] {
            for (length, is_cut) in [(255, false), (256, false), (257, true), (100_000, true)] {
                let value = c.to_string().repeat(length);
                let line = logged(LogFormat::Json, &value);
                let read: serde_json::Value = serde_json::from_str(&line).unwrap();
                let expected: String = value.chars().take(VALUE_CHARS_MAX).collect();
                let expected = if is_cut { expected + "…" } else { expected };
                assert_eq!(read["text"], expected, "{length} of {c:?}");
                assert!(line.len() < 12_000, "{}", line.len());
                assert!(logged(LogFormat::Text, &value).len() < 12_000);
            }
        }
    }

    #[test]
    fn numbers_and_truths_are_themselves() {
        let (captured, dispatch) = Captured::start(LogFormat::Json, "info").unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::info!(
                a = 1_u64,
                b = -1_i64,
                c = 1.5,
                d = true,
                e = f64::NAN,
                r#type = "x",
                "m"
            );
        });
        let line: serde_json::Value = serde_json::from_str(&captured.text()).unwrap();
        let read = ["a", "b", "c", "d", "e", "type"].map(|name| line[name].to_string());
        assert_eq!(read, ["1", "-1", "1.5", "true", "null", "\"x\""]);
    }
}
