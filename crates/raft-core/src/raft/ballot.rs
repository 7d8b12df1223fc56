//! The votes of one election.

use alloc::collections::BTreeMap;

use super::common::Common;
use crate::membership::VoteOutcome;
use crate::message::VoteReply;
use crate::types::NodeId;

/// Who said what. Votes are a set: one that comes twice counts once.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Ballot(BTreeMap<NodeId, VoteReply>);

impl Ballot {
    /// Takes the vote of `from`, if it has one.
    ///
    /// Who has agreed stays with that: what says otherwise answers an earlier question of ours and
    /// comes late.
    pub(super) fn cast(&mut self, common: &Common, from: NodeId, reply: VoteReply) {
        if !common.membership().is_voter(from) {
            return;
        }
        let vote = self.0.entry(from).or_insert(reply);
        if reply == VoteReply::Granted {
            *vote = reply;
        }
    }

    pub(super) fn outcome(&self, common: &Common) -> VoteOutcome {
        let vote_of = |id| self.0.get(&id).map(|vote| *vote == VoteReply::Granted);
        common.membership().quorum().tally(vote_of)
    }
}
