//! `keystile import`.

use std::path::PathBuf;

use clap::Args;

use super::progress::Progress;
use super::reach::at_rest;
use super::{Common, load_config, output};
use crate::app::data::{self, JudgedDump};

/// From where.
#[derive(Args)]
pub struct ImportArgs {
    /// The file that `export` wrote
    file: PathBuf,
}

/// Loads a dump into an empty data directory.
///
/// # Errors
/// With the one line to print; there is no data in the directory then.
pub fn run(common: &Common, args: &ImportArgs) -> anyhow::Result<()> {
    let config = load_config(common, &[])?;
    let mut progress = Progress::new("records judged");
    let mut dump = JudgedDump::open(&args.file, &mut |records| progress.tell(records))?;
    drop(progress);
    at_rest(&config, async |config| {
        let mut progress = Progress::new("records imported");
        data::import(config, &mut dump, &mut |records| progress.tell(records))
    })?;
    let (users, posts) = (dump.users(), dump.posts());
    if common.json {
        return Ok(output::json(&serde_json::json!({ "users": users, "posts": posts }))?);
    }
    let data = config.storage.path.display();
    let line = format!("imported {users} users and {posts} posts into {data}; nobody is logged in");
    Ok(output::line(&line)?)
}
