//! Printing: results on standard output, complaints as one line on standard error.

use std::io::{self, Write};

use serde::Serialize;

/// Why nothing could be printed. A type of its own: any other broken pipe is a failure of the command.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub struct OutputError(#[from] io::Error);

/// Prints one line.
///
/// # Errors
/// When standard output is closed.
pub fn line(text: &str) -> Result<(), OutputError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.write_all(b"\n")?)
}

/// Prints a value as indented JSON.
///
/// # Errors
/// When standard output is closed.
pub fn json(value: &impl Serialize) -> Result<(), OutputError> {
    line(&serde_json::to_string_pretty(value).map_err(io::Error::from)?)
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// When standard output is closed.
pub fn json_line(value: &impl Serialize) -> Result<(), OutputError> {
    line(&serde_json::to_string(value).map_err(io::Error::from)?)
}

/// Prints rows as a table with aligned columns.
///
/// # Errors
/// When standard output is closed.
pub fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> Result<(), OutputError> {
    let mut widths = header.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    line(&aligned(header, widths))?;
    for row in rows {
        line(&aligned(row.each_ref().map(String::as_str), widths))?;
    }
    Ok(())
}

fn aligned<const N: usize>(cells: [&str; N], widths: [usize; N]) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// Says something to the operator beside the result; a closed standard error is borne with.
pub fn say(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Shows how far a long command has come, in place of what was shown before; to be used on a terminal.
pub fn show(text: &str) {
    let mut err = io::stderr().lock();
    drop(write!(err, "\r\x1b[K{text}").and_then(|()| err.flush()));
}

/// Says in one line why the command was refused or failed, with its causes.
pub fn complain(error: &anyhow::Error) {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if !causes.last().is_some_and(|last| last.contains(&cause)) {
            causes.push(cause);
        }
    }
    say(&format!("keystile: {}", causes.join(": ").replace('\n', " ")));
}

/// Whether the reader of standard output went away, as `head` does: nobody is left to complain to.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let output = error.downcast_ref::<OutputError>();
    output.is_some_and(|OutputError(error)| error.kind() == io::ErrorKind::BrokenPipe)
}
