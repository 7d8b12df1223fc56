//! What must hold after every step. Cheap checks always run; the rest in debug builds.

use super::{Raft, Role};
use crate::progress::Progress;
use crate::types::{HardState, LogIndex};

/// What is compared with the state after a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    hard_state: HardState,
    commit: LogIndex,
}

impl Raft {
    pub(super) fn before(&self) -> Before {
        Before { hard_state: self.common.hard_state(), commit: self.common.commit() }
    }

    pub(super) fn check_invariants(&self, before: Before) {
        self.check_state();
        self.check_change(before);
        #[cfg(debug_assertions)]
        self.common.log().check();
    }

    fn check_state(&self) {
        let common = &self.common;
        assert!(common.commit() <= common.last().index, "what is committed is in the log");
        assert!(common.last().term <= common.term(), "no entry is of a later term than ours");
        assert!(
            common.disk().durable_last() <= common.last().index,
            "what is durable is in the log"
        );
        match &self.role {
            Role::Follower(f) => {
                assert!(f.leader() != Some(common.id()), "nobody follows itself");
            }
            Role::PreCandidate(_) => {}
            Role::Candidate(_) => {
                assert!(common.vote() == Some(common.id()), "a candidate votes for itself");
            }
            Role::Leader(l) => {
                assert!(common.vote() == Some(common.id()), "a leader voted for itself");
                let ordered = |(_, p): (_, &Progress)| p.matched() < p.next();
                assert!(l.followers().iter().all(ordered), "what matches was sent");
                debug_assert!(
                    l.followers().iter().map(|(id, _)| id).eq(common.peers()),
                    "a leader follows the membership in force"
                );
            }
        }
    }

    fn check_change(&self, before: Before) {
        let HardState { term, vote } = self.common.hard_state();
        assert!(term >= before.hard_state.term, "terms only grow");
        if term == before.hard_state.term {
            let kept = before.hard_state.vote.is_none() || vote == before.hard_state.vote;
            assert!(kept, "a vote is given once in a term");
        }
        assert!(self.common.commit() >= before.commit, "the commit index only grows");
    }
}
