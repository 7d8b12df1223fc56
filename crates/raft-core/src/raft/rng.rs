//! The only source of chance: a generator seeded by the caller.

use core::time::Duration;

use crate::types::{Timestamp, micros};

/// SplitMix64.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Rng(u64);

impl Rng {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An instant at least `shortest` after `now`, and less than twice that.
    pub(super) fn draw_from_one_to_two(&mut self, now: Timestamp, shortest: Duration) -> Timestamp {
        let random = self.next() % micros(shortest).max(1);
        now.after(shortest).after_micros(random)
    }
}
