//! Whether there is a reason when a leader refuses to change the members.

#![allow(clippy::wildcard_enum_match_arm, reason = "reasons of later versions are none")]

use raft_core::{ChangeError, LogId, LogIndex, Membership, NodeId, Raft, RoleKind, Status, Term};

use crate::check::Committed;

/// How a server stood when it was asked to change the members.
#[derive(Debug)]
pub(super) struct Asked {
    role: RoleKind,
    term: Term,
    commit: LogIndex,
    successor: Option<NodeId>,
    membership: Membership,
    membership_id: LogId,
    /// The members are as they were to become.
    is_so_already: bool,
    /// Somebody was to vote afterwards.
    has_voters: bool,
}

impl Asked {
    pub(super) fn new(raft: &Raft, is_so_already: bool, has_voters: bool) -> Self {
        let Status { role, hard_state, commit, membership, membership_id, .. } = raft.status();
        Self {
            role,
            term: hard_state.term,
            commit,
            successor: raft.successor(),
            membership: membership.clone(),
            membership_id,
            is_so_already,
            has_voters,
        }
    }

    /// Whether what the server gave as its reason was so.
    pub(super) fn justifies(&self, error: ChangeError, committed: &Committed) -> bool {
        let is_open = self.membership.is_joint() || self.commit < self.membership_id.index;
        let newest = committed.id_at(self.commit);
        match error {
            ChangeError::NotLeader { .. } => self.role != RoleKind::Leader,
            ChangeError::Transferring { to } => self.successor == Some(to),
            ChangeError::NotReady => newest.is_none_or(|newest| newest.term < self.term),
            ChangeError::Pending { id } => id == self.membership_id && is_open,
            ChangeError::Unchanged => self.is_so_already,
            ChangeError::NoVoters => !self.has_voters,
            ChangeError::UnknownMember { id } => !self.membership.contains(id),
            ChangeError::NotCaughtUp { id } => !self.membership.is_voter(id),
            // Nobody names the membership that he means.
            ChangeError::Outdated { .. } | _ => false,
        }
    }
}
