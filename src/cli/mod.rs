//! The command line: one file per subcommand, and the only room that prints.
//!
//! Exit status: 0 done, 1 refused or failed with one line on standard error, 2 wrong usage (clap's own).

pub mod audit;
pub mod check;
pub mod compact;
pub mod config_check;
pub mod export;
pub mod healthcheck;
pub mod import;
pub mod keys;
pub mod openapi;
pub mod output;
pub mod progress;
pub mod reach;
pub mod serve;
pub mod users;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::Config;
use crate::config::sources::Sources;
use crate::telemetry;

/// A token server in one binary: users, sessions, JWT access and refresh tokens, an embedded store.
#[derive(Parser)]
#[command(name = "keystile", version, about)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    serve: ServeArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Args, Clone)]
pub struct Common {
    /// Configuration file [default: config.toml, if there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Data directory [default: data]
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

/// What serving takes.
#[derive(Args, Clone, Default, PartialEq, Eq)]
pub struct ServeArgs {
    /// Address or unix:PATH to listen on, may be repeated [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// Start although the clock stands behind the time the data was last written; until it has caught up,
    /// time stands still
    #[arg(long)]
    accept_clock: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until told to stop (the default)
    Serve(ServeArgs),
    /// Add, list, show and unlock users, with the server running or not
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Show security events, with the server running or not
    ///
    /// Whatever changed users, sessions or keys, oldest first, for 90 days. What was refused, and refreshes, are
    /// in the log alone.
    Audit(audit::AuditArgs),
    /// List the signing keys or make new ones, with the server running or not
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Dump users, posts and audit events, with the server running or not
    Export(export::ExportArgs),
    /// Load a dump into an empty data directory; the server has to be down
    Import(import::ImportArgs),
    /// Verify that the data agrees with itself; the server has to be down
    Check,
    /// Rewrite the database without what changes and removals have left in it, with no server running
    Compact,
    /// Check the configuration
    #[command(subcommand)]
    Config(config_check::ConfigCommand),
    /// Print the OpenAPI document
    Openapi(openapi::OpenapiArgs),
    /// Ask a running server whether it is well, for containers
    Healthcheck(healthcheck::HealthcheckArgs),
}

/// Parses the arguments, carries the command out and says how it went.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    if cli.command.is_some() && cli.serve != ServeArgs::default() {
        let misplaced = "--listen and --accept-clock belong to serving: write them after `serve`";
        Cli::command().error(ErrorKind::ArgumentConflict, misplaced).exit();
    }
    let done = carry_out(&cli.common, cli.command.unwrap_or(Command::Serve(cli.serve)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn carry_out(common: &Common, command: Command) -> anyhow::Result<()> {
    // A server logs as it is configured to.
    if !matches!(command, Command::Serve(_)) {
        telemetry::init_for_command()?;
    }
    match command {
        Command::Serve(args) => serve::run(common, &args),
        Command::Users(command) => users::run(common, command),
        Command::Audit(args) => audit::run(common, &args),
        Command::Keys(command) => keys::run(common, &command),
        Command::Export(args) => export::run(common, &args),
        Command::Import(args) => import::run(common, &args),
        Command::Check => check::run(common),
        Command::Compact => compact::run(common),
        Command::Config(command) => config_check::run(common, &command),
        Command::Openapi(args) => openapi::run(common, &args),
        Command::Healthcheck(args) => healthcheck::run(common, &args),
    }
}

/// The configuration as these arguments and this process's environment have it.
fn load_config(common: &Common, listen: &[String]) -> anyhow::Result<Config> {
    let (file, data) = (common.config.clone(), common.data.clone());
    Ok(Config::load(&Sources::from_process(file, listen.to_vec(), data))?)
}
