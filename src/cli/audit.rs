//! `keystile audit`.

use anyhow::bail;
use clap::Args;

use super::reach::{Reach, UNEXPECTED};
use super::{Common, output};
use crate::admin::audit::{AuditEntry, AuditRequest};
use crate::admin::protocol::{Reply, Request};
use crate::app::domain::Missing;
use crate::auth::audit::Since;

/// Which events.
#[derive(Args)]
pub struct AuditArgs {
    /// Only what this user did, or what was done to it: a name, or the id of a user who is gone
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only from then on: a time in UTC (2026-01-31T12:00:00Z), a day (2026-01-31), or a span before now (24h)
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
}

/// Prints security events, oldest first: a table, or one line of JSON for each.
///
/// # Errors
/// With the one line to print.
pub fn run(common: &Common, args: &AuditArgs) -> anyhow::Result<()> {
    let mut reach = Reach::open(common, Missing::Refuse)?;
    let since = args.since.unwrap_or_default();
    let (mut after, mut is_first) = (None, true);
    // Page by page: there may be more than fits into memory, or than anybody reads.
    loop {
        let asked = AuditRequest { user: args.user.clone(), since, after };
        let Reply::Audit { events, next } = reach.call(Request::Audit(asked))? else {
            bail!(UNEXPECTED)
        };
        if is_first && !common.json {
            output::line(&row(["TIME", "EVENT", "BY", "TO", "FROM", "REQUEST"]))?;
        }
        is_first = false;
        for entry in &events {
            if common.json {
                output::json_line(entry)?;
            } else {
                output::line(&told(entry))?;
            }
        }
        if next.is_none() {
            return Ok(());
        }
        after = next;
    }
}

fn told(entry: &AuditEntry) -> String {
    let actor = entry.actor_name.clone().unwrap_or_else(|| match entry.actor.as_str() {
        // No user can be called so.
        role @ ("anonymous" | "operator" | "server") => format!("({role})"),
        id => id.to_owned(),
    });
    let user = entry.user_name.as_ref().or(entry.user.as_ref());
    let text = |value: Option<&String>| value.map_or("-", String::as_str).to_owned();
    let [user, ip, request] = [user, entry.ip.as_ref(), entry.request_id.as_ref()].map(text);
    row([&entry.at, &entry.event, &actor, &user, &ip, &request])
}

/// One line of the table. Its widths are those of what there mostly is, since the rest is not read yet.
fn row([time, event, by, to, from, request]: [&str; 6]) -> String {
    let row = format!("{time:<24}  {event:<17}  {by:<16}  {to:<16}  {from:<15}  {request}");
    row.trim_end().to_owned()
}
