//! A set of voters, decided by majority.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::types::NodeId;

/// A non-empty set of voters.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Voters(Box<[NodeId]>);

impl Voters {
    /// Makes a voter set; `None` if `ids` is empty.
    #[must_use]
    pub fn new(ids: impl IntoIterator<Item = NodeId>) -> Option<Self> {
        let mut ids: Vec<_> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        (!ids.is_empty()).then(|| Self(ids.into()))
    }

    /// Votes needed to decide.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// How many voters there are, at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether `id` is one of them.
    #[must_use]
    pub fn contains(&self, id: NodeId) -> bool {
        // They are few.
        self.0.contains(&id)
    }

    /// The voters, in ascending order.
    pub(super) const fn as_slice(&self) -> &[NodeId] {
        &self.0
    }

    /// How many are in one of the sets only.
    pub(crate) fn difference(&self, other: &Self) -> usize {
        let only = |a: &Self, b: &Self| a.iter().filter(|&id| !b.contains(id)).count();
        only(self, other) + only(other, self)
    }

    /// The voters, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = NodeId> + Clone + '_ {
        self.0.iter().copied()
    }
}
