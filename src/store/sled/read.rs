//! Reads. Point reads are answered from cached pages in microseconds; lists are for a blocking thread.

use ::sled::IVec;
use serde::de::DeserializeOwned;

use super::database::Database;
use super::filed::Filed;
use super::keys::{self, Range, Table, meta};
use super::sessions;
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::{EventId, PostId, SessionId, UserId};
use crate::auth::model::post::Post;
use crate::auth::model::session::Session;
use crate::auth::model::user::User;
use crate::auth::model::username::Username;
use crate::clock::Timestamp;
use crate::store::{Page, Result, SigningKeys, StoreError, codec};

/// [`Store::user`](crate::store::Store::user).
pub(super) fn user(database: &Database, id: UserId) -> Result<Option<User>> {
    database.record(Table::User, &id.to_bytes())
}

/// [`Store::user_by_name`](crate::store::Store::user_by_name).
pub(super) fn user_by_name(database: &Database, name: &Username) -> Result<Option<User>> {
    let id: Option<UserId> = database.record(Table::Name, name.as_str().as_bytes())?;
    // Deleted between the two reads, or its name given to another by now: not found either way.
    let found = id.map(|id| user(database, id)).transpose()?.flatten();
    Ok(found.filter(|user| user.username == *name))
}

/// [`Store::session`](crate::store::Store::session).
///
/// There is no snapshot over two trees, so the order matters. The session is read first: if the user read
/// after it is of the same epoch, the user was of that epoch at the first read too, because epochs only
/// rise, and the session lived then. If the user is of a later epoch, the change may have carried this
/// session over, so it is read again; only a session that stays behind is dead.
pub(super) fn session(
    database: &Database,
    user_id: UserId,
    session: SessionId,
    now: Timestamp,
) -> Result<Option<(Session, User)>> {
    let key = keys::session(user_id, session);
    let read = || database.record::<Filed>(Table::Session, &key);
    let mut found = read()?;
    loop {
        let (Some(Filed { session, .. }), Some(user)) = (found, user(database, user_id)?) else {
            return Ok(None);
        };
        if session.epoch >= user.epoch {
            return Ok(sessions::lives(&user, &session, now).then_some((session, user)));
        }
        found = read()?.filter(|again| again.session.epoch != session.epoch);
    }
}

/// [`Store::users`](crate::store::Store::users).
pub(super) fn users(
    database: &Database,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<User, String>> {
    let range = Range::prefix(prefix.as_bytes());
    let range = match after {
        Some(after) => range.after(after.as_bytes()),
        None => range,
    };
    let names = database.scan(Table::Name, &range).map(|entry| {
        let (name, id) = entry?;
        user(database, codec::decode(Table::Name.name(), &name, &id)?)
    });
    page(names, limit, |user| user.username.as_str().to_owned())
}

/// [`Store::sessions_of`](crate::store::Store::sessions_of).
pub(super) fn sessions_of(
    database: &Database,
    user_id: UserId,
    now: Timestamp,
) -> Result<Vec<Session>> {
    let mut live = Vec::new();
    for entry in database.scan(Table::Session, &Range::prefix(&user_id.to_bytes())) {
        let (key, _) = entry?;
        let id = key.get(16..).and_then(|id| id.try_into().ok()).map(SessionId::from_bytes);
        // Read anew with its user, for the same reason as a single one.
        if let Some(id) = id
            && let Some((session, _)) = skip_corrupt(session(database, user_id, id, now))?
        {
            live.push(session);
        }
    }
    live.sort_by_key(|session| (session.created_at, session.id));
    Ok(live)
}

/// [`Store::post`](crate::store::Store::post).
pub(super) fn post(database: &Database, id: PostId) -> Result<Option<(Post, User)>> {
    let post: Option<Post> = database.record(Table::Post, &id.to_bytes())?;
    post.map(|post| with_author(database, post)).transpose().map(Option::flatten)
}

/// [`Store::posts`](crate::store::Store::posts).
pub(super) fn posts(
    database: &Database,
    after: Option<PostId>,
    limit: usize,
) -> Result<Page<(Post, User), PostId>> {
    let range = match after {
        Some(after) => Range::all().before(after.to_bytes().to_vec()),
        None => Range::all(),
    };
    let posts = database
        .scan(Table::Post, &range)
        .rev()
        .map(|entry| decode(Table::Post, entry).and_then(|post| with_author(database, post)));
    page(posts, limit, |(post, _)| post.id)
}

/// [`Store::audit`](crate::store::Store::audit).
pub(super) fn audit(
    database: &Database,
    after: Option<EventId>,
    limit: usize,
) -> Result<Vec<AuditEvent>> {
    let range = match after {
        Some(after) => Range::all().after(&after.to_bytes()),
        None => Range::all(),
    };
    let events = database.scan(Table::Audit, &range);
    let readable =
        events.filter_map(|entry| skip_corrupt(decode(Table::Audit, entry).map(Some)).transpose());
    readable.take(limit).collect()
}

/// [`Store::signing_keys`](crate::store::Store::signing_keys).
pub(super) fn signing_keys(database: &Database) -> Result<SigningKeys> {
    database.record(Table::Meta, meta::SIGNING_KEYS).map(Option::unwrap_or_default)
}

/// The key of [`Store::throttle_key`](crate::store::Store::throttle_key), once there is one.
pub(super) fn name_key(database: &Database) -> Result<Option<[u8; 32]>> {
    database.record(Table::Meta, meta::NAME_KEY)
}

/// [`Store::clock_mark`](crate::store::Store::clock_mark).
pub(super) fn clock_mark(database: &Database) -> Result<Option<Timestamp>> {
    database.record(Table::Meta, meta::CLOCK)
}

/// What was read for a list, nothing if it is corrupt: one bad record must not deny all the others.
pub(super) fn skip_corrupt<T>(read: Result<Option<T>>) -> Result<Option<T>> {
    match read {
        Err(StoreError::Corrupt { table, key }) => {
            tracing::error!(table, key, "a record cannot be read");
            Ok(None)
        }
        read => read,
    }
}

fn decode<T: DeserializeOwned>(table: Table, entry: Result<(IVec, IVec)>) -> Result<T> {
    let (key, value) = entry?;
    codec::decode(table.name(), &key, &value)
}

fn with_author(database: &Database, post: Post) -> Result<Option<(Post, User)>> {
    Ok(user(database, post.author)?.map(|author| (post, author)))
}

/// The first `limit` rows that are there, and the cursor of the last if more follow.
fn page<T, C>(
    rows: impl Iterator<Item = Result<Option<T>>>,
    limit: usize,
    cursor: impl Fn(&T) -> C,
) -> Result<Page<T, C>> {
    let mut items = rows
        .filter_map(|row| skip_corrupt(row).transpose())
        .take(limit.saturating_add(1))
        .collect::<Result<Vec<T>>>()?;
    let next = if items.len() > limit {
        items.truncate(limit);
        items.last().map(cursor)
    } else {
        None
    };
    Ok(Page { items, next })
}
