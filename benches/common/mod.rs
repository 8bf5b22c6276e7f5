//! What both benches stand on: a server to measure, sessions to measure it with, a load, and the record of
//! what came out of it.
//!
//! Knows nothing of what is measured. An item that only one of the benches needs stands with that one.

pub mod data;
pub mod figures;
pub mod http;
pub mod load;
pub mod machine;
pub mod page;
pub mod plot;
pub mod process;
pub mod record;
pub mod ruler;
pub mod served;

use std::io::Write;

use anyhow::Result;

/// Says on standard error what is being done.
pub fn progress(text: &str) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{text} ...")?)
}
