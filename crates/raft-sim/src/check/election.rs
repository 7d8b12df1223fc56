//! One leader in a term, one vote of each server in a term.

use std::collections::BTreeMap;

use raft_core::{HardState, Membership, NodeId, RoleKind, Term};

use super::{Rule, View, Violation, decides, ensure};

/// Who was elected, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    leaders: BTreeMap<Term, NodeId>,
    /// The one that was seen last.
    latest: Option<(Term, NodeId)>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
}

impl Elections {
    /// Takes a leader; whether its term is new.
    pub(crate) fn on_leader(&mut self, view: &View<'_>) -> Result<bool, Violation> {
        debug_assert!(view.role == RoleKind::Leader);
        let term = view.hard_state.term;
        if self.latest.replace((term, view.id)) == Some((term, view.id)) {
            return Ok(false);
        }
        let first = self.leaders.insert(term, view.id);
        let is_same = first.is_none_or(|first| first == view.id);
        ensure(is_same, Rule::ElectionSafety, || {
            format!("both {} and {} lead term {term}", first.unwrap_or(view.id), view.id)
        })?;
        Ok(first.is_none())
    }

    /// Takes what `voter` has made durable.
    pub(crate) fn on_durable(
        &mut self,
        voter: NodeId,
        HardState { term, vote }: HardState,
    ) -> Result<(), Violation> {
        vote.map_or(Ok(()), |candidate| self.on_vote(voter, term, candidate))
    }

    /// Takes a vote, which is on the voter's disk or would be if a later term were not.
    pub(crate) fn on_vote(
        &mut self,
        voter: NodeId,
        term: Term,
        candidate: NodeId,
    ) -> Result<(), Violation> {
        let first = *self.votes.entry((voter, term)).or_insert(candidate);
        ensure(first == candidate, Rule::OneVote, || {
            format!("{voter} voted for {first} and for {candidate} in term {term}")
        })
    }

    /// Checks that a quorum has voted for who has just taken office.
    pub(crate) fn check_quorum(
        &self,
        view: &View<'_>,
        membership: &Membership,
    ) -> Result<(), Violation> {
        let term = view.hard_state.term;
        let has_vote_of = |voter| self.votes.get(&(voter, term)) == Some(&view.id);
        ensure(decides(membership, has_vote_of), Rule::ElectedByQuorum, || {
            let voters = membership.quorum().voters();
            let votes: Vec<_> = voters.filter(|voter| has_vote_of(*voter)).collect();
            format!("{} leads term {term} with the votes of {votes:?} of {membership:?}", view.id)
        })
    }

    pub(crate) fn terms_led(&self) -> usize {
        self.leaders.len()
    }
}
