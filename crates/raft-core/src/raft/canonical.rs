//! Servers with the same future as equal values, for those who explore all states.

use core::time::Duration;

use super::{Raft, Role};
use crate::io::WriteSeq;
use crate::types::Timestamp;

/// Where a canonical server's clock stands: late enough that nothing it remembers is before zero.
const NOW: Timestamp = Timestamp::from_micros(1 << 40);

/// What is subtracted from the instants and the numbers of writes that a server remembers.
#[derive(Debug)]
pub(crate) struct Rebase {
    now: Timestamp,
    /// An election timeout: what is longer ago is equally long ago.
    memory: Duration,
    durable: WriteSeq,
}

impl Rebase {
    /// Moves an instant with the clock.
    pub(crate) fn instant(&self, instant: &mut Timestamp) {
        if *instant == Timestamp::NEVER {
            return;
        }
        let age = self.now.since(*instant).min(self.memory);
        let ahead = instant.since(self.now);
        *instant = NOW.before(age).after(ahead);
    }

    /// Draws a random deadline anew.
    pub(crate) fn deadline(&self, deadline: &mut Timestamp) {
        if *deadline != Timestamp::NEVER {
            *deadline = NOW.after(self.memory.saturating_mul(2));
        }
    }

    /// Numbers a write from the last durable one.
    pub(crate) const fn seq(&self, seq: &mut WriteSeq) {
        *seq = WriteSeq::new(seq.get().saturating_sub(self.durable.get()));
    }
}

impl Raft {
    /// Makes servers equal that behave alike from here on, whatever their past: the clock stands at
    /// one and the same instant, which is returned, writes are numbered from the last durable one,
    /// and chance is taken away: a deadline that was drawn is the longest that can be.
    ///
    /// The driver's clock and its numbers of writes under way must follow. It is for explorers,
    /// which keep the states that they have seen; a server in service does not want it. There must
    /// be no output left ([`Raft::poll_output`]).
    pub fn canonicalize(&mut self) -> Timestamp {
        let Self { common, role, reported: _ } = self;
        let rebase = Rebase {
            now: common.now(),
            memory: common.config().election_timeout,
            durable: common.disk().durable_seq(),
        };
        common.rebase(&rebase);
        match role {
            Role::Follower(f) => f.rebase(&rebase),
            Role::PreCandidate(c) => c.rebase(&rebase),
            Role::Candidate(c) => c.rebase(&rebase),
            Role::Leader(l) => l.rebase(&rebase),
        }
        NOW
    }
}
