//! The records of a dump, field by field: types of their own, so that renaming a field of the domain
//! changes no dump.

use serde::{Deserialize, Serialize};

use super::{Change, Line};
use crate::auth::model::audit::{Actor, AuditEvent, Event};
use crate::auth::model::id::{EventId, PostId, SessionId, UserId};
use crate::auth::model::post::{CONTENT_BYTES_MAX, Post, TITLE_CHARS_MAX};
use crate::auth::model::user::{PasswordHash, User, parse_full_name};
use crate::auth::model::username::{Email, NamePolicy, Username};
use crate::clock::Timestamp;
use crate::store::codec;

/// No record of the store is longer, in bytes.
const RECORD_BYTES_MAX: usize = 4096;
/// The highest epoch: a token carries it as a number of JSON, exact up to 2^53 (RFC 8259 §6).
const EPOCH_MAX: u64 = 1 << 53;

/// [`User`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserRecord {
    #[serde(with = "text")]
    id: UserId,
    username: String,
    email: Option<String>,
    full_name: Option<String>,
    disabled: bool,
    roles: Vec<String>,
    password_hash: String,
    epoch: u64,
    created_at_ms: u64,
}

/// [`Post`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PostRecord {
    #[serde(with = "text")]
    id: PostId,
    #[serde(with = "text")]
    author: UserId,
    title: String,
    content: String,
    created_at_ms: u64,
    updated_at_ms: u64,
}

/// [`AuditEvent`].
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuditRecord {
    #[serde(with = "text")]
    id: EventId,
    at_ms: u64,
    #[serde(with = "EventName")]
    event: Event,
    #[serde(with = "ActorRecord")]
    actor: Actor,
    #[serde(with = "optional_text")]
    user: Option<UserId>,
    #[serde(with = "optional_text")]
    session: Option<SessionId>,
    ip: Option<String>,
    request_id: Option<String>,
}

/// [`Event`] by name: the compiler sees to it that none is left out.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Event", rename_all = "snake_case")]
enum EventName {
    UserCreated,
    UserUpdated,
    RolesChanged,
    UserDisabled,
    UserEnabled,
    UserDeleted,
    PasswordChanged,
    SessionOpened,
    SessionEnded,
    SessionsEnded,
    RefreshReused,
    KeysChanged,
    SessionEvicted,
    DataExported,
    DataImported,
    AccountLocked,
    AccountUnlocked,
}

/// [`Actor`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Actor", rename_all = "snake_case")]
enum ActorRecord {
    Anonymous,
    User(#[serde(with = "text")] UserId),
    Operator,
    Server,
}

impl Line {
    /// The line that says `change`.
    pub(super) fn of(change: &Change) -> Self {
        match change {
            Change::User(user) => Self::User(user_record(user)),
            Change::Post(post) => Self::Post(post_record(post)),
            Change::Audit(event) => Self::Audit(audit_record(event)),
            Change::Removed(key) => Self::Removed(*key),
        }
    }

    /// What the line says; nothing if a field breaks its rule, or it is no record.
    pub(super) fn into_change(self) -> Option<Change> {
        match self {
            Self::User(record) => user(record).filter(fits).map(Change::User),
            Self::Post(record) => post(record).filter(fits).map(Change::Post),
            Self::Audit(record) => audit(record).filter(fits).map(Change::Audit),
            Self::Removed(key) => Some(Change::Removed(key)),
            Self::Header(_) | Self::Trailer(_) => None,
        }
    }
}

/// Whether the store takes a record of this length.
fn fits<T: Serialize>(record: &T) -> bool {
    codec::encode("dump", &[], record).is_ok_and(|bytes| bytes.len() <= RECORD_BYTES_MAX)
}

/// The time, unless it is one that cannot be written as a date.
fn time(millis: u64) -> Option<Timestamp> {
    Some(Timestamp::from_millis(millis)).filter(|&time| time <= Timestamp::LAST)
}

/// The record of `user`.
fn user_record(user: &User) -> UserRecord {
    UserRecord {
        id: user.id,
        username: user.username.as_str().to_owned(),
        email: user.email.as_ref().map(|email| email.as_str().to_owned()),
        full_name: user.full_name.clone(),
        disabled: user.disabled,
        roles: user.roles.iter().cloned().collect(),
        password_hash: user.password_hash.expose().to_owned(),
        epoch: user.epoch,
        created_at_ms: user.created_at.millis(),
    }
}

/// The user; nothing if a field breaks its rule.
fn user(record: UserRecord) -> Option<User> {
    // Which names may be taken is configured; a name that was taken once stays good.
    let username = Username::parse(&record.username, NamePolicy::Unicode).ok()?;
    Some(User {
        id: record.id,
        username: Some(username).filter(|name| name.as_str() == record.username)?,
        email: record.email.map(|email| Email::parse(&email)).transpose().ok()?,
        full_name: record.full_name.map(|name| parse_full_name(&name)).transpose().ok()?,
        disabled: record.disabled,
        roles: record.roles.into_iter().collect(),
        password_hash: PasswordHash::new(record.password_hash),
        epoch: Some(record.epoch).filter(|&epoch| epoch <= EPOCH_MAX)?,
        created_at: time(record.created_at_ms)?,
    })
}

/// The record of `post`.
fn post_record(post: &Post) -> PostRecord {
    PostRecord {
        id: post.id,
        author: post.author,
        title: post.title.clone(),
        content: post.content.clone(),
        created_at_ms: post.created_at.millis(),
        updated_at_ms: post.updated_at.millis(),
    }
}

/// The post; nothing if a field breaks its rule.
fn post(record: PostRecord) -> Option<Post> {
    Some(Post {
        id: record.id,
        author: record.author,
        title: Some(record.title).filter(|title| title.chars().count() <= TITLE_CHARS_MAX)?,
        content: Some(record.content).filter(|content| content.len() <= CONTENT_BYTES_MAX)?,
        created_at: time(record.created_at_ms)?,
        updated_at: time(record.updated_at_ms)?,
    })
}

/// The record of `event`.
fn audit_record(event: &AuditEvent) -> AuditRecord {
    AuditRecord {
        id: event.id,
        at_ms: event.at.millis(),
        event: event.event,
        actor: event.actor,
        user: event.user,
        session: event.session,
        ip: event.ip.clone(),
        request_id: event.request_id.clone(),
    }
}

/// The event; nothing if a field breaks its rule.
fn audit(record: AuditRecord) -> Option<AuditEvent> {
    Some(AuditEvent {
        id: record.id,
        at: time(record.at_ms)?,
        event: record.event,
        actor: record.actor,
        user: record.user,
        session: record.session,
        ip: record.ip,
        request_id: record.request_id,
    })
}

/// Ids as text.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes it.
    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        id: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(id)
    }

    /// Reads it.
    pub(in super::super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom("not an id"))
    }
}

/// Ids as text, or `null`.
mod optional_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes it.
    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(super) fn serialize<T: Display, S: Serializer>(
        id: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        id.as_ref().map(T::to_string).serialize(serializer)
    }

    /// Reads it.
    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(|_| D::Error::custom("not an id"))).transpose()
    }
}
