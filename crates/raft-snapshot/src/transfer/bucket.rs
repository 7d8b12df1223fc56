//! How fast bytes may flow.

use std::num::NonZeroU64;
use std::time::Duration;

use raft_core::Timestamp;

/// Bounds bytes per second, over all that spend from it.
///
/// It lends: whatever comes when there is credit may be spent at once, and the next has to wait
/// until it is paid back. So nothing is too large for it.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// `None`: as fast as it goes.
    bytes_per_second: Option<NonZeroU64>,
    /// How much may be borrowed, as the time in which it is paid back.
    burst: Duration,
    /// When all that was spent is paid back.
    even_at: Timestamp,
}

impl TokenBucket {
    /// How far the flow may be ahead of its rate.
    const BURST: Duration = Duration::from_millis(20);

    /// Lets `bytes_per_second` pass; all of them, if `None`.
    #[must_use]
    pub const fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, burst: Self::BURST, even_at: Timestamp::from_micros(0) }
    }

    /// Lets so many bytes per second pass from here on. What was spent before is paid back as it was.
    pub const fn set_rate(&mut self, bytes_per_second: Option<NonZeroU64>) {
        self.bytes_per_second = bytes_per_second;
    }

    /// When something may be spent: now, or later.
    #[must_use]
    pub fn ready_at(&self) -> Timestamp {
        let burst = u64::try_from(self.burst.as_micros()).unwrap_or(u64::MAX);
        Timestamp::from_micros(self.even_at.as_micros().saturating_sub(burst))
    }

    /// Whether something may be spent.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.ready_at() <= now
    }

    /// Spends `bytes`.
    pub fn spend(&mut self, now: Timestamp, bytes: u64) {
        let Some(rate) = self.bytes_per_second else { return };
        let micros = u128::from(bytes) * 1_000_000 / u128::from(rate.get());
        let cost = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.even_at = self.even_at.max(now).after(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    #[test]
    fn over_time_the_rate_is_kept() {
        let mut bucket = TokenBucket::new(NonZeroU64::new(1_000_000));
        let (mut now, mut sent) = (at(0), 0);
        while now < at(10_000) {
            if bucket.is_ready(now) {
                bucket.spend(now, 3_000);
                sent += 3_000;
            }
            now = bucket.ready_at().max(Timestamp::from_micros(now.as_micros() + 1));
        }
        assert!((9_900_000..10_100_000).contains(&sent), "{sent} bytes in ten seconds");
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let mut bucket = TokenBucket::new(NonZeroU64::new(1_000));
        bucket.spend(at(60_000), 1_000);
        assert!(!bucket.is_ready(at(60_900)));
        assert!(bucket.is_ready(at(61_000)));
    }

    #[test]
    fn a_rate_that_changes_holds_for_what_comes() {
        let mut bucket = TokenBucket::new(NonZeroU64::new(1_000));
        bucket.spend(at(0), 1_000);
        bucket.set_rate(NonZeroU64::new(10_000));
        assert_eq!(bucket.ready_at(), at(980));
        bucket.spend(at(1_000), 1_000);
        assert_eq!(bucket.ready_at(), at(1_080));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut bucket = TokenBucket::new(None);
        bucket.spend(at(0), u64::MAX);
        assert!(bucket.is_ready(at(0)));
    }
}
