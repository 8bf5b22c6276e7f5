//! Writes a dump: header, one line for each change, trailer.

use aws_lc_rs::digest::{Context, SHA256};

use super::{Change, Counts, FORMAT, FORMAT_VERSION, Header, Line};
use crate::clock::Timestamp;
use crate::store::codec::{SCHEMA_VERSION, hex};

/// A dump in the making.
pub struct Writer {
    counts: Counts,
    digest: Context,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many lines stand between the header and the trailer.
    pub records: u64,
    /// SHA-256 of all that stands before the trailer, in hex.
    pub sha256: String,
}

impl Writer {
    /// Begins a dump at `at`, and writes its first line to `text`.
    ///
    /// # Errors
    /// When the line has no JSON form.
    pub fn begin(at: Timestamp, text: &mut String) -> Result<Self, serde_json::Error> {
        Self::begin_of(SCHEMA_VERSION, at, text)
    }

    /// Begins a dump of a store that an older release of this `schema` has left.
    ///
    /// # Errors
    /// When the line has no JSON form.
    pub fn begin_of(
        schema: u32,
        at: Timestamp,
        text: &mut String,
    ) -> Result<Self, serde_json::Error> {
        let mut writer = Self { counts: Counts::default(), digest: Context::new(&SHA256) };
        let header = Header {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            at_ms: at.millis(),
            keystile: env!("CARGO_PKG_VERSION").to_owned(),
            schema,
        };
        writer.line(&Line::Header(header), text)?;
        Ok(writer)
    }

    /// Writes the line of `change`.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn write(&mut self, change: &Change, text: &mut String) -> Result<(), serde_json::Error> {
        self.line(&Line::of(change), text)?;
        self.counts.add(change);
        Ok(())
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// When it has no JSON form.
    pub fn finish(mut self, text: &mut String) -> Result<Summary, serde_json::Error> {
        let sha256 = hex(self.digest.clone().finish().as_ref());
        let trailer = self.counts.trailer(sha256.clone());
        self.line(&Line::Trailer(trailer), text)?;
        Ok(Summary { records: self.counts.total(), sha256 })
    }

    fn line(&mut self, line: &Line, text: &mut String) -> Result<(), serde_json::Error> {
        let mut line = serde_json::to_string(line)?;
        line.push('\n');
        self.digest.update(line.as_bytes());
        text.push_str(&line);
        Ok(())
    }
}
