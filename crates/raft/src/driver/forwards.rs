//! Commands that were sent to a leader which has not answered; and what a leader that hands over was
//! sent.

use std::collections::BTreeMap;

use bytes::Bytes;
use raft_core::{NodeId, Timestamp};
use raft_net::Forward;

use super::earliest;

/// Batches under way to a leader, by number. While it has not answered, nobody knows whether it
/// appended them.
#[derive(Debug)]
pub(super) struct Forwards<P> {
    last_id: u64,
    under_way: BTreeMap<u64, Forwarded<P>>,
    bytes: usize,
    /// Nobody gives up before; nobody may be left who gives up then.
    deadline: Timestamp,
}

/// A batch under way to a leader.
#[derive(Debug)]
pub(super) struct Forwarded<P> {
    pub(super) to: NodeId,
    /// Who proposed each command, and the command: it goes elsewhere if it was refused.
    pub(super) batch: Vec<(Bytes, P)>,
    pub(super) deadline: Timestamp,
}

impl<P> Default for Forwards<P> {
    fn default() -> Self {
        Self { last_id: 0, under_way: BTreeMap::new(), bytes: 0, deadline: Timestamp::NEVER }
    }
}

impl<P> Forwards<P> {
    /// Bytes of the commands under way.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a batch that is sent to `to`, and numbers it.
    pub(super) fn push(&mut self, to: NodeId, batch: Vec<(Bytes, P)>, deadline: Timestamp) -> u64 {
        self.last_id += 1;
        self.bytes += weight(&batch);
        self.under_way.insert(self.last_id, Forwarded { to, batch, deadline });
        // One that comes back from a node that does not lead has waited before.
        self.deadline = self.deadline.min(deadline);
        self.last_id
    }

    /// Takes the batch that `from` has answered; `None` if it gave up or was never sent there.
    pub(super) fn take(&mut self, from: NodeId, id: u64) -> Option<Forwarded<P>> {
        self.under_way.get(&id).filter(|forwarded| forwarded.to == from)?;
        let forwarded = self.under_way.remove(&id)?;
        self.bytes -= weight(&forwarded.batch);
        Some(forwarded)
    }

    pub(super) fn take_sent_to(&mut self, peer: NodeId) -> Vec<P> {
        self.take_if(|forwarded| forwarded.to == peer)
    }

    pub(super) fn take_not_sent_to(&mut self, leader: NodeId) -> Vec<P> {
        self.take_if(|forwarded| forwarded.to != leader)
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<P> {
        if self.deadline > now {
            return Vec::new();
        }
        let expired = self.take_if(|forwarded| forwarded.deadline <= now);
        self.deadline = earliest(self.under_way.values().map(|forwarded| forwarded.deadline));
        expired
    }

    pub(super) const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    pub(super) fn into_callers(self) -> Vec<P> {
        self.under_way.into_values().flat_map(Forwarded::into_callers).collect()
    }

    fn take_if(&mut self, condition: impl Fn(&Forwarded<P>) -> bool) -> Vec<P> {
        let mut taken = Vec::new();
        for (_, forwarded) in self.under_way.extract_if(.., |_, f| condition(f)) {
            self.bytes -= weight(&forwarded.batch);
            taken.extend(forwarded.into_callers());
        }
        taken
    }
}

impl<P> Forwarded<P> {
    pub(super) fn into_callers(self) -> impl Iterator<Item = P> {
        self.batch.into_iter().map(|(_, caller)| caller)
    }
}

/// Followers' batches that came while this leader hands over: at most an election timeout.
#[derive(Debug, Default)]
pub(super) struct Held {
    forwards: Vec<(NodeId, Forward)>,
    bytes: usize,
}

impl Held {
    /// Keeps a batch; gives it back if it would be more than `bytes_max`.
    pub(super) fn push(
        &mut self,
        from: NodeId,
        forward: Forward,
        bytes_max: usize,
    ) -> Result<(), Forward> {
        const OVERHEAD: usize = 64;
        let len = |command: &Bytes| command.len() + OVERHEAD;
        let bytes: usize = OVERHEAD + forward.commands.iter().map(len).sum::<usize>();
        if self.bytes + bytes > bytes_max {
            return Err(forward);
        }
        self.bytes += bytes;
        self.forwards.push((from, forward));
        Ok(())
    }

    pub(super) fn take_all(&mut self) -> Vec<(NodeId, Forward)> {
        std::mem::take(self).forwards
    }
}

fn weight<P>(batch: &[(Bytes, P)]) -> usize {
    batch.iter().map(|(command, _)| command.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_sent_again_gives_up_before_those_that_came_later() {
        let [soon, later] = [10, 20].map(Timestamp::from_micros);
        let leader = NodeId::new(1).unwrap();
        let batch = |caller| Vec::from([(Bytes::new(), caller)]);
        let mut forwards = Forwards::default();
        forwards.push(leader, batch("later"), later);
        forwards.push(leader, batch("again"), soon);

        assert_eq!(forwards.deadline(), soon);
        assert_eq!(forwards.take_expired(soon), ["again"]);
        assert_eq!(forwards.deadline(), later);
    }
}
