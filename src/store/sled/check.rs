//! Whether all tables agree: every entry is looked at once, with a point read for each that it implies.
//!
//! Says what must hold between the tables at any time, and repairs nothing. Streams: what it keeps does not
//! grow with the store. Meant for a store that nobody changes meanwhile.

use super::SledStore;
use super::database::Database;
use super::filed::Filed;
use super::keys::{self, Range, Table, meta};
use super::read;
use super::surplus::Counted;
use crate::auth::model::attempts::{Attempts, STRANGERS};
use crate::auth::model::audit::AuditEvent;
use crate::auth::model::id::UserId;
use crate::auth::model::post::Post;
use crate::auth::model::user::User;
use crate::clock::Timestamp;
use crate::store::{Result, SigningKeys, StoreError, codec};

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Each table's name and how many entries it holds.
    pub tables: Vec<(&'static str, u64)>,
    /// How many entries are not as the others imply.
    pub disagreements: u64,
    /// The first of them.
    pub first: Option<Disagreement>,
}

/// An entry that is not as the others imply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}, key {key}: {what}")]
pub struct Disagreement {
    /// The table it stands in.
    pub table: &'static str,
    /// Its key in hex.
    pub key: String,
    /// What is wrong with it.
    pub what: &'static str,
}

impl SledStore {
    /// Looks at every entry of every table.
    ///
    /// # Errors
    /// When the store cannot be read on; a single record that cannot be read is a disagreement.
    pub async fn check(&self) -> Result<Checked> {
        self.list(check).await
    }
}

/// Looks at every entry, and at what no entry shows.
fn check(database: &Database) -> Result<Checked> {
    let mut checked = Checked::default();
    for table in Table::ALL {
        let mut entries = 0;
        for entry in database.scan(table, &Range::all()) {
            let (key, value) = entry?;
            entries += 1;
            let disagreement = match judge(database, table, &key, &value) {
                Ok(()) => continue,
                Err(Flaw::Store(StoreError::Corrupt { table, key })) => {
                    Disagreement { table, key, what: "it cannot be read" }
                }
                Err(Flaw::Store(other)) => return Err(other),
                Err(Flaw::Entry(what)) => {
                    Disagreement { table: table.name(), key: codec::hex(&key), what }
                }
            };
            checked.disagreements += 1;
            checked.first.get_or_insert(disagreement);
        }
        checked.tables.push((table.name(), entries));
    }
    if let Some(disagreement) = missing_keys(database)? {
        checked.disagreements += 1;
        checked.first.get_or_insert(disagreement);
    }
    Ok(checked)
}

/// Keys are written before the first user: a store with users and without keys has lost them.
fn missing_keys(database: &Database) -> Result<Option<Disagreement>> {
    let is_lost = !database.is_empty(Table::User)
        && match read::signing_keys(database) {
            Ok(signing) => signing.keys.is_empty(),
            // Found already.
            Err(StoreError::Corrupt { .. }) => false,
            Err(error) => return Err(error),
        };
    Ok(is_lost.then(|| Disagreement {
        table: Table::Meta.name(),
        key: codec::hex(meta::SIGNING_KEYS),
        what: "there are users and no signing keys",
    }))
}

/// Why an entry was not found to agree.
enum Flaw {
    /// It does not.
    Entry(&'static str),
    /// What it implies, or itself, could not be read.
    Store(StoreError),
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether an entry agrees.
type Verdict = std::result::Result<(), Flaw>;

/// Finds fault unless `holds`.
fn require(holds: bool, otherwise: &'static str) -> Verdict {
    if holds { Ok(()) } else { Err(Flaw::Entry(otherwise)) }
}

/// Whether the entry is as the others imply.
fn judge(database: &Database, table: Table, key: &[u8], value: &[u8]) -> Verdict {
    match table {
        Table::User => user(database, key, value),
        Table::Name => name(database, key, value),
        Table::Admin => admin(database, key, value),
        Table::Session => session(database, key, value),
        Table::Expiry => expiry(database, key, value),
        Table::Post => post(database, key, value),
        Table::Author => author(database, key, value),
        Table::Audit => {
            let event: AuditEvent = codec::decode(table.name(), key, value)?;
            require(event.id.to_bytes() == key, "it holds another event")
        }
        Table::Attempts => attempts(database, key, value),
        Table::Deleted => deleted(database, key, value),
        Table::Meta => record_of_meta(key, value),
    }
}

/// A user is found by its name, and among the administrators if it is one.
fn user(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    let user: User = codec::decode(Table::User.name(), key, value)?;
    require(user.id.to_bytes() == key, "it holds another user")?;
    let holder: Option<UserId> = database.record(Table::Name, user.username.as_str().as_bytes())?;
    require(holder == Some(user.id), "the user's name does not lead to it")?;
    let is_admin = contains(database, Table::Admin, key)?;
    require(is_admin || !user.is_active_admin(), "it is not among the administrators")
}

/// A name is that of its user.
fn name(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    let holder: UserId = codec::decode(Table::Name.name(), key, value)?;
    let user: Option<User> = database.record(Table::User, &holder.to_bytes())?;
    let user = user.ok_or(Flaw::Entry("there is no such user"))?;
    require(user.username.as_str().as_bytes() == key, "its user has another name")
}

/// An administrator is one.
fn admin(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    require(value.is_empty(), "it holds something")?;
    let user: Option<User> = database.record(Table::User, key)?;
    let user = user.ok_or(Flaw::Entry("there is no such user"))?;
    require(user.is_active_admin(), "its user is no enabled administrator")
}

/// A session is filed to be swept, and its user's or left behind by one.
fn session(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    let filed: Filed = codec::decode(Table::Session.name(), key, value)?;
    let session = &filed.session;
    let own_key = keys::session(session.user, session.id);
    require(own_key == key, "it holds another session")?;
    let is_filed = contains(database, Table::Expiry, &keys::expiry(&filed))?;
    require(is_filed, "there is no expiry entry for it")?;
    require(filed.filed_at <= session.expires_at(), "it is filed later than it expires")?;
    let owner = session.user.to_bytes();
    let user: Option<User> = database.record(Table::User, &owner)?;
    match user {
        Some(user) => require(session.epoch <= user.epoch, "its epoch is still to come"),
        None => left_behind(database, &owner),
    }
}

/// An entry without its session is left by a deleted user's session that could not be read: the sweeper
/// removes it at its time. Any other is wrong.
fn expiry(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    require(value.is_empty(), "it holds something")?;
    let session_key = keys::expiring(key).unwrap_or_default();
    let Some((owner, _)) = session_key.split_at_checked(16) else {
        return Err(Flaw::Entry("it is no key of this table"));
    };
    if let Some(filed) = database.record::<Filed>(Table::Session, session_key)? {
        return require(keys::expiry(&filed) == key, "its session is filed under another");
    }
    require(!contains(database, Table::User, owner)?, "there is no such session")
}

/// A post is in its author's index, and its author's or left behind by one.
fn post(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    let post: Post = codec::decode(Table::Post.name(), key, value)?;
    require(post.id.to_bytes() == key, "it holds another post")?;
    let is_indexed = contains(database, Table::Author, &keys::author(post.author, post.id))?;
    require(is_indexed, "it is not in its author's index")?;
    let author = post.author.to_bytes();
    if contains(database, Table::User, &author)? { Ok(()) } else { left_behind(database, &author) }
}

/// An entry of an author's index leads to a post of that author.
fn author(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    require(value.is_empty(), "it holds something")?;
    let post = key.get(16..).unwrap_or_default();
    let post: Option<Post> = database.record(Table::Post, post)?;
    let post = post.ok_or(Flaw::Entry("there is no such post"))?;
    require(keys::author(post.author, post.id) == key, "its post is another author's")
}

/// Attempts are at a user's password, or at those of nobody, of which there are only so many.
fn attempts(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    codec::decode::<Attempts>(Table::Attempts.name(), key, value)?;
    if let Ok(number) = key.try_into().map(u32::from_be_bytes) {
        return require(number < STRANGERS, "it is no key of this table");
    }
    require(contains(database, Table::User, key)?, "there is no such user")
}

/// A user whose belongings are to be swept is gone.
fn deleted(database: &Database, key: &[u8], value: &[u8]) -> Verdict {
    require(value.is_empty() && key.len() == 16, "it is no entry of this table")?;
    require(!contains(database, Table::User, key)?, "its user is there")
}

/// The instance was compared with the manifest when the store was opened.
fn record_of_meta(key: &[u8], value: &[u8]) -> Verdict {
    match key {
        meta::INSTANCE => Ok(()),
        meta::CLOCK => Ok(codec::decode::<Timestamp>(Table::Meta.name(), key, value).map(drop)?),
        meta::SIGNING_KEYS => {
            Ok(codec::decode::<SigningKeys>(Table::Meta.name(), key, value).map(drop)?)
        }
        meta::AUDIT => Ok(codec::decode::<Counted>(Table::Meta.name(), key, value).map(drop)?),
        meta::NAME_KEY => Ok(codec::decode::<[u8; 32]>(Table::Meta.name(), key, value).map(drop)?),
        _ => Err(Flaw::Entry("it is no key of this table")),
    }
}

/// What belongs to no user belongs to one that was deleted and is still to be swept.
fn left_behind(database: &Database, owner: &[u8]) -> Verdict {
    require(
        contains(database, Table::Deleted, owner)?,
        "there is no such user, and none was deleted",
    )
}

/// Whether there is anything at `key`.
fn contains(database: &Database, table: Table, key: &[u8]) -> Result<bool> {
    database.get(table, key).map(|value| value.is_some())
}
