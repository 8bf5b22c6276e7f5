//! Chance that can be repeated: everything drawn follows from one seed (`SplitMix64`).

use std::hash::{BuildHasher, RandomState};

/// Draws from a seed.
pub struct Dice(u64);

impl Dice {
    /// The same seed draws the same.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From the seed in `KEYSTILE_TEST_SEED`, else from a fresh one. Says which: it is shown when a test fails.
    pub fn from_environment() -> Self {
        let given = std::env::var_os("KEYSTILE_TEST_SEED").map(|text| text.into_string().unwrap());
        let seed = given.map_or_else(
            || RandomState::new().hash_one("KEYSTILE_TEST_SEED"),
            |text| text.parse().expect("KEYSTILE_TEST_SEED is a number"),
        );
        println!("KEYSTILE_TEST_SEED={seed}");
        Self(seed)
    }

    /// Any number.
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
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
    pub const fn fork(&mut self) -> Self {
        Self(self.draw())
    }
}
