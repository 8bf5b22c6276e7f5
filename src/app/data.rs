//! What is done to the data itself, with no server on it and without the domain.

use crate::config::Config;
use crate::store::Store;
use crate::store::sled::{self, Checked, Compacted, SledStore};

use super::settings;

/// Whether everything stored agrees with everything else.
///
/// # Errors
/// When the store cannot be opened or read.
pub async fn check(config: &Config) -> anyhow::Result<Checked> {
    let settings = settings::store(config);
    let store = tokio::task::spawn_blocking(move || SledStore::open(&settings)).await??;
    let checked = store.check().await;
    store.close().await;
    Ok(checked?)
}

/// Rewrites the database in place of itself; `tell` hears now and then how many entries are copied. Blocks.
///
/// # Errors
/// When the store cannot be opened or rewritten; it is then as it was.
pub fn compact(config: &Config, tell: &mut dyn FnMut(u64)) -> anyhow::Result<Compacted> {
    Ok(sled::compact(&settings::store(config), tell)?)
}
