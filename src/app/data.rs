//! What is done to the data itself, with no server on it and without the domain.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};

use super::{domain, settings};
use crate::auth::model::audit::{Actor, Event};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::config::Config;
use crate::random::SystemRandom;
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
/// When the store cannot be opened or rewritten; it is then as it was.
pub fn compact(config: &Config, tell: &mut dyn FnMut(u64)) -> anyhow::Result<Compacted> {
    Ok(engine::compact(&settings::store(config), tell)?)
}

/// A dump that was found whole and free of contradictions.
pub struct Dump {
    path: PathBuf,
    file: File,
    contents: Contents,
}

impl Dump {
    /// Opens the dump at `path` and judges all of it.
    ///
    /// # Errors
    /// When it cannot be read, or is not to be believed.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let of = || path.display().to_string();
        let file = File::open(path).with_context(of)?;
        if !file.metadata().with_context(of)?.is_file() {
            bail!("{} is no file, which is needed to read it twice", path.display());
        }
        let contents = survey(BufReader::new(&file)).with_context(of)?;
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
/// When there is data already, or the dump has changed since it was judged; there is no store then.
pub fn import(config: &Config, dump: &mut Dump, tell: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    let now = SystemClock::above(Timestamp::default())?.now();
    let tokens = settings::tokens(config);
    let prepared = ring::prepare(&tokens, &SigningKeys::default(), now, &SystemRandom)?;
    let imported = domain::noted(Event::DataImported, Actor::Operator, now, &SystemRandom)?;
    let made = domain::noted(Event::KeysChanged, Actor::Server, now, &SystemRandom)?;
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
