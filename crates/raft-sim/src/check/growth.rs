//! A server votes only once it has caught up (thesis §4.2.1).

use std::collections::VecDeque;
use std::time::Duration;

use raft_core::{LogId, LogIndex, Membership, NodeId, Timestamp};

use super::{Rule, Violation, ensure};

/// How the log of a leader has grown of late.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    /// When it was seen to end where, the earliest first.
    ends: VecDeque<(Timestamp, LogId)>,
}

/// A round of catching up, and what may pass until its end is noticed, take less than this many
/// election timeouts.
const ROUNDS: u32 = 3;

impl Growth {
    /// The log of a leader ends at `last`, `now` by its clock.
    pub(crate) fn note(&mut self, now: Timestamp, last: LogId, election: Duration) {
        // What it held before it took office it has not held as a leader.
        if self.ends.back().is_some_and(|(_, end)| end.term != last.term) {
            self.ends.clear();
        }
        self.ends.push_back((now, last));
        // Of what is long ago, the newest.
        let is_long_ago = |at: &Timestamp| now.since(*at) > election * ROUNDS;
        while self.ends.get(1).is_some_and(|(at, _)| is_long_ago(at)) {
            self.ends.pop_front();
        }
    }

    /// Checks that a server which is to vote from now on has what the leader's log had when the round
    /// began in which it has caught up.
    pub(crate) fn check(
        &self,
        (server, holds): (NodeId, LogIndex),
        now: Timestamp,
        election: Duration,
    ) -> Result<(), Violation> {
        let Some((at, end)) = self.ends.front() else { return Ok(()) };
        let is_long_ago = now.since(*at) > election * ROUNDS;
        ensure(!is_long_ago || holds >= end.index, Rule::CaughtUp, || {
            format!("{server} is to vote and holds entries up to {holds} only, though {end} is old")
        })
    }
}

/// Those who vote by `after` and not by `before`.
pub(crate) fn new_voters<'a>(
    before: &'a Membership,
    after: &'a Membership,
) -> impl Iterator<Item = NodeId> + 'a {
    after.quorum().voters().filter(|voter| !before.is_voter(*voter))
}
