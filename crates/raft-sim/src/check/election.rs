//! One leader in a term, one vote of each server in a term.

use std::collections::{BTreeMap, BTreeSet};

use raft_core::{HardState, LogId, Membership, NodeId, RoleKind, Term};

use super::{Rule, View, Violation, decides, ensure};

/// Who was elected, and by whom.
#[derive(Debug, Default)]
pub(crate) struct Elections {
    /// Who leads, and where its log ended when it took office.
    leaders: BTreeMap<Term, (NodeId, LogId)>,
    /// The one that was seen last.
    latest: Option<(Term, NodeId)>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// The votes that were given without doubt.
    sure: BTreeSet<(NodeId, Term)>,
}

impl Elections {
    /// Takes a leader; whether its term is new.
    pub(crate) fn on_leader(&mut self, view: &View<'_>) -> Result<bool, Violation> {
        debug_assert!(view.role == RoleKind::Leader);
        let term = view.hard_state.term;
        if self.latest.replace((term, view.id)) == Some((term, view.id)) {
            return Ok(false);
        }
        let first = self.leaders.insert(term, (view.id, view.last)).map(|(first, _)| first);
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

    /// A server that is not in doubt gives its vote, or asks for votes beside its own.
    pub(crate) fn on_sure_vote(&mut self, voter: NodeId, term: Term) {
        self.sure.insert((voter, term));
    }

    /// Where the log of the leader of `term` ended when it took office.
    pub(super) fn began_with(&self, term: Term) -> Option<LogId> {
        self.leaders.get(&term).map(|(_, last)| *last)
    }

    /// Checks that a quorum has voted for who has just taken office: one without doubt, or every
    /// voter. Whether it took every voter, of several.
    pub(crate) fn check_quorum(
        &self,
        view: &View<'_>,
        membership: &Membership,
    ) -> Result<bool, Violation> {
        let term = view.hard_state.term;
        let has_vote_of = |voter| self.votes.get(&(voter, term)) == Some(&view.id);
        let is_sure = |voter| has_vote_of(voter) && self.sure.contains(&(voter, term));
        let votes = |counts: &dyn Fn(NodeId) -> bool| -> Vec<_> {
            membership.quorum().voters().filter(|voter| counts(*voter)).collect()
        };
        ensure(decides(membership, has_vote_of), Rule::ElectedByQuorum, || {
            let votes = votes(&has_vote_of);
            format!("{} leads term {term} with the votes of {votes:?} of {membership:?}", view.id)
        })?;
        let are_sure = decides(membership, is_sure);
        let all_agree = membership.quorum().voters().all(has_vote_of);
        ensure(are_sure || all_agree, Rule::Doubt, || {
            let (sure, votes) = (votes(&is_sure), votes(&has_vote_of));
            format!(
                "{} leads term {term} with the votes of {votes:?} of {membership:?}, of whom only \
                 {sure:?} were not in doubt",
                view.id
            )
        })?;
        Ok(!are_sure && membership.quorum().voters().count() > 1)
    }

    /// Whether a server was elected in `since` or later.
    pub(crate) fn has_led(&self, id: NodeId, since: Term) -> bool {
        self.leaders.range(since..).any(|(_, (leader, _))| *leader == id)
    }

    pub(crate) fn terms_led(&self) -> usize {
        self.leaders.len()
    }
}
