//! Chance that can be repeated: everything drawn follows from one seed.

use std::hash::{BuildHasher, RandomState};

use keystile::random::{self, SeededRandom};

/// Draws from a seed.
pub struct Dice(SeededRandom);

impl Dice {
    /// The same seed draws the same.
    pub const fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// From the seed in `KEYSTILE_TEST_SEED`, else from a fresh one. Says which: it is shown when a test fails.
    pub fn from_environment() -> Self {
        let given = std::env::var_os("KEYSTILE_TEST_SEED").map(|text| text.into_string().unwrap());
        let seed = given.map_or_else(
            || RandomState::new().hash_one("KEYSTILE_TEST_SEED"),
            |text| text.parse().expect("KEYSTILE_TEST_SEED is a number"),
        );
        println!("KEYSTILE_TEST_SEED={seed}");
        Self::new(seed)
    }

    /// Any number.
    pub fn draw(&mut self) -> u64 {
        u64::from_le_bytes(random::bytes(&self.0).unwrap())
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.draw() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// Yes, in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `options`; none of none.
    pub fn pick<'a, T>(&mut self, options: &'a [T]) -> Option<&'a T> {
        if options.is_empty() { None } else { options.get(self.below(options.len())) }
    }

    /// Dice of their own for another thread.
    pub fn fork(&mut self) -> Self {
        Self::new(self.draw())
    }
}
