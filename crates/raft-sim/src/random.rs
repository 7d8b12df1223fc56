//! Chance, from a seed.

/// A stream of draws that its seed decides, the same on every machine.
///
/// Whatever draws independently has a stream of its own: so leaving one fault out of a run does not
/// change what chance does elsewhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for each seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(mix(seed ^ 0x6a09_e667_f3bc_c908))
    }

    /// The stream called `name` of a seed.
    #[must_use]
    pub const fn of(seed: u64, name: u64) -> Self {
        Self::new(seed ^ mix(name.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// Any number (SplitMix64).
    pub const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; zero if that is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.draw()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or_default()
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True so many times in a million.
    pub fn chance(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.below(1_000_000) < u64::from(per_million)
    }

    /// True every second time.
    pub const fn coin(&mut self) -> bool {
        self.draw() & 1 == 1
    }

    /// One of `choices`.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.position(choices.len())]
    }

    /// A position below `len`.
    pub fn position(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or_default()
    }

    /// A position, each as often as its weight says; the first if all weigh nothing.
    pub fn weighted(&mut self, weights: impl Iterator<Item = u32> + Clone) -> usize {
        let sum = weights.clone().map(u64::from).sum();
        let mut left = self.below(sum);
        for (at, weight) in weights.enumerate() {
            if left < u64::from(weight) {
                return at;
            }
            left -= u64::from(weight);
        }
        0
    }
}

const fn mix(number: u64) -> u64 {
    let a = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    b ^ (b >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_for_the_same_seed_and_name_only() {
        let draws = |mut random: Random| [random.draw(), random.draw()];

        assert_eq!(draws(Random::of(7, 1)), draws(Random::of(7, 1)));
        assert_ne!(draws(Random::of(7, 1)), draws(Random::of(7, 2)));
        assert_ne!(draws(Random::of(7, 1)), draws(Random::of(8, 1)));
    }

    #[test]
    fn bounds_are_kept_and_reached() {
        let mut random = Random::new(1);
        let drawn: Vec<_> = (0..1_000).map(|_| random.within(3, 5)).collect();

        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&5));
    }
}
