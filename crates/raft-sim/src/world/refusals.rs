//! Whether there is a reason when a leader refuses what an operator asks for.

#![allow(clippy::wildcard_enum_match_arm, reason = "reasons of later versions are none")]

use raft_core::{
    ChangeError, LogId, LogIndex, Membership, NodeId, Raft, RoleKind, Status, Term, TransferError,
};

use crate::check::Committed;

/// What an operator wants of a leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purpose {
    pub(super) aim: Aim,
    /// The membership that he means to change, if he says.
    pub(super) base: Option<LogId>,
}

/// How a server stood when it was asked.
#[derive(Debug)]
pub(super) struct Asked {
    role: RoleKind,
    term: Term,
    commit: LogIndex,
    successor: Option<NodeId>,
    membership: Membership,
    membership_id: LogId,
}

/// What a change was to lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Aim {
    /// The members are so already.
    AsBefore,
    /// Nobody would vote.
    NoVoters,
    /// Others would be members, or vote.
    Others,
}

impl Asked {
    pub(super) fn new(raft: &Raft) -> Self {
        let Status { role, hard_state, commit, membership, membership_id, .. } = raft.status();
        Self {
            role,
            term: hard_state.term,
            commit,
            successor: raft.successor(),
            membership: membership.clone(),
            membership_id,
        }
    }

    pub(super) const fn term(&self) -> Term {
        self.term
    }

    /// Whether what the server gave as its reason not to hand over was so.
    pub(super) fn justifies_no_transfer(&self, error: TransferError) -> bool {
        match error {
            TransferError::NotLeader { .. } => self.role != RoleKind::Leader,
            TransferError::UnknownMember { id } => !self.membership.contains(id),
            TransferError::NotAVoter { id } => !self.membership.quorum().incoming().contains(id),
            _ => false,
        }
    }

    /// Whether what the server gave as its reason not to change the members was so.
    pub(super) fn justifies_no_change(
        &self,
        Purpose { aim, base }: Purpose,
        error: ChangeError,
        committed: &Committed,
    ) -> bool {
        let is_open = self.membership.is_joint() || self.commit < self.membership_id.index;
        let newest = committed.id_at(self.commit);
        match error {
            ChangeError::NotLeader { .. } => self.role != RoleKind::Leader,
            ChangeError::Transferring { to } => self.successor == Some(to),
            ChangeError::NotReady => newest.is_none_or(|newest| newest.term < self.term),
            ChangeError::Pending { id } => id == self.membership_id && is_open,
            ChangeError::Unchanged => aim == Aim::AsBefore,
            ChangeError::NoVoters => aim == Aim::NoVoters,
            ChangeError::UnknownMember { id } => !self.membership.contains(id),
            ChangeError::NotCaughtUp { id } => !self.membership.is_voter(id),
            ChangeError::Outdated { current } => {
                current == self.membership_id && base.is_some_and(|base| base != current)
            }
            _ => false,
        }
    }
}
