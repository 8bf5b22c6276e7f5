//! `keystile config check`.

use clap::{Args, Subcommand};

use super::{Common, load_config, output};
use crate::app::domain;
use crate::config::{Config, Shown};
use crate::password::settings::HashSettings;

/// What can be done with the configuration.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and exit with 0 if it is sound
    ///
    /// Ports, sockets and the data are not looked at: that is done by the start.
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
    let hashing = domain::check(&config)?;
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
    let shown = effective(&config, &hashing);
    if common.json {
        return Ok(output::json(&shown)?);
    }
    let rows: Vec<_> = shown.iter().cloned().map(|row| [row.key, row.value, row.source]).collect();
    Ok(output::table(["KEY", "VALUE", "SOURCE"], &rows)?)
}

/// The rows of the configuration, those that follow from the machine as what they come to here.
fn effective(config: &Config, hashing: &HashSettings) -> Vec<Shown> {
    let mut shown = config.describe().to_vec();
    for row in &mut shown {
        let found = match row.key.as_str() {
            "passwords.workers" if config.passwords.workers.is_none() => {
                (hashing.workers.to_string(), "from cores and memory")
            }
            "passwords.queue" if config.passwords.queue.is_none() => {
                (hashing.queue.to_string(), "from passwords.workers")
            }
            "log.format" if config.log.format.is_none() => {
                ("text on a terminal, else json".to_owned(), "built-in default")
            }
            _ => continue,
        };
        (row.value, row.source) = (found.0, found.1.to_owned());
    }
    shown
}
