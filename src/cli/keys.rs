//! `keystile keys list|rotate`.

use anyhow::bail;
use clap::{Args, Subcommand};

use super::reach::{Reach, UNEXPECTED};
use super::{Common, output};
use crate::admin::protocol::{Reply, Request, SigningKey};
use crate::app::domain::Missing;

/// What can be done with signing keys.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// List the keys in use
    List,
    /// Sign with new keys from now on; what the old ones signed stays good until it expires
    Rotate(RotateArgs),
}

/// How keys rotate.
#[derive(Args)]
pub struct RotateArgs {
    /// Drop the old keys at once: every token made before is dead, and everybody has to log in again
    #[arg(long)]
    drop_old: bool,
}

/// Carries out `keys ...`.
///
/// # Errors
/// With the one line to print.
pub fn run(common: &Common, command: &KeysCommand) -> anyhow::Result<()> {
    let request = match *command {
        KeysCommand::List => Request::KeysList,
        KeysCommand::Rotate(RotateArgs { drop_old }) => Request::KeysRotate { drop_old },
    };
    let Reply::Keys { keys } = Reach::open(common, Missing::Refuse)?.call(request)? else {
        bail!(UNEXPECTED)
    };
    if common.json {
        return Ok(output::json(&keys)?);
    }
    let rows: Vec<_> = keys.iter().map(row).collect();
    Ok(output::table(["KEY", "TOKENS", "ALGORITHM", "STATE", "CREATED"], &rows)?)
}

fn row(key: &SigningKey) -> [String; 5] {
    let state = match &key.verifies_until {
        _ if key.signs => "signs".to_owned(),
        Some(until) => format!("verifies until {until}"),
        None => "verifies".to_owned(),
    };
    let created = key.created_at.clone().unwrap_or_else(|| "-".to_owned());
    [key.kid.clone(), key.purpose.clone(), key.algorithm.clone(), state, created]
}
