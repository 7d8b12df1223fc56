//! Who belongs to a cluster, and with which part.

mod change;
mod codec;
mod history;
mod quorum;
mod voters;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;

pub use self::change::MembershipChange;
pub(crate) use self::history::MembershipHistory;
pub use self::quorum::{Quorum, VoteOutcome};
pub use self::voters::Voters;
use crate::types::NodeId;

/// The members of a cluster: voters, learners and their addresses (paper §6, thesis §4).
///
/// While [`Quorum::Joint`], a majority of both voter sets decides. A node that is a voter of the
/// outgoing set only and a learner becomes a learner when the joint membership is left.
///
/// It never changes, and a clone is the same one: the log, its history and a snapshot share it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Membership(Arc<Members>);

/// All in ascending order.
#[derive(Debug, Eq, Hash, PartialEq)]
struct Members {
    quorum: Quorum,
    learners: Box<[NodeId]>,
    /// Learners that become voters when they have caught up.
    promotions: Box<[NodeId]>,
    addresses: Box<[(NodeId, Box<str>)]>,
}

/// Why a set of members is not a membership.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MembershipError {
    /// Nobody could decide anything.
    #[error("a cluster needs at least one voter")]
    NoVoters,
    /// One node, two parts.
    #[error("node {id} is a voter and a learner")]
    VoterAndLearner {
        /// The node.
        id: NodeId,
    },
    /// An address of nobody.
    #[error("node {id} has an address but is neither voter nor learner")]
    NotAMember {
        /// The node.
        id: NodeId,
    },
}

impl Membership {
    /// Makes a membership of voters, with the address of each.
    ///
    /// An address is text for the transport; Raft does not read it.
    ///
    /// # Errors
    ///
    /// [`MembershipError::NoVoters`] if `voters` is empty.
    pub fn of_voters<A: Into<String>>(
        voters: impl IntoIterator<Item = (NodeId, A)>,
    ) -> Result<Self, MembershipError> {
        let addresses: BTreeMap<_, _> =
            voters.into_iter().map(|(id, address)| (id, address.into())).collect();
        let voters = Voters::new(addresses.keys().copied()).ok_or(MembershipError::NoVoters)?;
        Self::new(Quorum::Majority(voters), BTreeSet::new(), addresses)
    }

    /// Makes a membership from its parts. [`Membership::address`] gives `None`
    /// for a member without one.
    ///
    /// # Errors
    ///
    /// If a node is a learner and a voter of the incoming set, or an address belongs to nobody.
    pub fn new(
        quorum: Quorum,
        learners: BTreeSet<NodeId>,
        addresses: BTreeMap<NodeId, String>,
    ) -> Result<Self, MembershipError> {
        Self::check(&quorum, &learners, &addresses)?;
        Ok(Self::of(quorum, learners, BTreeSet::new(), addresses))
    }

    /// Whether the parts fit together.
    fn check(
        quorum: &Quorum,
        learners: &BTreeSet<NodeId>,
        addresses: &BTreeMap<NodeId, String>,
    ) -> Result<(), MembershipError> {
        if let Some(&id) = learners.iter().find(|&&id| quorum.incoming().contains(id)) {
            return Err(MembershipError::VoterAndLearner { id });
        }
        let known = |id: &NodeId| quorum.contains(*id) || learners.contains(id);
        if let Some(&id) = addresses.keys().find(|id| !known(id)) {
            return Err(MembershipError::NotAMember { id });
        }
        Ok(())
    }

    /// Makes a membership from parts that fit together.
    fn of(
        quorum: Quorum,
        learners: BTreeSet<NodeId>,
        promotions: BTreeSet<NodeId>,
        addresses: BTreeMap<NodeId, String>,
    ) -> Self {
        let (learners, promotions) = (in_order(learners), in_order(promotions));
        let addresses = addresses.into_iter().map(|(id, address)| (id, address.into())).collect();
        Self(Arc::new(Members { quorum, learners, promotions, addresses }))
    }

    /// Who decides.
    #[must_use]
    pub fn quorum(&self) -> &Quorum {
        &self.0.quorum
    }

    /// Members that receive the log but decide nothing, in ascending order.
    pub fn learners(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.learners.iter().copied()
    }

    /// Learners that become voters by themselves when they have caught up, in ascending order
    /// ([`MembershipChange::add_voter`]).
    pub fn promotions(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.promotions.iter().copied()
    }

    /// Whether any learner is to become a voter.
    pub(crate) fn has_promotions(&self) -> bool {
        !self.0.promotions.is_empty()
    }

    /// All members, in ascending order.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        let all = || self.quorum().voters().chain(self.learners());
        let after = move |id: Option<NodeId>| all().filter(|&other| Some(other) > id).min();
        core::iter::successors(after(None), move |&id| after(Some(id)))
    }

    /// Whether `id` votes, in either set of a joint membership.
    #[must_use]
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.quorum().contains(id)
    }

    /// Whether `id` is a learner, or a voter that becomes one when the joint membership is left.
    #[must_use]
    pub fn is_learner(&self, id: NodeId) -> bool {
        self.0.learners.contains(&id)
    }

    /// Whether it is on the way from one set of voters to another.
    #[must_use]
    pub fn is_joint(&self) -> bool {
        self.quorum().outgoing().is_some()
    }

    /// Whether `id` is a member of any kind.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        self.is_voter(id) || self.0.learners.contains(&id)
    }

    /// The address of `id`, if it is a member that has one.
    #[must_use]
    pub fn address(&self, id: NodeId) -> Option<&str> {
        self.addresses().find(|(known, _)| *known == id).map(|(_, address)| address)
    }

    /// The addresses of those that have one, in ascending order of their ids.
    fn addresses(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.0.addresses.iter().map(|(id, address)| (*id, &**address))
    }

    /// The membership that comes first on the way from this one, which is not joint, to `wanted`:
    /// `wanted` itself, if majorities of both have somebody in common (thesis §4.1), or a joint one
    /// (paper §6).
    pub(crate) fn towards(&self, wanted: &Self) -> Self {
        let (old, new) = (self.quorum().incoming(), wanted.quorum().incoming());
        if old.difference(new) <= 1 {
            return wanted.clone();
        }
        let leaving = self.addresses().filter(|(id, _)| old.contains(*id));
        // Who stays has the address that is wanted.
        let addresses = leaving.chain(wanted.addresses()).map(owned).collect();
        let quorum = Quorum::Joint { incoming: new.clone(), outgoing: old.clone() };
        let (learners, promotions) = (wanted.learners().collect(), wanted.promotions().collect());
        Self::of(quorum, learners, promotions, addresses)
    }

    /// What a joint membership leads to; any other is that itself.
    pub(crate) fn settled(&self) -> Self {
        let incoming = self.quorum().incoming();
        let stays = |id: NodeId| incoming.contains(id) || self.is_learner(id);
        let addresses = self.addresses().filter(|(id, _)| stays(*id)).map(owned).collect();
        let quorum = Quorum::Majority(incoming.clone());
        Self::of(quorum, self.learners().collect(), self.promotions().collect(), addresses)
    }
}

fn in_order(ids: BTreeSet<NodeId>) -> Box<[NodeId]> {
    ids.into_iter().collect()
}

fn owned((id, address): (NodeId, &str)) -> (NodeId, String) {
    (id, address.into())
}
