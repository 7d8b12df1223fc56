//! Time as an input.

use core::time::Duration;

/// A point on the driver's monotonic clock, in microseconds since an epoch of its choosing.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

impl Timestamp {
    /// A point that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Makes a timestamp.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The timestamp in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The timestamp `duration` later; [`Timestamp::NEVER`] if that is out of range.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self.after_micros(micros(duration))
    }

    pub(crate) const fn after_micros(self, micros: u64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The timestamp `duration` earlier, but not before zero.
    pub(crate) fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The duration in microseconds, or as many as can be counted. It is asked for with every message, so
/// it does without 128 bits.
pub(crate) fn micros(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(u64::from(duration.subsec_micros()))
}
