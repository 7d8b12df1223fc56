//! Who waits for leadership to change hands.

use raft_core::{NodeId, Timestamp, TransferError};

/// Why leadership did not go where a caller wanted it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransferRefusal {
    /// Not begun.
    Refused(TransferError),
    /// The successor was not ready in time, or the transfer was called off; this node still leads.
    Failed,
    /// Another node was elected.
    OtherLeader {
        /// Who leads.
        leader: NodeId,
    },
    /// Nobody was elected in time.
    TimedOut,
}

/// How a transfer ended, for its caller.
pub(super) type Outcome<P> = (P, Result<(), TransferRefusal>);

/// The transfer that is under way, and its callers.
#[derive(Debug)]
pub(super) struct Transfers<P> {
    under_way: Option<UnderWay<P>>,
}

#[derive(Debug)]
struct UnderWay<P> {
    to: NodeId,
    /// The first one's; who asks for the same gets no more time.
    deadline: Timestamp,
    callers: Vec<P>,
}

impl<P> Default for Transfers<P> {
    fn default() -> Self {
        Self { under_way: None }
    }
}

impl<P> Transfers<P> {
    pub(super) fn push(&mut self, to: NodeId, caller: P, deadline: Timestamp) {
        let fresh = || UnderWay { to, deadline, callers: Vec::new() };
        self.under_way.get_or_insert_with(fresh).callers.push(caller);
    }

    pub(super) fn on_leader(&mut self, leader: NodeId) -> Vec<Outcome<P>> {
        let won = self.under_way.as_ref().is_some_and(|transfer| transfer.to == leader);
        self.end(if won { Ok(()) } else { Err(TransferRefusal::OtherLeader { leader }) })
    }

    /// Takes the news that the transfer under way, if any, has given way to one to `to`.
    pub(super) fn on_other(&mut self, to: NodeId) -> Vec<Outcome<P>> {
        if self.under_way.as_ref().is_none_or(|transfer| transfer.to == to) {
            return Vec::new();
        }
        self.end(Err(TransferRefusal::Failed))
    }

    /// Takes the news that the transfer to `to` has failed.
    pub(super) fn on_failed(&mut self, to: NodeId) -> Vec<Outcome<P>> {
        if self.under_way.as_ref().is_none_or(|transfer| transfer.to != to) {
            return Vec::new();
        }
        self.end(Err(TransferRefusal::Failed))
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<Outcome<P>> {
        if self.deadline() > now {
            return Vec::new();
        }
        self.end(Err(TransferRefusal::TimedOut))
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.under_way.as_ref().map_or(Timestamp::NEVER, |transfer| transfer.deadline)
    }

    pub(super) fn into_callers(self) -> Vec<P> {
        self.under_way.map(|transfer| transfer.callers).unwrap_or_default()
    }

    fn end(&mut self, outcome: Result<(), TransferRefusal>) -> Vec<Outcome<P>> {
        let callers = self.under_way.take().map(|transfer| transfer.callers).unwrap_or_default();
        callers.into_iter().map(|caller| (caller, outcome)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_else_is_elected_is_no_success() {
        let [successor, other] = [3, 2].map(|id| NodeId::new(id).expect("it is not zero"));
        for (leader, outcome) in
            [(successor, Ok(())), (other, Err(TransferRefusal::OtherLeader { leader: other }))]
        {
            let mut transfers = Transfers::default();
            transfers.push(successor, "operator", Timestamp::NEVER);

            assert_eq!(transfers.on_leader(leader), [("operator", outcome)]);
        }
    }
}
