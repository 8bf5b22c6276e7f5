//! `keystile users add|list|show|unlock`.

use std::io::{self, BufRead, IsTerminal, Read};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::reach::{Reach, UNEXPECTED};
use super::{Common, output};
use crate::admin::protocol::{Account, NewAccountFields, PlainPassword, Reply, Request};
use crate::app::domain::Missing;

/// How many users are asked for at a time.
const PAGE: usize = 100;
/// No password is longer; what comes after it on standard input is not read.
const STDIN_BYTES_MAX: u64 = 4096;

/// What can be done with users.
#[derive(Subcommand)]
pub enum UsersCommand {
    /// Add a user; asks for the password
    Add(AddArgs),
    /// List all users
    List,
    /// Show one user
    Show {
        /// The user's name
        name: String,
    },
    /// Let a user log in again who is locked out after too many wrong passwords
    Unlock {
        /// The user's name
        name: String,
    },
}

/// What a new user is made of.
#[derive(Args)]
pub struct AddArgs {
    /// The name to log in with
    name: String,
    /// E-mail address
    #[arg(long)]
    email: Option<String>,
    /// Full name
    #[arg(long, value_name = "NAME")]
    full_name: Option<String>,
    /// Role, may be repeated [default: the configured default roles]
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

/// Carries out `users ...`.
///
/// # Errors
/// With the one line to print.
pub fn run(common: &Common, command: UsersCommand) -> anyhow::Result<()> {
    match command {
        UsersCommand::Add(args) => add(common, args),
        UsersCommand::List => list(common),
        UsersCommand::Show { name } => show(common, name),
        UsersCommand::Unlock { name } => unlock(common, name),
    }
}

fn add(common: &Common, args: AddArgs) -> anyhow::Result<()> {
    let password = if args.password_stdin { password_line()? } else { ask_password()? };
    let request = Request::UsersAdd(NewAccountFields {
        username: args.name,
        password,
        email: args.email,
        full_name: args.full_name,
        roles: args.roles,
    });
    let Reply::Account(account) = Reach::open(common, Missing::Make)?.call(request)? else {
        bail!(UNEXPECTED)
    };
    if common.json {
        output::json(&account)?;
    } else {
        let roles = account.roles.join(", ");
        output::line(&format!("added {} ({roles}), id {}", account.username, account.id))?;
    }
    Ok(())
}

fn list(common: &Common) -> anyhow::Result<()> {
    let mut reach = Reach::open(common, Missing::Refuse)?;
    let mut all: Vec<Account> = Vec::new();
    let mut after = None;
    loop {
        let Reply::Accounts { accounts, next } =
            reach.call(Request::UsersList { after, limit: PAGE })?
        else {
            bail!(UNEXPECTED)
        };
        all.extend(accounts);
        if next.is_none() {
            break;
        }
        after = next;
    }
    if common.json {
        return Ok(output::json(&all)?);
    }
    let rows: Vec<_> = all.iter().map(row).collect();
    Ok(output::table(["USERNAME", "ROLES", "STATE", "CREATED", "ID"], &rows)?)
}

fn row(account: &Account) -> [String; 5] {
    [
        account.username.clone(),
        account.roles.join(","),
        state(account).to_owned(),
        account.created_at.clone(),
        account.id.clone(),
    ]
}

const fn state(account: &Account) -> &'static str {
    match (account.disabled, account.locked) {
        (true, true) => "disabled, locked",
        (true, false) => "disabled",
        (false, true) => "locked",
        (false, false) => "enabled",
    }
}

fn show(common: &Common, name: String) -> anyhow::Result<()> {
    let Reply::Account(account) =
        Reach::open(common, Missing::Refuse)?.call(Request::UsersShow { name })?
    else {
        bail!(UNEXPECTED)
    };
    if common.json {
        return Ok(output::json(&account)?);
    }
    let absent = || "-".to_owned();
    for (label, value) in [
        ("username", account.username.clone()),
        ("id", account.id.clone()),
        ("email", account.email.clone().unwrap_or_else(absent)),
        ("full name", account.full_name.clone().unwrap_or_else(absent)),
        ("roles", account.roles.join(", ")),
        ("state", state(&account).to_owned()),
        ("created", account.created_at.clone()),
    ] {
        output::line(&format!("{label:<10} {value}"))?;
    }
    Ok(())
}

fn unlock(common: &Common, name: String) -> anyhow::Result<()> {
    let Reply::Account(account) =
        Reach::open(common, Missing::Refuse)?.call(Request::UsersUnlock { name })?
    else {
        bail!(UNEXPECTED)
    };
    if common.json {
        output::json(&account)?;
    } else {
        output::line(&format!("unlocked {}", account.username))?;
    }
    Ok(())
}

/// Asks twice, without echo.
fn ask_password() -> anyhow::Result<PlainPassword> {
    if !io::stdin().is_terminal() {
        bail!("no terminal to ask for the password; give it with --password-stdin");
    }
    let once = rpassword::prompt_password("Password: ").context("cannot ask for the password")?;
    let again = rpassword::prompt_password("Again: ").context("cannot ask for the password")?;
    if once != again {
        bail!("the two passwords differ");
    }
    Ok(PlainPassword::new(once))
}

/// The first line of standard input, without its end.
fn password_line() -> anyhow::Result<PlainPassword> {
    let mut line = String::new();
    io::stdin()
        .lock()
        .take(STDIN_BYTES_MAX)
        .read_line(&mut line)
        .context("cannot read the password")?;
    let end = line.trim_end_matches('\n').trim_end_matches('\r').len();
    line.truncate(end);
    if line.is_empty() {
        bail!("no password on standard input");
    }
    Ok(PlainPassword::new(line))
}
