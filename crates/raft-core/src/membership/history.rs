//! The memberships in a log, so that a truncated one can be taken back.

use alloc::vec::Vec;

use super::Membership;
use crate::types::LogIndex;

/// The memberships of a log, the oldest first. A server uses the newest, committed or not
/// (paper §6).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct MembershipHistory {
    first: (LogIndex, Membership),
    rest: Vec<(LogIndex, Membership)>,
}

impl MembershipHistory {
    /// `None` if there is no membership at all, or they are out of order.
    pub(crate) fn new(memberships: Vec<(LogIndex, Membership)>) -> Option<Self> {
        let ascending = memberships.is_sorted_by(|a, b| a.0 < b.0);
        let mut memberships = memberships.into_iter();
        let first = memberships.next().filter(|_| ascending)?;
        Some(Self { first, rest: memberships.collect() })
    }

    /// The membership in force.
    pub(crate) fn current(&self) -> &Membership {
        &self.rest.last().unwrap_or(&self.first).1
    }

    pub(crate) fn push(&mut self, index: LogIndex, membership: Membership) {
        self.rest.push((index, membership));
    }

    /// Forgets memberships at `from` and after; the oldest one stays.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        self.rest.retain(|(index, _)| *index < from);
    }
}
