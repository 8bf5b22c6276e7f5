//! From the form in which an older release wrote to the present one: a dump of what was there, and each entry
//! as it is written now. Rewriting and switching are not its own.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::sled::Db;
use serde::de::DeserializeOwned;

use super::database::{Entry, Trees};
use super::filed::Filed;
use super::keys::{Table, meta};
use super::lease::sync_directory;
use super::open::{OpenError, SledSettings};
use crate::auth::model::post::Post;
use crate::auth::model::session::Session;
use crate::auth::model::user::User;
use crate::clock::Timestamp;
use crate::store::StoreError;
use crate::store::codec::{self, SCHEMA_VERSION};
use crate::store::dump::{Change, Writer};

/// What is done before a database of an older `schema` is rewritten: a dump of it, in case of need.
pub(super) fn prepare(settings: &SledSettings, old: &Db, schema: u32) -> Result<(), OpenError> {
    if schema == SCHEMA_VERSION {
        return Ok(());
    }
    tracing::info!(from = schema, to = SCHEMA_VERSION, "the database is brought to this schema");
    let dump = dump_path(&settings.path);
    let partial = dump.with_extension("jsonl.partial");
    let dumped = export(old, schema, &partial).map_err(io::Error::from).and_then(|()| {
        fs::rename(&partial, &dump)?;
        sync_directory(&settings.path)
    });
    dumped.map_err(|error| {
        // A full disk must not stay full; should this fail too, the next try removes it.
        fs::remove_file(&partial).ok();
        OpenError::io(&dump, error)
    })
}

/// Says what has become of a database of an older `schema` once the new one is in its place.
pub(super) fn conclude(data: &Path, schema: u32) {
    if schema != SCHEMA_VERSION {
        tracing::warn!(
            from = schema,
            to = SCHEMA_VERSION,
            dump = %dump_path(data).display(),
            "the database was brought to the schema of this release; a dump of it as it was is kept: it \
             holds password hashes, and may be deleted once it is not needed any more"
        );
    }
}

fn dump_path(data: &Path) -> PathBuf {
    data.join(format!("before-schema-{SCHEMA_VERSION}.jsonl"))
}

/// An entry of `schema` as it is written now. From 1 to 2: a session says where its expiry entry stands,
/// which was at its deadline always. From 2 to 3 a table and kinds of events came, and nothing changes.
///
/// One that cannot be read stays as it is, to be denied and swept as it was.
pub(super) fn convert(schema: u32, table: Table, (key, value): Entry) -> Entry {
    if schema > 1 || table != Table::Session {
        return (key, value);
    }
    match filed(&key, &value) {
        Ok(value) => (key, value),
        Err(error) => {
            tracing::error!(%error, "a record cannot be brought over");
            (key, value)
        }
    }
}

/// Dumps users, posts and audit events, as they were at the last heartbeat or a little later. What cannot be
/// read is left out: it could not be used before either, and must not stand in the way of all the rest.
fn export(old: &Db, schema: u32, to: &Path) -> ::sled::Result<()> {
    let trees = Trees::open(old)?;
    if to.exists() {
        fs::remove_file(to)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let mut file = BufWriter::new(file);
    let mark = trees.of(Table::Meta).get(meta::CLOCK)?;
    let mark =
        mark.and_then(|mark| read::<Timestamp>(Table::Meta, (meta::CLOCK.to_vec(), mark.to_vec())));
    let mut text = String::new();
    let json = |error: serde_json::Error| ::sled::Error::Io(error.into());
    let mut writer = Writer::begin_of(schema, mark.unwrap_or_default(), &mut text).map_err(json)?;
    for table in [Table::User, Table::Post, Table::Audit] {
        for entry in trees.of(table) {
            let (key, value) = entry?;
            let entry = (key.to_vec(), value.to_vec());
            let change = match table {
                Table::User => read(table, entry).map(Change::User),
                Table::Post => visible(&trees, read(table, entry))?.map(Change::Post),
                _ => read(table, entry).map(Change::Audit),
            };
            if let Some(change) = change {
                writer.write(&change, &mut text).map_err(json)?;
                file.write_all(text.as_bytes())?;
                text.clear();
            }
        }
    }
    writer.finish(&mut text).map_err(json)?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(())
}

/// A post whose author is deleted is gone too, and only still to be swept; without a readable one it could not
/// be loaded.
fn visible(trees: &Trees, post: Option<Post>) -> ::sled::Result<Option<Post>> {
    let Some(post) = post else { return Ok(None) };
    let author = post.author.to_bytes();
    let author = trees.of(Table::User).get(author)?.map(|user| (author.to_vec(), user.to_vec()));
    Ok(author.and_then(|author| read::<User>(Table::User, author)).map(|_| post))
}

/// The record, nothing if it cannot be read.
fn read<T: DeserializeOwned>(table: Table, (key, value): Entry) -> Option<T> {
    codec::decode(table.name(), &key, &value)
        .inspect_err(|error| tracing::error!(%error, "it is not in the dump"))
        .ok()
}

/// A session of schema 1 with the place of its expiry entry.
fn filed(key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
    let name = Table::Session.name();
    let session: Session = codec::decode(name, key, value)?;
    codec::encode(name, key, &Filed::new(session))
}
