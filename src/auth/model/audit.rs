//! Audit events: what happened, to whom, by whom. They are written in the same step as the change.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::{EventId, SessionId, UserId};
use crate::clock::Timestamp;
use crate::random::{Random, RandomError};

/// What happened. Stored by position: a new one goes to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A user was registered or added.
    UserCreated,
    /// Fields of a user were changed.
    UserUpdated,
    /// A user's roles were changed.
    RolesChanged,
    /// A user was disabled.
    UserDisabled,
    /// A user was enabled again.
    UserEnabled,
    /// A user was deleted.
    UserDeleted,
    /// A password was changed by its owner or reset by an administrator.
    PasswordChanged,
    /// A login opened a session.
    SessionOpened,
    /// One session was ended: by logout, by revocation, or by its owner from another session.
    SessionEnded,
    /// Several sessions of a user were ended at once.
    SessionsEnded,
    /// A used-up refresh token came back; its session was ended.
    RefreshReused,
    /// The signing keys were made or changed.
    KeysChanged,
    /// A login ended the least recently used session, because the user had as many as may be.
    SessionEvicted,
    /// Users, posts and audit events were read out.
    DataExported,
    /// Users, posts and audit events were loaded into a new store.
    DataImported,
    /// Failures in a row locked a password.
    AccountLocked,
    /// The operator lifted a lock, and every wait.
    AccountUnlocked,
}

impl Event {
    /// The stable name, as it stands in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UserCreated => "user_created",
            Self::UserUpdated => "user_updated",
            Self::RolesChanged => "roles_changed",
            Self::UserDisabled => "user_disabled",
            Self::UserEnabled => "user_enabled",
            Self::UserDeleted => "user_deleted",
            Self::PasswordChanged => "password_changed",
            Self::SessionOpened => "session_opened",
            Self::SessionEnded => "session_ended",
            Self::SessionsEnded => "sessions_ended",
            Self::RefreshReused => "refresh_reused",
            Self::KeysChanged => "keys_changed",
            Self::SessionEvicted => "session_evicted",
            Self::DataExported => "data_exported",
            Self::DataImported => "data_imported",
            Self::AccountLocked => "account_locked",
            Self::AccountUnlocked => "account_unlocked",
        }
    }

    /// Whether somebody got what they wanted, `success`, or was kept from it, `failure`.
    #[must_use]
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::RefreshReused | Self::AccountLocked => "failure",
            Self::UserCreated
            | Self::UserUpdated
            | Self::RolesChanged
            | Self::UserDisabled
            | Self::UserEnabled
            | Self::UserDeleted
            | Self::PasswordChanged
            | Self::SessionOpened
            | Self::SessionEnded
            | Self::SessionsEnded
            | Self::KeysChanged
            | Self::SessionEvicted
            | Self::DataExported
            | Self::DataImported
            | Self::AccountUnlocked => "success",
        }
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// Somebody not signed in: a registration, a login.
    Anonymous,
    /// A signed-in user.
    User(UserId),
    /// The operator, on the command line.
    Operator,
    /// The server itself.
    Server,
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => formatter.write_str("anonymous"),
            Self::User(id) => write!(formatter, "{id}"),
            Self::Operator => formatter.write_str("operator"),
            Self::Server => formatter.write_str("server"),
        }
    }
}

/// What it takes to bring about an event, and so how many of its like somebody can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// A session: who has one changes the own profile as often as he likes.
    Nothing,
    /// A password, or an account, each of which is hashed and throttled.
    Password,
    /// A right over others.
    Authority,
}

/// One audit record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Its key; the time it was made comes first in it.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// By whom.
    pub actor: Actor,
    /// To which user.
    pub user: Option<UserId>,
    /// To which session.
    pub session: Option<SessionId>,
    /// From which address.
    pub ip: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

impl AuditEvent {
    /// What it took to bring it about.
    #[must_use]
    pub fn price(&self) -> Price {
        match self.actor {
            Actor::Operator | Actor::Server => Price::Authority,
            Actor::User(actor) if self.user != Some(actor) => Price::Authority,
            Actor::User(_) if self.event == Event::UserUpdated => Price::Nothing,
            Actor::User(_) | Actor::Anonymous => Price::Password,
        }
    }

    /// An event about no user in particular, noted at `at`.
    ///
    /// # Errors
    /// When there is no randomness for its id.
    pub fn of_nobody(
        event: Event,
        actor: Actor,
        at: Timestamp,
        random: &dyn Random,
    ) -> Result<Self, RandomError> {
        let id = EventId::new(at, random)?;
        Ok(Self { id, at, event, actor, user: None, session: None, ip: None, request_id: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn who_did_it_to_whom_tells_what_an_event_took() {
        let (random, now) = (SeededRandom::new(1), Timestamp::from_secs(1_800_000_000));
        let [alice, bob] = [(); 2].map(|()| UserId::new(now, &random).unwrap());
        for (actor, event, price) in [
            (Actor::Operator, Event::UserUpdated, Price::Authority),
            (Actor::Server, Event::KeysChanged, Price::Authority),
            (Actor::User(bob), Event::UserUpdated, Price::Authority),
            (Actor::User(alice), Event::UserUpdated, Price::Nothing),
            (Actor::User(alice), Event::PasswordChanged, Price::Password),
            (Actor::Anonymous, Event::SessionOpened, Price::Password),
        ] {
            let made = AuditEvent::of_nobody(event, actor, now, &random).unwrap();
            let about_alice = AuditEvent { user: Some(alice), ..made };
            assert_eq!(about_alice.price(), price, "{actor:?}");
        }
    }
}
