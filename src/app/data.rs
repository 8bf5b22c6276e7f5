//! What is done to the data itself, with no server on it and without the domain.

use crate::config::Config;
use crate::store::Store;
use crate::store::sled::{Checked, SledStore};

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
