//! What somebody wants of a membership.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Membership, Quorum, Voters, owned};
use crate::error::ChangeError;
use crate::types::{LogId, NodeId};

/// A change of the members, as large as it may be: any number of voters and learners at once.
///
/// It is described step by step, or by the membership that is wanted in the end
/// ([`MembershipChange::to`]), or by both; the steps are taken in order. If the voters differ by
/// more than one, the cluster passes through a joint membership on its own (paper §6).
///
/// ```
/// use raft_core::{MembershipChange, NodeId};
///
/// # fn replacement() -> Option<()> {
/// let replace_3_by_4 = MembershipChange::new()
///     .promote(NodeId::new(4)?) // A learner that has caught up.
///     .remove(NodeId::new(3)?);
/// # let _ = replace_3_by_4;
/// # Some(()) }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct MembershipChange {
    based_on: Option<LogId>,
    edits: Vec<Edit>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Edit {
    Replace(Box<Membership>),
    AddVoter { id: NodeId, address: String },
    AddLearner { id: NodeId, address: String },
    Promote { id: NodeId },
    Demote { id: NodeId },
    Remove { id: NodeId },
    SetAddress { id: NodeId, address: String },
}

impl MembershipChange {
    /// A change of nothing, to be extended.
    pub fn new() -> Self {
        Self::default()
    }

    /// A change to exactly `wanted`; if that is joint, to what it leads to.
    pub fn to(wanted: Membership) -> Self {
        Self::new().and(Edit::Replace(Box::new(wanted)))
    }

    /// Adds `id` as a learner that becomes a voter by itself, as soon as it has caught up. A voter
    /// stays one, with this address.
    ///
    /// What else the change says happens at once. If voters go by it, and entries would be committed
    /// with fewer copies until `id` has caught up, the change is refused: add learners first, then
    /// promote them and remove the others in one change.
    pub fn add_voter(self, id: NodeId, address: impl Into<String>) -> Self {
        self.and(Edit::AddVoter { id, address: address.into() })
    }

    /// Adds `id` as a learner, which receives the log and does not count. A voter becomes one.
    pub fn add_learner(self, id: NodeId, address: impl Into<String>) -> Self {
        self.and(Edit::AddLearner { id, address: address.into() })
    }

    /// Makes a voter of a learner. The change is refused if the learner has not caught up.
    pub fn promote(self, id: NodeId) -> Self {
        self.and(Edit::Promote { id })
    }

    /// Makes a learner of a voter.
    pub fn demote(self, id: NodeId) -> Self {
        self.and(Edit::Demote { id })
    }

    /// Removes a member.
    pub fn remove(self, id: NodeId) -> Self {
        self.and(Edit::Remove { id })
    }

    /// Gives a member another address.
    pub fn set_address(self, id: NodeId, address: impl Into<String>) -> Self {
        self.and(Edit::SetAddress { id, address: address.into() })
    }

    /// Allows the change only if the membership in force is that of entry `id`
    /// ([`Status::membership_id`](crate::Status::membership_id)): who repeats a request cannot undo
    /// what was done meanwhile.
    pub const fn based_on(mut self, id: LogId) -> Self {
        self.based_on = Some(id);
        self
    }

    pub(crate) const fn base(&self) -> Option<LogId> {
        self.based_on
    }

    /// What `current` becomes in the end.
    pub(crate) fn wanted(&self, current: &Membership) -> Result<Membership, ChangeError> {
        let mut draft = Draft::of(current);
        self.edits.iter().try_for_each(|edit| draft.take(edit))?;
        draft.finish()
    }

    fn and(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }
}

/// A membership that is being put together.
struct Draft {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    promotions: BTreeSet<NodeId>,
    addresses: BTreeMap<NodeId, String>,
}

impl Draft {
    fn of(membership: &Membership) -> Self {
        let settled = membership.settled();
        Self {
            voters: settled.quorum().incoming().iter().collect(),
            learners: settled.learners().collect(),
            promotions: settled.promotions().collect(),
            addresses: settled.addresses().map(owned).collect(),
        }
    }

    fn take(&mut self, edit: &Edit) -> Result<(), ChangeError> {
        match edit {
            Edit::Replace(wanted) => *self = Self::of(wanted),
            Edit::AddVoter { id, address } => {
                if !self.voters.contains(id) {
                    self.learners.insert(*id);
                    self.promotions.insert(*id);
                }
                self.addresses.insert(*id, address.clone());
            }
            Edit::AddLearner { id, address } => {
                self.make_learner(*id);
                self.addresses.insert(*id, address.clone());
            }
            Edit::Promote { id } => {
                self.check_member(*id)?;
                self.learners.remove(id);
                self.promotions.remove(id);
                self.voters.insert(*id);
            }
            Edit::Demote { id } => {
                self.check_member(*id)?;
                self.make_learner(*id);
            }
            Edit::Remove { id } => {
                self.check_member(*id)?;
                self.voters.remove(id);
                self.learners.remove(id);
                self.promotions.remove(id);
                self.addresses.remove(id);
            }
            Edit::SetAddress { id, address } => {
                self.check_member(*id)?;
                self.addresses.insert(*id, address.clone());
            }
        }
        Ok(())
    }

    fn make_learner(&mut self, id: NodeId) {
        self.voters.remove(&id);
        self.promotions.remove(&id);
        self.learners.insert(id);
    }

    fn check_member(&self, id: NodeId) -> Result<(), ChangeError> {
        let known = self.voters.contains(&id) || self.learners.contains(&id);
        known.then_some(()).ok_or(ChangeError::UnknownMember { id })
    }

    fn finish(self) -> Result<Membership, ChangeError> {
        let Self { voters, learners, promotions, addresses } = self;
        let voters = Voters::new(voters).ok_or(ChangeError::NoVoters)?;
        Ok(Membership::of(Quorum::Majority(voters), learners, promotions, addresses))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn n(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn of_voters(ids: impl IntoIterator<Item = u64>) -> Membership {
        Membership::of_voters(ids.into_iter().map(|id| (n(id), "a"))).unwrap()
    }

    fn memberships() -> impl Strategy<Value = Membership> {
        prop::collection::vec(0u8..4, 6).prop_filter_map("no voters", |parts| {
            let with = |part: u8| {
                let ids = (1u64..).zip(parts.clone());
                ids.filter(move |(_, p)| *p == part).map(|(id, _)| n(id))
            };
            let voters = Voters::new(with(0))?;
            let promotions: BTreeSet<_> = with(2).collect();
            let learners = with(1).chain(with(2)).collect();
            let quorum = Quorum::Majority(voters);
            Some(Membership::of(quorum, learners, promotions, BTreeMap::new()))
        })
    }

    /// All sets of up to six nodes that decide in `quorum`, as bits.
    fn deciding(quorum: &Quorum) -> impl Iterator<Item = u64> + '_ {
        let has = |set: u64, id: NodeId| set & (1 << id.get()) != 0;
        (0..1 << 7).filter(move |&set| {
            let outcome = quorum.tally(|id| Some(has(set, id)));
            outcome == crate::membership::VoteOutcome::Won
        })
    }

    proptest! {
        /// Otherwise two leaders could be elected, or two entries committed, in one place.
        #[test]
        fn whoever_decides_before_and_after_each_step_of_a_change_has_somebody_in_common(
            from in memberships(),
            wanted in memberships(),
        ) {
            let first = from.towards(&wanted);
            let last = first.settled();

            for (before, after) in [(&from, &first), (&first, &last)] {
                for a in deciding(before.quorum()) {
                    for b in deciding(after.quorum()) {
                        prop_assert!(a & b != 0, "{a:b} and {b:b}");
                    }
                }
            }
        }

        #[test]
        fn a_change_leads_to_what_was_wanted_and_stays_there(
            from in memberships(),
            wanted in memberships(),
        ) {
            let change = MembershipChange::to(wanted.clone());

            let target = change.wanted(&from).unwrap();

            prop_assert_eq!(&target, &wanted);
            prop_assert_eq!(&from.towards(&target).settled(), &wanted);
            prop_assert_eq!(&change.wanted(&from.towards(&target)), &Ok(wanted));
        }

        #[test]
        fn only_one_voter_of_difference_needs_no_joint_membership(
            from in memberships(),
            wanted in memberships(),
        ) {
            let voters = |m: &Membership| m.quorum().incoming().iter().collect::<BTreeSet<_>>();
            let difference = voters(&from).symmetric_difference(&voters(&wanted)).count();

            prop_assert_eq!(from.towards(&wanted).is_joint(), difference > 1);
        }
    }

    #[test]
    fn steps_are_taken_in_order() {
        let change = MembershipChange::new()
            .add_learner(n(4), "d")
            .promote(n(4))
            .demote(n(1))
            .remove(n(2))
            .add_voter(n(5), "e")
            .set_address(n(3), "c");

        let wanted = change.wanted(&of_voters([1, 2, 3])).unwrap();

        assert_eq!(wanted.quorum().voters().collect::<Vec<_>>(), [n(3), n(4)]);
        assert_eq!(wanted.learners().collect::<Vec<_>>(), [n(1), n(5)]);
        assert_eq!(wanted.promotions().collect::<Vec<_>>(), [n(5)]);
        assert_eq!(wanted.address(n(3)), Some("c"));
        assert_eq!((wanted.address(n(4)), wanted.address(n(2))), (Some("d"), None));
    }

    #[test]
    fn members_that_leave_keep_their_address_until_they_have_left() {
        let from = of_voters([1, 2, 3]);
        let wanted = of_voters([1, 4, 5]);

        let joint = from.towards(&wanted);

        assert_eq!(joint.address(n(2)), Some("a"));
        assert_eq!(joint.settled().address(n(2)), None);
    }

    #[test]
    fn the_last_voter_stays() {
        let refused = MembershipChange::new().remove(n(1)).wanted(&of_voters([1]));
        assert_eq!(refused, Err(ChangeError::NoVoters));

        let refused = MembershipChange::new().demote(n(1)).wanted(&of_voters([1]));
        assert_eq!(refused, Err(ChangeError::NoVoters));
    }

    #[test]
    fn who_is_no_learner_any_more_is_not_to_be_promoted() {
        let with_4 = MembershipChange::new().add_voter(n(4), "d").wanted(&of_voters([1])).unwrap();
        assert_eq!(with_4.promotions().collect::<Vec<_>>(), [n(4)]);

        for change in [
            MembershipChange::new().promote(n(4)),
            MembershipChange::new().remove(n(4)),
            MembershipChange::new().demote(n(4)),
        ] {
            assert_eq!(change.wanted(&with_4).unwrap().promotions().count(), 0);
        }
    }

    #[test]
    fn a_stranger_can_only_be_added() {
        for change in [
            MembershipChange::new().promote(n(9)),
            MembershipChange::new().demote(n(9)),
            MembershipChange::new().remove(n(9)),
            MembershipChange::new().set_address(n(9), ""),
        ] {
            let refused = change.wanted(&of_voters([1]));
            assert_eq!(refused, Err(ChangeError::UnknownMember { id: n(9) }));
        }
    }
}
