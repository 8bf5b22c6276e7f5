//! The dump: users, posts and audit events as text that any later release reads, whatever engine wrote it.
//!
//! Owns the format, and knows no engine and no file. Nothing in it opens anything by itself: there are no
//! sessions and no signing keys in it, but password hashes, for which it has to be kept like the data.
//!
//! A dump is UTF-8 text of JSON objects, one a line, each with one member that says what the line is:
//!
//! | line | holds |
//! |---|---|
//! | `header` | first: `format` is `keystile-dump`; `version` of the format; `at_ms`, when it was begun; `keystile`, the release that wrote it; `schema` of its store |
//! | `user` | `id`, `username` (canonical), `email`, `full_name`, `disabled`, `roles`, `password_hash` (a PHC string or an imported form), `epoch`, `created_at_ms` |
//! | `post` | `id`, `author` (a user's id), `title`, `content`, `created_at_ms`, `updated_at_ms` |
//! | `audit` | `id`, `at_ms`, `event`, `actor` (`"anonymous"`, `"operator"`, `"server"` or `{"user":ID}`), `user`, `session`, `ip`, `request_id` |
//! | `removed` | `user`, `post` or `audit` with the id of what was removed while the dump was written; a user's posts went along |
//! | `trailer` | last: how many lines there are of `users`, `posts`, `audit` and `removed`, and `sha256` in hex, over every byte before this line |
//!
//! Times are milliseconds since the Unix epoch, ids are ULIDs, what is absent is `null`. Lines of one id may
//! come again, and the last one counts: the whole is the state as it was when the trailer was written. A
//! post may stand before its author.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod read;
mod record;
mod write;

pub use self::read::{Contents, DumpError, Reader, survey};
pub use self::write::{Summary, Writer};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use self::record::{AuditRecord, PostRecord, UserRecord, text};
use super::Result;
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::{EventId, PostId, UserId};
use crate::auth::model::post::Post;
use crate::auth::model::user::User;

/// What the header calls the format.
const FORMAT: &str = "keystile-dump";
/// What every dump starts with, of whatever version.
pub const START: &[u8] = br#"{"header":{"format":"keystile-dump","#;
/// The version that this release writes; it reads all up to it.
pub const FORMAT_VERSION: u32 = 1;

/// A record as it stands, or word that it stands no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The user.
    User(User),
    /// The post, whose author exists.
    Post(Post),
    /// The audit event.
    Audit(AuditEvent),
    /// There is no such record, or no longer.
    Removed(Key),
}

/// What a record is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// A user, and with it the user's posts.
    User(#[serde(with = "text")] UserId),
    /// A post.
    Post(#[serde(with = "text")] PostId),
    /// An audit event.
    Audit(#[serde(with = "text")] EventId),
}

/// A reading of all users, posts and audit events while others change them. Whoever drops it, ends it.
#[async_trait]
pub trait Export: Send {
    /// The next records, a bounded number of them; nothing once it is complete. Of one key the last record
    /// counts, and all of them together are the state as of the last call that gave any.
    ///
    /// # Errors
    /// When the store fails, and `Outrun`; it cannot go on then.
    async fn next(&mut self) -> Result<Option<Vec<Change>>>;

    /// How many records were left out until now because they cannot be read: one bad record must not deny
    /// all the others.
    fn left_out(&self) -> u64;
}

/// A line of a dump.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Header(Header),
    User(UserRecord),
    Post(PostRecord),
    Audit(AuditRecord),
    Removed(Key),
    Trailer(Trailer),
}

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    at_ms: u64,
    keystile: String,
    schema: u32,
}

/// The last line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trailer {
    users: u64,
    posts: u64,
    audit: u64,
    removed: u64,
    sha256: String,
}

/// How many lines there are of each kind.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    users: u64,
    posts: u64,
    audit: u64,
    removed: u64,
}

impl Counts {
    const fn add(&mut self, change: &Change) {
        let count = match change {
            Change::User(_) => &mut self.users,
            Change::Post(_) => &mut self.posts,
            Change::Audit(_) => &mut self.audit,
            Change::Removed(_) => &mut self.removed,
        };
        *count += 1;
    }

    const fn total(self) -> u64 {
        self.users + self.posts + self.audit + self.removed
    }

    const fn trailer(self, sha256: String) -> Trailer {
        let Self { users, posts, audit, removed } = self;
        Trailer { users, posts, audit, removed, sha256 }
    }
}
