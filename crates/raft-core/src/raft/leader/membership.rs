//! Changing the membership (paper §6, thesis §4).

use alloc::vec::Vec;

use super::Leader;
use super::catch_up::{CatchUp, Pace};
use crate::error::ChangeError;
use crate::event::Event;
use crate::membership::{Membership, MembershipChange};
use crate::message::{Body, Removed};
use crate::progress::Progress;
use crate::raft::Next;
use crate::raft::common::Common;
use crate::types::{LogId, LogIndex, NodeId};

impl Leader {
    /// Appends the first membership on the way to what `change` wants.
    pub(in crate::raft) fn change_membership(
        &mut self,
        common: &mut Common,
        change: &MembershipChange,
    ) -> Result<LogId, ChangeError> {
        self.check_may_change(common, change)?;
        let current = common.membership();
        let wanted = change.wanted(current)?;
        if wanted == *current {
            return Err(ChangeError::Unchanged);
        }
        let mut new_voters = wanted.quorum().voters().filter(|&id| !current.quorum().contains(id));
        if let Some(id) = new_voters.find(|&id| !self.has_caught_up(common, id)) {
            return Err(ChangeError::NotCaughtUp { id });
        }
        if let Some(id) = thins_out(current, &wanted) {
            return Err(ChangeError::NotCaughtUp { id });
        }
        let next = current.towards(&wanted);
        Ok(self.append_membership(common, next))
    }

    /// One change at a time; and none before we know what is committed.
    ///
    /// The memberships of two leaders could otherwise both follow the same one, and have no quorum
    /// in common (Ongaro's erratum of 2015 to thesis §4.1).
    fn check_may_change(
        &self,
        common: &Common,
        change: &MembershipChange,
    ) -> Result<(), ChangeError> {
        let current = common.membership_id();
        if let Some(to) = self.successor() {
            return Err(ChangeError::Transferring { to });
        }
        if common.commit() < self.first {
            return Err(ChangeError::NotReady);
        }
        if change.base().is_some_and(|base| base != current) {
            return Err(ChangeError::Outdated { current });
        }
        if common.commit() < current.index || common.membership().is_joint() {
            return Err(ChangeError::Pending { id: current });
        }
        Ok(())
    }

    /// Draws the consequences of what is committed: leaves a joint membership, tells who was
    /// removed, goes if that is ourselves, and promotes learners.
    pub(super) fn follow_up(&mut self, common: &mut Common) -> Next {
        let id = common.membership_id();
        if common.commit() < id.index.max(self.first) {
            return self.finish_transfer(common);
        }
        if self.settled < id.index {
            self.settled = id.index;
            tell_removed(common, id);
        }
        if common.membership().is_joint() {
            // Whoever takes over does it.
            if self.successor().is_none() {
                let settled = common.membership().settled();
                self.append_membership(common, settled);
            }
        } else if !common.is_voter() {
            let next = self.hand_over(common);
            if next != Next::Stay {
                return next;
            }
        } else if self.successor().is_none() && common.membership().has_promotions() {
            self.promote(common);
        }
        self.finish_transfer(common)
    }

    /// Takes the news that a follower has everything up to `matched`.
    pub(super) fn on_matched(&mut self, common: &mut Common, from: NodeId, matched: LogIndex) {
        let Some(learner) = self.learners.get_mut(from) else { return };
        let timeout = common.config().election_timeout;
        match learner.on_matched(matched, common.last().index, common.now(), timeout) {
            Pace::Kept | Pace::Unknown => {}
            Pace::Lost => common.report(Event::LearnerTooSlow { peer: from }),
        }
    }

    /// The log has grown, and learners lack what is new.
    pub(super) fn begin_rounds(&mut self, common: &Common) {
        let (last, now) = (common.last().index, common.now());
        self.learners.iter_mut().for_each(|(_, learner)| learner.on_appended(last, now));
    }

    /// Has a progress for each follower, and a pace for each learner, of the membership in force.
    pub(super) fn follow_membership(&mut self, common: &Common, last: LogIndex) {
        let (now, membership) = (common.now(), common.membership());
        self.lease.iter_mut().for_each(|lease| lease.end());
        self.followers.follow(common.peers(), || Progress::new(last, now));
        let learners = common.peers().filter(|&id| membership.is_learner(id));
        self.learners.follow(learners, || CatchUp::new(last, now));
    }

    #[inline(never)]
    fn append_membership(&mut self, common: &mut Common, membership: Membership) -> LogId {
        let last = common.last().index;
        let id = common.append_membership(membership);
        self.uncommitted_bytes += common.log().weight_between(last, id.index);
        self.begin_rounds(common);
        self.follow_membership(common, last);
        // What lacked the answer of one who is gone may lack nothing.
        self.serve_confirmed_reads(common);
        id
    }

    /// Makes voters of the learners that were to become one as soon as they have caught up.
    #[inline(never)]
    fn promote(&mut self, common: &mut Common) {
        let membership = common.membership();
        let waiting = membership.promotions();
        let ready: Vec<_> = waiting.filter(|&id| self.has_caught_up(common, id)).collect();
        if ready.is_empty() {
            return;
        }
        let change = ready.into_iter().fold(MembershipChange::new(), MembershipChange::promote);
        // They are members, and nobody goes: it cannot be refused.
        if let Ok(wanted) = change.wanted(membership) {
            let next = membership.towards(&wanted);
            self.append_membership(common, next);
        }
    }

    /// Whether a learner is alive, and could vote without holding up anything.
    fn has_caught_up(&self, common: &Common, id: NodeId) -> bool {
        let (now, timeout) = (common.now(), common.config().election_timeout);
        let (Some(progress), Some(learner)) = (self.followers.get(id), self.learners.get(id))
        else {
            return id == common.id();
        };
        progress.is_live(now, timeout)
            && learner.is_done(progress.matched(), common.last().index, now, timeout)
    }
}

/// Who must catch up before others may go: until it does, entries would be committed with fewer
/// copies than before and after.
fn thins_out(current: &Membership, wanted: &Membership) -> Option<NodeId> {
    let (before, between) = (current.quorum().incoming(), wanted.quorum().incoming());
    let after = (between.count() + wanted.promotions().count()) / 2 + 1;
    let is_thin = between.majority() < before.majority().min(after);
    wanted.promotions().next().filter(|_| is_thin)
}

/// Tells those whom the membership of entry `by`, which is committed, has removed.
#[inline(never)]
fn tell_removed(common: &mut Common, by: LogId) {
    let Some(before) = common.previous_membership() else { return };
    let is_gone = |id: &NodeId| !common.membership().contains(*id) && *id != common.id();
    let gone: Vec<_> = before.members().filter(is_gone).collect();
    for id in gone {
        common.send(id, Body::Removed(Removed { by }));
    }
}
