//! The operator's export: what the store holds of users, posts and audit events, as the text of a dump.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::audit::told;
use super::model::audit::{AuditEvent, Event};
use super::policy::{Acting, Operator};
use super::{Auth, Fault};
use crate::random::RandomError;
use crate::store::StoreError;
use crate::store::dump::{Change, Export, Summary, Writer};

/// A piece of text is given on once it is this long, in bytes; it may be a record longer.
const PIECE_BYTES: usize = 128 * 1024;

/// Why there is no dump, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It could not be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A record has no form in a dump.
    #[error("a record cannot be written as text")]
    Text(#[from] serde_json::Error),
}

super::faults!(ExportError: StoreError, RandomError);

/// A dump that is being written. Whoever drops it, ends it.
pub struct Dump {
    export: Box<dyn Export>,
    /// Read, and still to be written.
    changes: std::vec::IntoIter<Change>,
    /// None once the last line is written.
    writer: Option<Writer>,
    /// Written, and still to be given on.
    text: String,
    /// What was written, once it was all.
    end: Option<Summary>,
}

/// Text of a dump. It holds password hashes, so its `Debug` prints none of it.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct DumpText(pub String);

impl fmt::Debug for DumpText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DumpText")
    }
}

/// A part of a dump.
#[derive(Debug)]
pub enum Part {
    /// Whole lines.
    Text(DumpText),
    /// The end, after which the dump is whole.
    End {
        /// What was written.
        summary: Summary,
        /// How many records could not be read, and are not in it.
        left_out: u64,
    },
}

impl Auth {
    /// Begins a dump of all users, posts and audit events, which notes itself.
    ///
    /// # Errors
    /// [`ExportError`].
    pub async fn export(&self, operator: &Operator) -> Result<Dump, ExportError> {
        let at = self.now();
        let actor = Acting::Operator(operator).actor();
        let noted = AuditEvent::of_nobody(Event::DataExported, actor, at, self.random())?;
        let export = told(vec![noted], async |audit| self.store().export(audit).await).await?;
        let mut text = String::new();
        let writer = Some(Writer::begin(at, &mut text)?);
        Ok(Dump { export, changes: Vec::new().into_iter(), writer, text, end: None })
    }
}

impl Dump {
    /// The next part; nothing after the end.
    ///
    /// # Errors
    /// [`ExportError`]; what was given is no dump then, and there is no more.
    pub async fn part(&mut self) -> Result<Option<Part>, ExportError> {
        while self.text.len() < PIECE_BYTES
            && let Some(writer) = &mut self.writer
        {
            if let Some(change) = self.changes.next() {
                writer.write(&change, &mut self.text)?;
            } else if let Some(changes) = self.export.next().await? {
                self.changes = changes.into_iter();
            } else {
                let writer = self.writer.take();
                self.end = writer.map(|writer| writer.finish(&mut self.text)).transpose()?;
            }
        }
        if self.text.is_empty() {
            let left_out = self.export.left_out();
            return Ok(self.end.take().map(|summary| Part::End { summary, left_out }));
        }
        Ok(Some(Part::Text(DumpText(std::mem::take(&mut self.text)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_dump_is_in_no_debug_output() {
        let part = Part::Text(DumpText("$argon2id$".to_owned()));
        assert_eq!(format!("{part:?}"), "Text(DumpText)");
    }
}
