//! The memberships in a log, so that a truncated one can be taken back.

use alloc::vec::Vec;

use super::Membership;
use crate::types::{LogId, LogIndex};

/// The memberships of a log by the id of their entry, the oldest first. A server uses the newest,
/// committed or not (paper §6).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct MembershipHistory {
    first: (LogId, Membership),
    rest: Vec<(LogId, Membership)>,
}

impl MembershipHistory {
    /// `None` if there is no membership at all, or they are out of order.
    pub(crate) fn new(memberships: Vec<(LogId, Membership)>) -> Option<Self> {
        let ascending = memberships.is_sorted_by(|(a, _), (b, _)| a < b && a.index < b.index);
        let mut memberships = memberships.into_iter();
        let first = memberships.next().filter(|_| ascending)?;
        Some(Self { first, rest: memberships.collect() })
    }

    /// The history of a log that begins after a snapshot.
    pub(crate) const fn of(id: LogId, membership: Membership) -> Self {
        Self { first: (id, membership), rest: Vec::new() }
    }

    /// The membership in force.
    pub(crate) fn current(&self) -> &Membership {
        &self.newest().1
    }

    /// The entry of the membership in force.
    pub(crate) fn current_id(&self) -> LogId {
        self.newest().0
    }

    /// The membership before the one in force, if it is known.
    pub(crate) fn previous(&self) -> Option<&Membership> {
        match self.rest.as_slice() {
            [] => None,
            [_] => Some(&self.first.1),
            [.., (_, previous), _] => Some(previous),
        }
    }

    pub(crate) fn push(&mut self, id: LogId, membership: Membership) {
        self.rest.push((id, membership));
    }

    /// Puts back a membership whose entry was lost.
    pub(crate) fn insert(&mut self, id: LogId, membership: Membership) {
        let at = self.rest.partition_point(|(known, _)| known.index < id.index);
        if id.index > self.first.0.index && self.rest.get(at).is_none_or(|(known, _)| *known != id)
        {
            self.rest.insert(at, (id, membership));
        }
    }

    /// Takes it that this membership was in force at `upto`, whatever was known before.
    pub(crate) fn begin_with(&mut self, id: LogId, membership: Membership, upto: LogIndex) {
        let before = core::mem::replace(&mut self.first, (id, membership));
        self.rest.insert(0, before);
        self.rest.retain(|(id, _)| id.index > upto);
    }

    /// The membership in force at `index`; `None` if all that are known are later.
    pub(crate) fn at(&self, index: LogIndex) -> Option<&(LogId, Membership)> {
        let all = core::iter::once(&self.first).chain(&self.rest);
        all.take_while(|(id, _)| id.index <= index).last()
    }

    /// Forgets memberships that gave way to another one at `base` or before.
    pub(crate) fn compact(&mut self, base: LogIndex) {
        let gone = self.rest.partition_point(|(id, _)| id.index <= base);
        if let Some(first) = self.rest.drain(..gone).next_back() {
            self.first = first;
        }
    }

    /// Gives back memory that is not used.
    pub(crate) fn rest(&mut self) {
        self.rest.shrink_to_fit();
    }

    /// Forgets memberships at `from` and after; the oldest one stays.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        self.rest.retain(|(id, _)| id.index < from);
    }

    fn newest(&self) -> &(LogId, Membership) {
        self.rest.last().unwrap_or(&self.first)
    }
}
