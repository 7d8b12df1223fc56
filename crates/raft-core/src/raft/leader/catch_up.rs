//! Whether a learner keeps pace: the rounds of catching up (thesis §4.2.1).

use core::time::Duration;

use crate::raft::canonical::Rebase;
use crate::types::{LogIndex, Timestamp};

/// Rounds after which a learner that is too slow is worth a word.
const SLOW_ROUNDS_MAX: u32 = 10;

/// How a learner comes along.
///
/// A round is the replication of all that the log held when the round began. A learner has caught
/// up when its last round took less than an election timeout: it would not hold up commitment for
/// longer than that. If nothing is lacking when a round ends, the next one is empty, and takes no
/// time at all.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct CatchUp {
    round: Round,
    /// Whether the last round was short enough.
    kept_pace: bool,
    /// Rounds that were not, one after the other.
    slow_rounds: u32,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Round {
    /// Nothing was lacking when the learner was last heard of.
    Idle,
    /// It ends when the learner has everything up to here.
    Open { upto: LogIndex, since: Timestamp },
}

impl CatchUp {
    /// A learner about which nothing is known, of a log that ends at `last`.
    pub(super) const fn new(last: LogIndex, now: Timestamp) -> Self {
        let round = Round::Open { upto: last, since: now };
        Self { round, kept_pace: false, slow_rounds: 0 }
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { round, kept_pace: _, slow_rounds: _ } = self;
        match round {
            Round::Idle => {}
            Round::Open { upto: _, since } => rebase.instant(since),
        }
    }

    /// Takes the news that the log has grown, and ends at `last` now: a learner that lacked nothing
    /// begins another round, however long it takes until it is heard of again.
    pub(super) fn on_appended(&mut self, last: LogIndex, now: Timestamp) {
        if self.round == Round::Idle {
            self.round = Round::Open { upto: last, since: now };
        }
    }

    /// Takes the news that the learner has everything up to `matched` of a log that ends at `last`.
    pub(super) fn on_matched(
        &mut self,
        matched: LogIndex,
        last: LogIndex,
        now: Timestamp,
        timeout: Duration,
    ) -> Pace {
        let took = match self.round {
            Round::Open { upto, .. } if matched < upto => return Pace::Unknown,
            Round::Open { since, .. } => now.since(since),
            Round::Idle => Duration::ZERO,
        };
        let lacks = matched < last;
        self.kept_pace = took < timeout || !lacks;
        self.round = if lacks { Round::Open { upto: last, since: now } } else { Round::Idle };
        if self.kept_pace {
            self.slow_rounds = 0;
            return Pace::Kept;
        }
        self.slow_rounds += 1;
        if self.slow_rounds.is_multiple_of(SLOW_ROUNDS_MAX) { Pace::Lost } else { Pace::Unknown }
    }

    /// Whether a learner that has everything up to `matched`, of a log that ends at `last`, has
    /// caught up.
    pub(super) fn is_done(
        &self,
        matched: LogIndex,
        last: LogIndex,
        now: Timestamp,
        timeout: Duration,
    ) -> bool {
        let in_time = match self.round {
            Round::Idle => matched >= last,
            Round::Open { since, .. } => now.since(since) < timeout,
        };
        self.kept_pace && in_time
    }
}

/// What a round has shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Pace {
    /// It was short.
    Kept,
    /// Nothing yet: it goes on, or was long.
    Unknown,
    /// It was the last of many that were too long.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1);

    fn i(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn a_learner_has_caught_up_when_a_round_took_less_than_an_election_timeout() {
        let mut learner = CatchUp::new(i(1_000), at(0));
        learner.on_matched(i(999), i(1_500), at(5_000), TIMEOUT);
        learner.on_matched(i(1_000), i(1_500), at(6_000), TIMEOUT);
        assert!(!learner.is_done(i(1_000), i(1_500), at(6_000), TIMEOUT));

        learner.on_matched(i(1_500), i(1_600), at(6_999), TIMEOUT);

        assert!(learner.is_done(i(1_500), i(1_600), at(6_999), TIMEOUT));
    }

    #[test]
    fn a_round_of_exactly_an_election_timeout_is_too_long() {
        let mut learner = CatchUp::new(i(10), at(0));

        learner.on_matched(i(10), i(20), at(1_000), TIMEOUT);

        assert!(!learner.is_done(i(10), i(20), at(1_001), TIMEOUT));
    }

    #[test]
    fn a_learner_at_rest_that_lacks_an_entry_has_not_caught_up() {
        let mut learner = CatchUp::new(i(10), at(0));
        learner.on_matched(i(10), i(10), at(1), TIMEOUT);

        assert!(!learner.is_done(i(10), i(11), at(2), TIMEOUT));
    }

    #[test]
    fn a_short_round_makes_up_for_slow_ones() {
        let mut learner = CatchUp::new(i(1), at(0));
        for round in 1..=9 {
            learner.on_matched(i(round), i(round + 1), at(round * 2_000), TIMEOUT);
        }

        let short = learner.on_matched(i(10), i(11), at(18_001), TIMEOUT);
        let slow = learner.on_matched(i(11), i(12), at(20_001), TIMEOUT);

        assert_eq!((short, slow), (Pace::Kept, Pace::Unknown));
    }

    #[test]
    fn a_learner_that_stops_in_a_later_round_has_not_caught_up() {
        let mut learner = CatchUp::new(i(10), at(0));
        learner.on_matched(i(10), i(20), at(1), TIMEOUT);

        assert!(learner.is_done(i(19), i(30), at(1_000), TIMEOUT));
        assert!(!learner.is_done(i(19), i(30), at(1_001), TIMEOUT));
    }

    /// It was started long after it was added, and nobody writes: there will be no other round.
    #[test]
    fn a_learner_that_lacks_nothing_has_caught_up_however_long_that_took() {
        let mut learner = CatchUp::new(i(10), at(0));

        learner.on_matched(i(10), i(10), at(90_000), TIMEOUT);

        assert!(learner.is_done(i(10), i(10), at(90_000), TIMEOUT));
    }

    #[test]
    fn rest_is_no_slowness() {
        let mut learner = CatchUp::new(i(10), at(0));
        learner.on_matched(i(10), i(10), at(1), TIMEOUT);
        assert!(learner.is_done(i(10), i(10), at(90_000), TIMEOUT));

        learner.on_appended(i(12), at(100_000));
        learner.on_matched(i(11), i(12), at(100_001), TIMEOUT);

        assert!(learner.is_done(i(11), i(12), at(100_002), TIMEOUT));
    }

    #[test]
    fn absence_is_slowness() {
        let mut learner = CatchUp::new(i(10), at(0));
        learner.on_matched(i(10), i(10), at(1), TIMEOUT);
        learner.on_appended(i(11), at(100));
        learner.on_appended(i(12), at(200));

        assert_eq!(learner.on_matched(i(11), i(12), at(5_000), TIMEOUT), Pace::Unknown);

        assert!(!learner.is_done(i(11), i(12), at(5_000), TIMEOUT));
    }

    #[test]
    fn ten_slow_rounds_are_worth_a_word_and_then_ten_more() {
        let mut learner = CatchUp::new(i(1), at(0));

        let paces = (1..=20)
            .map(|round| learner.on_matched(i(round), i(round + 1), at(round * 2_000), TIMEOUT));
        let lost: alloc::vec::Vec<_> = paces
            .zip(1..)
            .filter(|(pace, _)| *pace == Pace::Lost)
            .map(|(_, round)| round)
            .collect();

        assert_eq!(lost, [10, 20]);
    }
}
