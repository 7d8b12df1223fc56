//! Handing over: transfer of leadership (thesis §3.10).

use alloc::boxed::Box;
use core::cmp::Reverse;

use super::Leader;
use crate::error::TransferError;
use crate::event::Event;
use crate::message::{Body, Heartbeat, Room};
use crate::raft::Next;
use crate::raft::canonical::Rebase;
use crate::raft::common::Common;
use crate::types::{LogIndex, NodeId, Timestamp};

/// A handing over that is under way.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Transfer {
    to: NodeId,
    deadline: Timestamp,
    /// Whether the successor has been heard since. One that matched long ago may be gone.
    heard: bool,
    otherwise: Otherwise,
}

/// What becomes of a leader whose successor is not ready in time.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Otherwise {
    /// It goes on.
    Lead,
    /// It steps down all the same.
    StepDown,
}

impl Transfer {
    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { to: _, deadline, heard: _, otherwise: _ } = self;
        rebase.instant(deadline);
    }

    pub(super) fn on_heard(&mut self, from: NodeId) {
        self.heard |= from == self.to;
    }
}

impl Leader {
    /// Begins to hand over to `to`, unless that is under way; calls off any other transfer.
    pub(in crate::raft) fn transfer(
        &mut self,
        common: &mut Common,
        to: NodeId,
    ) -> Result<(), TransferError> {
        if to == common.id() {
            self.call_off_transfer(common);
            return Ok(());
        }
        if !common.membership().contains(to) {
            return Err(TransferError::UnknownMember { id: to });
        }
        if !common.membership().quorum().incoming().contains(to) {
            return Err(TransferError::NotAVoter { id: to });
        }
        if self.successor() != Some(to) {
            self.begin_transfer(common, to, Otherwise::Lead);
        }
        Ok(())
    }

    /// Hands over to whoever is best at it, or simply steps down: for a leader that must go.
    pub(in crate::raft) fn hand_over(&mut self, common: &mut Common) -> Next {
        if let Some(transfer) = &mut self.transfer {
            transfer.otherwise = Otherwise::StepDown;
            return Next::Stay;
        }
        match self.best_successor(common) {
            Some(to) => {
                self.begin_transfer(common, to, Otherwise::StepDown);
                Next::Stay
            }
            None => step_down(common),
        }
    }

    /// Hands over to one that has everything, and room for more: for a leader that has none. It is
    /// asked again whenever somebody is heard.
    ///
    /// It stays if such as it hears could commit nothing without it: it serves reads, and a successor
    /// would not, before he had committed an entry of his own term. A leader that serves none for that
    /// reason has nothing to lose.
    pub(in crate::raft) fn make_way(&mut self, common: &mut Common) {
        let serves_reads = common.commit() >= self.first;
        if self.transfer.is_some() || (serves_reads && !self.is_dispensable(common)) {
            return;
        }
        let best = self.best_successor(common);
        if let Some(to) = best.filter(|to| self.would_take_over(common, *to)) {
            self.begin_transfer(common, to, Otherwise::Lead);
        }
    }

    /// Whether others could commit entries without us, as far as they were heard.
    fn is_dispensable(&self, common: &Common) -> bool {
        common.membership().quorum().reached(|id| self.would_take_over(common, id))
    }

    /// Whether a follower was heard within an election timeout, has everything and has room for more.
    ///
    /// Who has acknowledged our newest entry had room for that, though it may not have spoken of it yet,
    /// and a disk that did not hang.
    fn would_take_over(&self, common: &Common, id: NodeId) -> bool {
        let (now, timeout) = (common.now(), common.config().election_timeout);
        self.followers.get(id).is_some_and(|progress| {
            progress.is_live(now, timeout)
                && progress.room() == Room::Enough
                && progress.matched() >= common.last().index
        })
    }

    /// The voter that could take over soonest: one that stays, was heard within an election timeout,
    /// has room, and lacks the least.
    pub(in crate::raft) fn best_successor(&self, common: &Common) -> Option<NodeId> {
        let timeout = common.config().election_timeout;
        let staying = common.membership().quorum().incoming().iter();
        let followers = staying.filter_map(|id| Some((id, self.followers.get(id)?)));
        let alive = followers.filter(|(_, p)| p.is_live(common.now(), timeout));
        // One without room, if there is no other. The lowest id of those who are equal.
        let best = alive.min_by_key(|(id, p)| (p.room() == Room::None, Reverse(p.matched()), *id));
        best.map(|(id, _)| id)
    }

    pub(in crate::raft) fn successor(&self) -> Option<NodeId> {
        self.transfer.as_ref().map(|transfer| transfer.to)
    }

    pub(super) fn transfer_deadline(&self) -> Timestamp {
        self.transfer.as_ref().map_or(Timestamp::NEVER, |transfer| transfer.deadline)
    }

    /// Tells the successor to campaign, if it is there and has all that we have.
    ///
    /// We step down with that. From here on the successor may be elected at any moment, in spite of
    /// the promises that keep leaders in office; and the message may arrive late, so that the term
    /// could not be used again even if the successor lost.
    #[inline]
    pub(super) fn finish_transfer(&self, common: &mut Common) -> Next {
        self.transfer.as_deref().map_or(Next::Stay, |transfer| self.finish(common, *transfer))
    }

    #[inline(never)]
    fn finish(&self, common: &mut Common, transfer: Transfer) -> Next {
        let Transfer { to, heard, .. } = transfer;
        let matched = self.followers.get(to).map_or(LogIndex::ZERO, |p| p.matched());
        if !heard || matched < common.last().index {
            return Next::Stay;
        }
        common.send(to, Body::TimeoutNow);
        step_down(common)
    }

    /// Gives up on a successor that was not ready in time.
    pub(super) fn fail_transfer(&mut self, common: &mut Common) -> Next {
        match self.call_off_transfer(common) {
            None | Some(Transfer { otherwise: Otherwise::Lead, .. }) => Next::Stay,
            Some(Transfer { otherwise: Otherwise::StepDown, .. }) => step_down(common),
        }
    }

    fn call_off_transfer(&mut self, common: &mut Common) -> Option<Transfer> {
        let transfer = self.transfer.take()?;
        common.report(Event::TransferFailed { to: transfer.to });
        Some(*transfer)
    }

    fn begin_transfer(&mut self, common: &mut Common, to: NodeId, otherwise: Otherwise) {
        self.call_off_transfer(common);
        let deadline = common.now().after(common.config().election_timeout);
        self.transfer = Some(Box::new(Transfer { to, deadline, heard: false, otherwise }));
        // Its answer shows that it is there, and where it stands.
        let Some(progress) = self.followers.get_mut(to) else { return };
        let commit = common.commit().min(progress.matched());
        progress.tell_commit(commit);
        common.send(to, Body::Heartbeat(Heartbeat { commit, round: self.rounds.last() }));
    }
}

const fn step_down(common: &Common) -> Next {
    Next::Follow { term: common.term(), leader: None }
}
