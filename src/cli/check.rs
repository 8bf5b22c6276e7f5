//! `keystile check`.

use anyhow::bail;
use serde_json::{Map, Value};

use super::reach::at_rest;
use super::{Common, load_config, output};
use crate::app::data;

/// Verifies that all tables of the data agree.
///
/// # Errors
/// With the first entry that disagrees with the others, and how many do.
pub fn run(common: &Common) -> anyhow::Result<()> {
    let checked = at_rest(&load_config(common, &[])?, data::check)?;
    if let Some(first) = checked.first {
        bail!("{first}; in all, {} entries disagree with others", checked.disagreements);
    }
    if common.json {
        let tables = checked.tables.into_iter();
        let tables: Map<_, _> =
            tables.map(|(table, entries)| (table.to_owned(), Value::from(entries))).collect();
        return Ok(output::json(&tables)?);
    }
    let tables = checked.tables.into_iter();
    let rows: Vec<_> =
        tables.map(|(table, entries)| [table.to_owned(), entries.to_string()]).collect();
    output::table(["TABLE", "ENTRIES"], &rows)?;
    Ok(output::line("all tables agree")?)
}
