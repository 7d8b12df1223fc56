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

    /// Draws an instant after `now`.
    pub(super) const fn draw(&mut self, now: Timestamp) -> Draw {
        Draw { now, random: self.next() }
    }
}

/// An instant that was drawn. Most are never asked for, so it is not worked out before.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Draw {
    now: Timestamp,
    random: u64,
}

impl Draw {
    /// The instant: at least `shortest` after the one at which it was drawn, and less than twice
    /// that.
    pub(super) fn instant(self, shortest: Duration) -> Timestamp {
        let random = self.random % micros(shortest).max(1);
        self.now.after(shortest).after_micros(random)
    }
}
