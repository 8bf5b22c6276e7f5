//! `keystile compact`.

use serde_json::json;

use super::progress::Progress;
use super::reach::at_rest;
use super::{Common, load_config, output};
use crate::app::data;

/// Rewrites the database without what changes and removals have left in it.
///
/// # Errors
/// When a server runs, the disk has too little room for a second database, or the data cannot be read.
pub fn run(common: &Common) -> anyhow::Result<()> {
    let compacted = at_rest(&load_config(common, &[])?, async |config| {
        let mut progress = Progress::new("entries copied");
        data::compact(config, &mut |entries| progress.tell(entries))
    })?;
    let (before, after) = (compacted.bytes_before, compacted.bytes_after);
    if common.json {
        return Ok(output::json(&json!({
            "entries": compacted.entries,
            "bytes_before": before,
            "bytes_after": after,
        }))?);
    }
    let entries = compacted.entries;
    Ok(output::line(&format!("{entries} entries, {before} bytes before, {after} bytes now"))?)
}
