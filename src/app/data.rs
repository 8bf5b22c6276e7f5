//! What is done to the data itself, with no server on it and without the domain.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::settings;
use crate::auth::model::audit::{Actor, AuditEvent, Event};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::random::SystemRandom;
pub use crate::store::dump::START as DUMP_START;
use crate::store::dump::{Contents, survey};
use crate::store::sled::{self as engine, Checked, Compacted, ImportError, Load, SledStore};
use crate::store::{SigningKeys, Store};
use crate::token::ring;

/// Whether everything stored agrees with everything else.
///
/// # Errors
/// When the store cannot be opened or read.
pub async fn check(config: &Config) -> anyhow::Result<Checked> {
    let settings = settings::store(config);
    let store = tokio::task::spawn_blocking(move || SledStore::open_existing(&settings)).await??;
    let checked = store.check().await;
    store.close().await;
    Ok(checked?)
}

/// Rewrites the database in place of itself; `tell` hears now and then how many entries are copied. Blocks.
///
/// # Errors
/// When the store cannot be opened or rewritten; it holds what it held then.
pub fn compact(config: &Config, tell: &mut dyn FnMut(u64)) -> anyhow::Result<Compacted> {
    Ok(engine::compact(&settings::store(config), tell)?)
}

/// A dump that was found whole and free of contradictions.
pub struct JudgedDump {
    path: PathBuf,
    file: File,
    contents: Contents,
}

impl JudgedDump {
    /// Opens the dump at `path` and judges all of it; `tell` hears now and then how many records it has read.
    ///
    /// # Errors
    /// When it cannot be read, or is not to be believed.
    pub fn open(path: &Path, tell: &mut dyn FnMut(u64)) -> anyhow::Result<Self> {
        let of = || path.display().to_string();
        let file = File::open(path).with_context(of)?;
        if !file.metadata().with_context(of)?.is_file() {
            bail!("{} is not a regular file; import reads it twice", path.display());
        }
        let contents = survey(BufReader::new(&file), tell).with_context(of)?;
        Ok(Self { path: path.to_owned(), file, contents })
    }

    /// How many users it comes to.
    #[must_use]
    pub fn users(&self) -> usize {
        self.contents.users()
    }

    /// How many posts it comes to.
    #[must_use]
    pub fn posts(&self) -> usize {
        self.contents.posts()
    }
}

/// Makes a store of a dump, with new signing keys; `tell` hears now and then how many records are loaded.
/// Blocks.
///
/// # Errors
/// When there is data already, which is left alone, or the dump has changed since it was judged; no server
/// starts on what was begun then.
pub fn import(
    config: &Config,
    dump: &mut JudgedDump,
    tell: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let now = SystemClock::above(Timestamp::default())?.now();
    let tokens = settings::tokens(config);
    let prepared = ring::prepare(&tokens, &SigningKeys::default(), now, &SystemRandom)?;
    let imported = AuditEvent::of_nobody(Event::DataImported, Actor::Operator, now, &SystemRandom)?;
    let made = AuditEvent::of_nobody(Event::KeysChanged, Actor::Server, now, &SystemRandom)?;
    dump.file.rewind()?;
    let load = Load {
        dump: BufReader::new(&dump.file),
        contents: &dump.contents,
        keys: prepared.store.unwrap_or_default(),
        audit: vec![imported, made],
    };
    engine::import(&settings::store(config), load, tell).map_err(|error| match error {
        ImportError::Open(error) => error.into(),
        ImportError::Dump(_) => anyhow!(error).context(dump.path.display().to_string()),
        ImportError::Occupied { .. } | ImportError::Store(_) => error.into(),
    })
}
