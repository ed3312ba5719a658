//! Chance that can be repeated: a failure is a seed.

/// A small generator (splitmix).
pub struct Dice(u64);

impl Dice {
    /// From a seed: the same rolls for the same seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// Of so many sides, from 0.
    ///
    /// # Panics
    /// When there are no sides.
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % sides as u64).expect("it is less than a usize")
    }

    /// Once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.roll(times) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.roll(among.len())].clone()
    }

    /// One of these, as often as its weight says.
    ///
    /// # Panics
    /// When all weights are 0.
    pub fn weighed<T: Clone>(&mut self, among: &[(usize, T)]) -> T {
        let mut left = self.roll(among.iter().map(|(weight, _)| weight).sum());
        for (weight, one) in among {
            if left < *weight {
                return one.clone();
            }
            left -= weight;
        }
        unreachable!("the roll is below the sum of the weights")
    }
}
