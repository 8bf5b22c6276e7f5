//! `keystile openapi`: the document that `/openapi.json` serves.

use clap::Args;

use super::{Common, load_config, output};
use crate::app;

/// How to print it.
#[derive(Args)]
pub struct OpenapiArgs {
    /// Print YAML instead of JSON
    #[arg(long)]
    yaml: bool,
}

/// Carries out `openapi`.
///
/// # Errors
/// When the configuration is not valid.
pub fn run(common: &Common, args: &OpenapiArgs) -> anyhow::Result<()> {
    let config = load_config(common, &[])?;
    let document = app::openapi_document(&config)?;
    if args.yaml {
        let value: serde_json::Value = serde_json::from_str(&document)?;
        output::line(serde_yaml::to_string(&value)?.trim_end())?;
    } else {
        output::line(&document)?;
    }
    Ok(())
}
