//! Randomness from a seed (SplitMix64). Whoever draws has lots of their own, so that what one draws changes nothing for
//! another.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash that is the same in every process.
pub(super) fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Lots(u64);

impl Lots {
    /// The lots of `whose` under `seed`.
    pub(super) fn of(seed: u64, whose: impl Hash) -> Lots {
        Lots(hash((seed, hash(whose))))
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// From `first` to `last`.
    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// Whether it comes to pass, so many times in a thousand.
    pub(super) fn permille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        if of.is_empty() { None } else { of.get(usize::try_from(self.below(of.len() as u64)).ok()?) }
    }
}
