//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// Exponential back-off with full jitter: each delay is drawn between zero and a ceiling that
/// doubles, so that nodes that lost each other together do not call each other together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Backoff {
    schedule: BackoffSchedule,
    failures: u32,
}

/// The delays of a [`Backoff`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BackoffSchedule {
    /// Ceiling after the first failure.
    pub first: Duration,
    /// Ceiling after many.
    pub max: Duration,
    /// Delay after a failure that somebody has to repair; it is not drawn at random.
    pub fatal: Duration,
}

impl Default for BackoffSchedule {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(50),
            max: Duration::from_secs(2),
            fatal: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// Starts without failures.
    #[must_use]
    pub const fn new(schedule: BackoffSchedule) -> Self {
        Self { schedule, failures: 0 }
    }

    /// Notes a failure and draws the delay after it; `random` is to be uniform.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        let ceiling = self.schedule.first.saturating_mul(1 << doublings).min(self.schedule.max);
        scaled(ceiling, random)
    }

    /// The delay after a failure that somebody has to repair.
    #[must_use]
    pub const fn fatal_delay(&self) -> Duration {
        self.schedule.fatal
    }

    /// Forgets all failures. To be called when the authenticated peer has spoken: a connection
    /// that opens and says nothing is a failure too.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// A uniform part of `ceiling`.
fn scaled(ceiling: Duration, random: u64) -> Duration {
    let nanos = u128::from(u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX));
    let part = (nanos * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(part).expect("a part is not larger than the whole"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ceilings(count: usize) -> Vec<u128> {
        let mut backoff = Backoff::new(BackoffSchedule::default());
        let mut next = || (backoff.next_delay(u64::MAX) + Duration::from_nanos(1)).as_millis();
        std::iter::repeat_with(&mut next).take(count).collect()
    }

    #[test]
    fn ceiling_doubles_up_to_two_seconds() {
        assert_eq!(ceilings(8), [50, 100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn delay_is_a_uniform_part_of_the_ceiling() {
        let mut backoff = Backoff::new(BackoffSchedule::default());

        assert_eq!(backoff.next_delay(0), Duration::ZERO);
        assert_eq!(backoff.next_delay(u64::MAX / 2 + 1), Duration::from_millis(50));
    }

    #[test]
    fn reset_forgets_failures() {
        let mut backoff = Backoff::new(BackoffSchedule::default());
        for _ in 0..100 {
            let _ = backoff.next_delay(1);
        }

        backoff.reset();

        assert!(backoff.next_delay(u64::MAX) < Duration::from_millis(50));
    }
}
