//! Security events as the operator reads them.

use serde::{Deserialize, Serialize};

use super::protocol::{Refusal, Reply};
use super::refusal;
use crate::auth::Auth;
use crate::auth::audit::{AuditQuery, CLIENT, NamedEvent, Since};
use crate::auth::policy::Operator;

/// Which events to read.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditRequest {
    /// Only those by or about this user: a name or an id.
    pub user: Option<String>,
    /// From when on.
    pub since: Since,
    /// The cursor of the page before.
    pub after: Option<String>,
}

/// A security event.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The event's id.
    pub id: String,
    /// When, RFC 3339.
    pub at: String,
    /// What happened.
    pub event: String,
    /// `success` or `failure`.
    pub outcome: String,
    /// By whom: a user's id, `anonymous`, `operator` or `server`.
    pub actor: String,
    /// The name of that user, if it is still one.
    pub actor_name: Option<String>,
    /// To which user: its id.
    pub user: Option<String>,
    /// The name of that user, if it is still one.
    pub user_name: Option<String>,
    /// To which session: its id.
    pub session: Option<String>,
    /// From which address.
    pub ip: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
    /// By which client.
    pub client_id: String,
}

impl AuditEntry {
    fn of(named: NamedEvent) -> Self {
        let NamedEvent { event, actor_name, user_name } = named;
        Self {
            id: event.id.to_string(),
            at: event.at.to_rfc3339(),
            event: event.event.name().to_owned(),
            outcome: event.event.outcome().to_owned(),
            actor: event.actor.to_string(),
            actor_name,
            user: event.user.map(|user| user.to_string()),
            user_name,
            session: event.session.map(|session| session.to_string()),
            ip: event.ip,
            request_id: event.request_id,
            client_id: CLIENT.to_owned(),
        }
    }
}

/// A page of security events.
///
/// # Errors
/// With the one line for the operator.
pub(super) async fn read(
    auth: &Auth,
    operator: &Operator,
    request: AuditRequest,
) -> Result<Reply, Refusal> {
    let after = request.after.map(|id| id.parse()).transpose();
    let after = after.map_err(|_| Refusal("this cursor is none that a page carried".to_owned()))?;
    let query = AuditQuery { user: request.user, since: request.since, after };
    let page = auth.audit(operator, query).await.map_err(refusal)?;
    let events = page.items.into_iter().map(AuditEntry::of).collect();
    Ok(Reply::Audit { events, next: page.next.map(|id| id.to_string()) })
}
