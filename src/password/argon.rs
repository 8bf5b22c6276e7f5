//! Argon2id: PHC strings in and out, and the computation in memory that is kept.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq;

use super::HashError;

/// Length of a new salt in bytes.
pub(super) const SALT_BYTES: usize = 16;
/// Length of a new hash in bytes.
pub(super) const TAG_BYTES: usize = 32;

/// The largest parameters that may be imported: 64 MiB, 10 passes, 4 lanes. A stored text decides what its
/// verification costs, so anything above is never computed.
const IMPORT_MEMORY_KIB_MAX: u32 = 64 * 1024;
const IMPORT_ITERATIONS_MAX: u32 = 10;
const IMPORT_PARALLELISM_MAX: u32 = 4;
const IMPORT_SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
const IMPORT_TAG_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

/// Lets one hash at a time use more memory than a worker keeps, so that imported hashes of 64 MiB add that
/// much once and not per worker.
static OVERSIZED: Mutex<()> = Mutex::new(());

/// An Argon2id hash, taken apart.
pub(super) struct Hash {
    params: Params,
    salt: Vec<u8>,
    tag: Vec<u8>,
}

impl Hash {
    /// The hash that a PHC string holds; `None` for another kind, version or size than may be computed.
    /// `own` are the current parameters, which may be larger than those of an import.
    pub fn parse(text: &str, own: &Params) -> Option<Self> {
        let mut fields = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let (params, salt, tag) = (fields.next()?, fields.next()?, fields.next()?);
        if fields.next().is_some() {
            return None;
        }
        let mut costs = params.split(',');
        let m = number(costs.next()?, "m=")?;
        let t = number(costs.next()?, "t=")?;
        let p = number(costs.next()?, "p=")?;
        if costs.next().is_some() {
            return None;
        }
        let small = m <= IMPORT_MEMORY_KIB_MAX.max(own.m_cost())
            && t <= IMPORT_ITERATIONS_MAX.max(own.t_cost())
            && p <= IMPORT_PARALLELISM_MAX.max(own.p_cost());
        let salt = short(salt, IMPORT_SALT_BYTES)?;
        let tag = short(tag, IMPORT_TAG_BYTES)?;
        let params = Params::new(m, t, p, Some(tag.len())).ok()?;
        small.then_some(Self { params, salt, tag })
    }

    /// A hash that nothing matches, of the current size.
    pub fn unmatched(params: Params, salt: [u8; SALT_BYTES]) -> Self {
        Self { params, salt: salt.into(), tag: Vec::new() }
    }

    /// Whether it is of the size that is made today.
    pub fn is_current(&self, own: &Params) -> bool {
        self.params.m_cost() == own.m_cost()
            && self.params.t_cost() == own.t_cost()
            && self.params.p_cost() == own.p_cost()
            && self.salt.len() == SALT_BYTES
            && self.tag.len() == TAG_BYTES
    }

    /// Whether `password` is the one that was hashed.
    pub fn matches(&self, password: &str, memory: &mut Memory) -> Result<bool, HashError> {
        let mut tag = vec![0; self.params.output_len().unwrap_or(TAG_BYTES)];
        memory.argon2id(&self.params, password, &self.salt, &mut tag)?;
        Ok(tag.ct_eq(&self.tag).into())
    }
}

/// Hashes `password` into a PHC string.
pub(super) fn hash(
    params: &Params,
    password: &str,
    salt: [u8; SALT_BYTES],
    memory: &mut Memory,
) -> Result<String, HashError> {
    let mut tag = [0; TAG_BYTES];
    memory.argon2id(params, password, &salt, &mut tag)?;
    let (m, t, p) = (params.m_cost(), params.t_cost(), params.p_cost());
    let mut text = String::new();
    let (salt, tag) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(tag));
    write!(text, "$argon2id$v=19$m={m},t={t},p={p}${salt}${tag}")
        .map_err(|_| HashError::Unavailable)?;
    Ok(text)
}

/// The working memory of one worker: taken at the first hash, kept for the next ones, since fetching 19 MiB of
/// fresh pages costs as much as a good part of the hash.
pub(super) struct Memory {
    blocks: Vec<Block>,
    kept: usize,
    computed: u64,
}

impl Memory {
    /// Memory that keeps what `params` need.
    pub fn for_params(params: &Params) -> Self {
        Self { blocks: Vec::new(), kept: params.block_count(), computed: 0 }
    }

    /// How many hashes were computed since this was last asked.
    pub fn take_computed(&mut self) -> u64 {
        std::mem::take(&mut self.computed)
    }

    /// Whether there is anything to give back.
    pub const fn is_held(&self) -> bool {
        self.blocks.capacity() > 0
    }

    /// Gives the memory back, until the next hash.
    pub fn give_back(&mut self) {
        self.blocks = Vec::new();
    }

    #[cfg(test)]
    pub fn blocks_held(&self) -> usize {
        self.blocks.capacity()
    }

    fn argon2id(
        &mut self,
        params: &Params,
        password: &str,
        salt: &[u8],
        tag: &mut [u8],
    ) -> Result<(), HashError> {
        let needed = params.block_count();
        let _turn =
            (needed > self.kept).then(|| OVERSIZED.lock().unwrap_or_else(PoisonError::into_inner));
        if needed > self.blocks.len() {
            self.blocks
                .try_reserve_exact(needed - self.blocks.len())
                .map_err(|_| HashError::Unavailable)?;
            self.blocks.resize(needed, Block::new());
        }
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let made =
            argon2.hash_password_into_with_memory(password.as_bytes(), salt, tag, &mut self.blocks);
        self.computed += 1;
        if needed > self.kept {
            self.blocks.truncate(self.kept);
            self.blocks.shrink_to_fit();
        }
        made.map_err(|_| HashError::Unavailable)
    }
}

/// A decimal as PHC strings write it: digits only, no leading zero.
fn number(field: &str, name: &str) -> Option<u32> {
    let digits = field.strip_prefix(name)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    plain.then(|| digits.parse().ok()).flatten()
}

fn short(field: &str, lengths: std::ops::RangeInclusive<usize>) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(field).ok().filter(|bytes| lengths.contains(&bytes.len()))
}
