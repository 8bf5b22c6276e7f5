//! What is told of whatever matters to security, and reading what is kept of it.
//!
//! What changes something is an [`AuditEvent`]: written in the same step of the store, and told in the log once
//! that step is on disk. What changes nothing is an [`Incident`], told in the log alone: kept, the failures of
//! strangers would push out what somebody did. Sessions are in no line, the stored events name them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::credential::CredentialError;
use super::model::audit::{Actor, AuditEvent};
use super::model::id::{EventId, UserId};
use super::policy::{Acting, Operator};
use super::users::UsersError;
use super::{Auth, Origin};
use crate::clock::Timestamp;
use crate::store::{Page, StoreError};

/// The one client there is, until clients are registered; what tokens carry as `client_id`.
pub const CLIENT: &str = "keystile";

/// How many events are looked at for one page, whoever they are about.
const PAGE: usize = 500;

/// What happened and changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A login was refused.
    LoginFailed,
    /// A signed-in user gave a wrong password where it is asked for once more.
    PasswordWrong,
    /// An attempt was not looked at, since there were too many.
    Throttled,
    /// A refresh token was exchanged, or a replay answered with the pair it was exchanged for.
    SessionRefreshed,
    /// A signed-in user asked for more than its rights allow.
    AccessDenied,
    /// The configuration was read.
    ConfigLoaded,
    /// The server listens.
    ServerStarted,
    /// The server has ended in good order.
    ServerStopped,
}

impl Incident {
    const fn name(self) -> &'static str {
        match self {
            Self::LoginFailed => "login_failed",
            Self::PasswordWrong => "password_wrong",
            Self::Throttled => "throttled",
            Self::SessionRefreshed => "session_refreshed",
            Self::AccessDenied => "access_denied",
            Self::ConfigLoaded => "config_loaded",
            Self::ServerStarted => "server_started",
            Self::ServerStopped => "server_stopped",
        }
    }

    const fn outcome(self) -> &'static str {
        match self {
            Self::LoginFailed | Self::PasswordWrong | Self::Throttled | Self::AccessDenied => {
                "failure"
            }
            Self::SessionRefreshed
            | Self::ConfigLoaded
            | Self::ServerStarted
            | Self::ServerStopped => "success",
        }
    }

    /// Tells that it happened: by whom, to which user if that is known, in which request.
    pub fn tell(self, who: (Actor, Option<UserId>), origin: &Origin) {
        let ip = origin.ip.as_ref().map(|ip| ip as &dyn Display);
        line(self.name(), self.outcome(), who, ip, origin.request_id.as_deref());
    }
}

/// Tells what was written.
pub fn tell(event: &AuditEvent) {
    let AuditEvent { event: kind, actor, user, ip, request_id, .. } = event;
    let ip = ip.as_ref().map(|ip| ip as &dyn Display);
    line(kind.name(), kind.outcome(), (*actor, *user), ip, request_id.as_deref());
}

/// Does `step`, which writes `events`, and tells them once it is done.
pub(super) async fn told<T>(
    events: Vec<AuditEvent>,
    step: impl AsyncFnOnce(Vec<AuditEvent>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let done = step(events.clone()).await?;
    events.iter().for_each(tell);
    Ok(done)
}

/// Tells that a password was not accepted; a fault is no incident.
pub(super) fn tell_refused(
    error: &CredentialError,
    wrong: Incident,
    who: (Actor, Option<UserId>),
    origin: &Origin,
) {
    let incident = match error {
        CredentialError::Wrong => wrong,
        CredentialError::Later(_) => Incident::Throttled,
        CredentialError::Fault(_) => return,
    };
    incident.tell(who, origin);
}

/// The one form of every line.
fn line(
    event: &'static str,
    outcome: &'static str,
    (actor, user): (Actor, Option<UserId>),
    ip: Option<&dyn Display>,
    request_id: Option<&str>,
) {
    let actor = tracing::field::display(actor);
    let (user, ip) = (user.map(tracing::field::display), ip.map(tracing::field::display));
    tracing::info!(
        target: "audit",
        event,
        outcome,
        actor,
        user,
        ip,
        request_id,
        client_id = CLIENT,
        "{event}"
    );
}

/// Which events to read.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only those by or about this user: a name, or an id, which outlives the user.
    pub user: Option<String>,
    /// Only those since then.
    pub since: Since,
    /// The cursor of the page before.
    pub after: Option<EventId>,
}

/// From when on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// The first event that is kept.
    #[default]
    Ever,
    /// A point in time.
    Time(Timestamp),
    /// So long before now.
    Ago(Duration),
}

/// The text is no point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a time such as 2026-01-31T12:00:00Z, a day such as 2026-01-31, or a span such as 24h"
)]
pub struct InvalidSince;

impl FromStr for Since {
    type Err = InvalidSince;

    fn from_str(text: &str) -> Result<Self, InvalidSince> {
        match Timestamp::from_rfc3339(text) {
            Some(time) => Ok(Self::Time(time)),
            None => humantime::parse_duration(text).map(Self::Ago).map_err(|_| InvalidSince),
        }
    }
}

/// An event with the names of those it is by and about, as far as they are still users.
#[derive(Clone, Debug)]
pub struct NamedEvent {
    /// The event.
    pub event: AuditEvent,
    /// The name of the user who did it.
    pub actor_name: Option<String>,
    /// The name of the user it was done to.
    pub user_name: Option<String>,
}

impl Auth {
    /// A page of what happened, oldest first. A page may be empty and not the last.
    ///
    /// # Errors
    /// `NotFound` for a name that nobody has.
    pub async fn audit(
        &self,
        operator: &Operator,
        query: AuditQuery,
    ) -> Result<Page<NamedEvent, EventId>, UsersError> {
        let about = match &query.user {
            Some(text) => Some(self.named(operator, text).await?),
            None => None,
        };
        let from = match query.since {
            Since::Ever => None,
            Since::Time(time) => Some(time),
            Since::Ago(span) => Some(self.now().before(span)),
        };
        let after = query.after.max(from.map(EventId::before));
        let events = self.store().audit(after, PAGE).await?;
        let next = events.last().filter(|_| events.len() == PAGE).map(|event| event.id);
        let concerns = |event: &AuditEvent| {
            about.is_none_or(|id| event.user == Some(id) || event.actor == Actor::User(id))
        };
        let mut names = BTreeMap::new();
        let mut items = Vec::new();
        for event in events.into_iter().filter(concerns) {
            let actor = if let Actor::User(id) = event.actor { Some(id) } else { None };
            let actor_name = self.name_of(actor, &mut names).await?;
            let user_name = self.name_of(event.user, &mut names).await?;
            items.push(NamedEvent { event, actor_name, user_name });
        }
        Ok(Page { items, next })
    }

    /// Whom the operator means.
    async fn named(&self, operator: &Operator, text: &str) -> Result<UserId, UsersError> {
        match self.find_user_by_name(Acting::Operator(operator), text).await {
            Err(UsersError::NotFound) => text.parse().map_err(|_| UsersError::NotFound),
            found => Ok(found?.id),
        }
    }

    /// The name of a user, which `names` remembers; nothing for one that is gone or cannot be read.
    async fn name_of(
        &self,
        user: Option<UserId>,
        names: &mut BTreeMap<UserId, Option<String>>,
    ) -> Result<Option<String>, StoreError> {
        let Some(id) = user else { return Ok(None) };
        if let Some(known) = names.get(&id) {
            return Ok(known.clone());
        }
        let name = match self.store().user(id).await {
            Ok(found) => found.map(|user| user.username.to_string()),
            Err(StoreError::Corrupt { .. }) => None,
            Err(other) => return Err(other),
        };
        names.insert(id, name.clone());
        Ok(name)
    }
}
