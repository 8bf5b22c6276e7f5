//! `keystile config check`.

use clap::{Args, Subcommand};

use super::{Common, load_config, output};
use crate::app::domain;

/// What can be done with the configuration.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and exit with 0 if the server would start with it
    Check(CheckArgs),
}

/// How to check.
#[derive(Args)]
pub struct CheckArgs {
    /// Print every effective value and where it comes from, secrets masked
    #[arg(long)]
    show: bool,
}

/// Carries out `config ...`.
///
/// # Errors
/// With the key and the source of what is wrong.
pub fn run(common: &Common, command: &ConfigCommand) -> anyhow::Result<()> {
    let ConfigCommand::Check(args) = command;
    let config = load_config(common, &[])?;
    domain::check(&config)?;
    for warning in &config.warnings {
        output::say(&format!("warning: {warning}"));
    }
    if !args.show {
        let verdict = serde_json::json!({ "valid": true, "warnings": config.warnings });
        let printed = if common.json {
            output::json(&verdict)
        } else {
            output::line("the configuration is valid")
        };
        return Ok(printed?);
    }
    let shown = config.describe();
    if common.json {
        return Ok(output::json(&shown)?);
    }
    let rows: Vec<_> = shown.iter().cloned().map(|row| [row.key, row.value, row.source]).collect();
    Ok(output::table(["KEY", "VALUE", "SOURCE"], &rows)?)
}
