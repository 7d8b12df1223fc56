//! The core's clock.

use std::time::Duration;

use raft_core::Timestamp;

/// Microseconds since the node's start. Where the system has such a clock, they go on while the
/// machine is suspended: the others' do, and leases rest on that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(source::Moment);

impl Clock {
    pub(super) const GOES_ON_WHEN_SUSPENDED: bool = source::GOES_ON_WHEN_SUSPENDED;

    pub(super) fn start() -> Self {
        Self(source::Moment::now())
    }

    pub(super) fn now(self) -> Timestamp {
        Timestamp::default().after(self.0.elapsed())
    }

    /// When to wake up for `timestamp`.
    pub(super) fn instant(self, timestamp: Timestamp) -> tokio::time::Instant {
        /// Longer than any timeout; the loop looks again after it.
        const FAR: Duration = Duration::from_secs(3600);
        let from_start = Duration::from_micros(timestamp.as_micros());
        tokio::time::Instant::now() + from_start.saturating_sub(self.0.elapsed()).min(FAR)
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod source {
    use std::time::Duration;

    use rustix::time::{ClockId, clock_gettime};

    pub(super) const GOES_ON_WHEN_SUSPENDED: bool = true;

    /// By the clock that counts from the start of the machine.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Moment(Duration);

    impl Moment {
        pub(super) fn now() -> Self {
            // It counts up from zero, so it is never negative.
            Self(Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default())
        }

        pub(super) fn elapsed(self) -> Duration {
            Self::now().0.saturating_sub(self.0)
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod source {
    pub(super) use std::time::Instant as Moment;

    pub(super) const GOES_ON_WHEN_SUSPENDED: bool = false;
}
