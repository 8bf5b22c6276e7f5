//! Repeatable choices.

use keystile::random::{self, SeededRandom};

/// A sequence of choices.
pub struct Choices(SeededRandom);

impl Choices {
    /// Those that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        Self(SeededRandom::new(seed))
    }

    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        let number = u64::from_be_bytes(random::bytes(&self.0).unwrap());
        usize::try_from(number % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    /// One of these.
    pub fn one<'a, T>(&self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }
}
