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
    /// comes late. And who has agreed without doubt had everything when it did.
    pub(super) fn cast(&mut self, common: &Common, from: NodeId, reply: VoteReply) {
        if !common.membership().is_voter(from) {
            return;
        }
        let vote = self.0.entry(from).or_insert(reply);
        match (*vote, reply) {
            (_, VoteReply::Granted) | (VoteReply::Denied, VoteReply::GrantedInDoubt) => {
                *vote = reply
            }
            (_, VoteReply::Denied | VoteReply::GrantedInDoubt) => {}
        }
    }

    /// How the election stands: won with a quorum of those who are not in doubt, or with everybody.
    ///
    /// Who is in doubt may have lost what another has and the candidate has not. If nobody refuses,
    /// nobody has that.
    pub(super) fn outcome(&self, common: &Common) -> VoteOutcome {
        let quorum = common.membership().quorum();
        let vote_of = |id| self.0.get(&id).copied();
        let consents = |id| !matches!(vote_of(id), None | Some(VoteReply::Denied));
        if quorum.voters().all(consents) {
            return VoteOutcome::Won;
        }
        let is_refused = quorum.voters().any(|id| vote_of(id) == Some(VoteReply::Denied));
        quorum.tally(|id| match vote_of(id)? {
            VoteReply::Granted => Some(true),
            VoteReply::Denied => Some(false),
            // It may count yet, as long as everybody may agree.
            VoteReply::GrantedInDoubt => is_refused.then_some(false),
        })
    }
}
