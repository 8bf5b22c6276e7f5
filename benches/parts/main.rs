//! The parts that a request is made of, one by one: `cargo bench --bench parts`, `-- refresh` those whose name
//! holds that word.
//!
//! Argon2 and the parsing of HTTP are other crates'; what they cost stands in `cargo bench --bench whole`.

mod request;
mod store;
mod tokens;

use std::time::Duration;

use anyhow::Result;
use criterion::Criterion;
use keystile::clock::Timestamp;
use keystile::random::SeededRandom;

/// When it all takes place.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
/// How long an access token lives.
const LIFE: Duration = Duration::from_secs(900);
/// What it is granted.
const SCOPE: &str = "me posts:write";

fn main() -> Result<()> {
    let mut criterion = Criterion::default().configure_from_args().sample_size(30);
    let random = SeededRandom::new(1);
    tokens::measure(&mut criterion, &random)?;
    store::measure(&mut criterion, &random)?;
    request::measure(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
