//! Randomness: the one owner of the operating system's generator. Everything else is handed a [`Random`].

use std::sync::Mutex;

/// The generator gave nothing; whatever needed it fails.
#[derive(Debug, thiserror::Error)]
#[error("the system's random generator failed")]
pub struct RandomError;

/// Where every id, nonce, salt and key comes from.
pub trait Random: Send + Sync {
    /// Fills `bytes` with random bytes fit for keys.
    ///
    /// # Errors
    /// [`RandomError`] when there are none; the caller must fail, never go on with less.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's generator.
#[derive(Debug, Default)]
pub struct SystemRandom;

#[expect(clippy::disallowed_methods, reason = "the one place that asks the system for randomness")]
impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(bytes).map_err(|_| RandomError)
    }
}

/// `N` random bytes.
///
/// # Errors
/// [`RandomError`] when the generator has none.
pub fn bytes<const N: usize>(random: &dyn Random) -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}

/// A repeatable sequence (splitmix64), for tests only.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }
}

impl Random for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
        let mut state = self.0.lock().map_err(|_| RandomError)?;
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = *state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(word.to_le_bytes().get(..chunk.len()).ok_or(RandomError)?);
        }
        Ok(())
    }
}
