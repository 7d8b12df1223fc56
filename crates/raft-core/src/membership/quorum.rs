//! Pure arithmetic over sets of voters: who has won, what is committed, who is still there.

use alloc::vec::Vec;

use super::voters::Voters;
use crate::types::NodeId;

/// Who must agree: a majority, or while the membership changes, a majority of both sets (paper §6).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Quorum {
    /// A majority of one set.
    Majority(Voters),
    /// A majority of each set.
    Joint {
        /// The voters after the change.
        incoming: Voters,
        /// The voters before the change.
        outgoing: Voters,
    },
}

/// How an election stands.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum VoteOutcome {
    /// Enough voters said no; the rest cannot change it.
    Lost,
    /// Neither side has a majority yet.
    Pending,
    /// A majority said yes.
    Won,
}

impl Quorum {
    /// The voters after the change under way, or simply the voters.
    #[must_use]
    pub const fn incoming(&self) -> &Voters {
        match self {
            Self::Majority(voters) => voters,
            Self::Joint { incoming, .. } => incoming,
        }
    }

    /// The voters before the change under way, if there is one.
    #[must_use]
    pub const fn outgoing(&self) -> Option<&Voters> {
        match self {
            Self::Majority(_) => None,
            Self::Joint { outgoing, .. } => Some(outgoing),
        }
    }

    /// Whether `id` is a voter of either set.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        let (incoming, outgoing) = self.halves();
        incoming.contains(id) || outgoing.is_some_and(|outgoing| outgoing.contains(id))
    }

    /// The voters of both sets; a voter of both comes twice.
    pub fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        let (incoming, outgoing) = self.halves();
        core::iter::once(incoming).chain(outgoing).flat_map(Voters::iter)
    }

    /// How an election stands in which `vote_of` each voter is known or not.
    #[must_use]
    pub fn tally(&self, vote_of: impl Fn(NodeId) -> Option<bool>) -> VoteOutcome {
        let (incoming, outgoing) = self.halves();
        let outgoing = outgoing.map_or(VoteOutcome::Won, |outgoing| tally(outgoing, &vote_of));
        match (tally(incoming, &vote_of), outgoing) {
            (VoteOutcome::Lost, _) | (_, VoteOutcome::Lost) => VoteOutcome::Lost,
            (VoteOutcome::Pending, _) | (_, VoteOutcome::Pending) => VoteOutcome::Pending,
            (VoteOutcome::Won, VoteOutcome::Won) => VoteOutcome::Won,
        }
    }

    /// The highest value that a quorum has reached.
    #[must_use]
    pub fn reached<T: Copy + Default + Ord>(&self, value_of: impl Fn(NodeId) -> T) -> T {
        let (incoming, outgoing) = self.halves();
        let by_incoming = reached(incoming, &value_of);
        outgoing.map_or(by_incoming, |outgoing| by_incoming.min(reached(outgoing, &value_of)))
    }

    const fn halves(&self) -> (&Voters, Option<&Voters>) {
        (self.incoming(), self.outgoing())
    }
}

fn tally(voters: &Voters, vote_of: impl Fn(NodeId) -> Option<bool>) -> VoteOutcome {
    let yes = voters.iter().filter(|&id| vote_of(id) == Some(true)).count();
    let no = voters.iter().filter(|&id| vote_of(id) == Some(false)).count();
    if yes >= voters.majority() {
        VoteOutcome::Won
    } else if voters.count() - no < voters.majority() {
        VoteOutcome::Lost
    } else {
        VoteOutcome::Pending
    }
}

fn reached<T: Copy + Default + Ord>(voters: &Voters, value_of: impl Fn(NodeId) -> T) -> T {
    /// Larger sets go to the heap; few are.
    const ON_STACK: usize = 9;
    // Most sets are of three.
    if let [a, b, c] = voters.as_slice() {
        let (a, b, c) = (value_of(*a), value_of(*b), value_of(*c));
        return a.min(b).max(a.max(b).min(c));
    }
    let (mut few, mut many) = ([T::default(); ON_STACK], Vec::new());
    let values = match few.get_mut(..voters.count()) {
        Some(few) => few,
        None => {
            many.resize(voters.count(), T::default());
            &mut *many
        }
    };
    values.iter_mut().zip(voters.iter()).for_each(|(value, id)| *value = value_of(id));
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(voters.majority() - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn n(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn voters(ids: impl IntoIterator<Item = u64>) -> Voters {
        Voters::new(ids.into_iter().map(n)).unwrap()
    }

    fn quorums() -> impl Strategy<Value = Quorum> {
        let set = || prop::collection::btree_set(1u64..=12, 1..=12).prop_map(voters);
        prop_oneof![
            set().prop_map(Quorum::Majority),
            (set(), set()).prop_map(|(incoming, outgoing)| Quorum::Joint { incoming, outgoing }),
        ]
    }

    /// Whether more than half of each half satisfies `holds`, counted naively.
    fn majority_of_each(quorum: &Quorum, holds: impl Fn(NodeId) -> bool) -> bool {
        let half = |v: &Voters| 2 * v.iter().filter(|&id| holds(id)).count() > v.iter().count();
        half(quorum.incoming()) && quorum.outgoing().is_none_or(half)
    }

    proptest! {
        #[test]
        fn reached_is_the_highest_value_that_a_majority_of_each_half_has(
            quorum in quorums(),
            values in prop::collection::vec(0u64..10, 13),
        ) {
            let value_of = |id: NodeId| values[usize::try_from(id.get()).unwrap()];

            let reached = quorum.reached(value_of);

            let expected = (0..10).rev().find(|&v| majority_of_each(&quorum, |id| value_of(id) >= v));
            prop_assert_eq!(Some(reached), expected.or(Some(0)));
        }

        #[test]
        fn an_election_is_won_by_a_majority_of_each_half_and_lost_when_none_can_be_had(
            quorum in quorums(),
            votes in prop::collection::vec(prop::option::of(any::<bool>()), 13),
        ) {
            let vote_of = |id: NodeId| votes[usize::try_from(id.get()).unwrap()];

            let won = majority_of_each(&quorum, |id| vote_of(id) == Some(true));
            let winnable = majority_of_each(&quorum, |id| vote_of(id) != Some(false));
            let expected = match (won, winnable) {
                (true, _) => VoteOutcome::Won,
                (false, true) => VoteOutcome::Pending,
                (false, false) => VoteOutcome::Lost,
            };
            prop_assert_eq!(quorum.tally(vote_of), expected);
        }
    }

    #[test]
    fn the_empty_voter_set_cannot_be_made() {
        assert_eq!(Voters::new([]), None);
    }

    #[test]
    fn a_joint_membership_needs_both_halves() {
        let quorum = Quorum::Joint { incoming: voters([1, 2, 3]), outgoing: voters([3, 4, 5]) };

        let only_incoming = [1, 2];
        let vote_of = |id: NodeId| only_incoming.contains(&id.get()).then_some(true);

        assert_eq!(quorum.tally(vote_of), VoteOutcome::Pending);
    }
}
