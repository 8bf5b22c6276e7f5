//! Argon2id alone: the server's parameters, memory that is kept, no queue, no encoding.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use argon2::{Algorithm, Argon2, Block, Params, Version};

/// The default of `passwords.memory_kib`.
pub const MEMORY_KIB: u32 = 19_456;
/// The default of `passwords.iterations`.
const ITERATIONS: u32 = 2;

/// Hashes in `workers` threads whenever asked to.
pub fn serve(workers: usize) -> Result<()> {
    let params =
        Params::new(MEMORY_KIB, ITERATIONS, 1, Some(32)).map_err(|error| anyhow!(error))?;
    let mut memories = vec![vec![Block::new(); params.block_count()]; workers];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    super::obey(|span| {
        let until = Instant::now() + span;
        std::thread::scope(|scope| {
            let started: Vec<_> = memories
                .iter_mut()
                .map(|memory| scope.spawn(|| hash(&argon2, memory, until)))
                .collect();
            let mut all = Vec::new();
            for worker in started {
                all.extend(worker.join().map_err(|_| anyhow!("a worker panicked"))??);
            }
            Ok(all)
        })
    })
}

fn hash(argon2: &Argon2<'_>, memory: &mut [Block], until: Instant) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    let mut begun = Instant::now();
    while begun < until {
        argon2
            .hash_password_into_with_memory(
                b"correct horse battery staple",
                b"sixteen bytes of",
                &mut [0; 32],
                &mut *memory,
            )
            .map_err(|error| anyhow!(error))?;
        let done = Instant::now();
        times.push(done - begun);
        begun = done;
    }
    Ok(times)
}
