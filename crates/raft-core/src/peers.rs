//! Something for each of a few peers.

use alloc::vec::Vec;

use crate::types::NodeId;

/// A map of few keys, which are looked up with every message: a sorted list is found through sooner
/// than a tree.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Peers<T>(Vec<(NodeId, T)>);

impl<T> Peers<T> {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&T> {
        self.0.iter().find(|(key, _)| *key == id).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut T> {
        self.0.iter_mut().find(|(key, _)| *key == id).map(|(_, value)| value)
    }

    /// Gives back memory that is not used.
    pub(crate) fn rest(&mut self) {
        self.0.shrink_to_fit();
    }

    /// All of them, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &T)> {
        self.0.iter().map(|(id, value)| (*id, value))
    }

    /// All of them, in ascending order.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut T)> {
        self.0.iter_mut().map(|(id, value)| (*id, value))
    }

    /// Has a value for each of `ids`, which ascend, and for nobody else: the one that was there, or
    /// a new one.
    pub(crate) fn follow(&mut self, ids: impl Iterator<Item = NodeId>, new: impl Fn() -> T) {
        let mut known = core::mem::take(&mut self.0).into_iter().peekable();
        self.0.extend(ids.map(|id| {
            while known.next_if(|(key, _)| *key < id).is_some() {}
            known.next_if(|(key, _)| *key == id).unwrap_or_else(|| (id, new()))
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n(id: u64) -> NodeId {
        NodeId::new(id).unwrap()
    }

    #[test]
    fn who_stays_keeps_what_it_has_and_who_comes_gets_something_new() {
        let mut peers = Peers::new();
        peers.follow([2, 4, 6].map(n).into_iter(), || 0);
        for (id, value) in peers.iter_mut() {
            *value = id.get();
        }

        peers.follow([1, 4, 5, 6, 7].map(n).into_iter(), || 0);

        let all: Vec<_> = peers.iter().map(|(id, value)| (id.get(), *value)).collect();
        assert_eq!(all, [(1, 0), (4, 4), (5, 0), (6, 6), (7, 0)]);
        assert_eq!(peers.get(n(4)), Some(&4));
        assert_eq!(peers.get(n(2)), None);
    }
}
