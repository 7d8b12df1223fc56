//! What a server finds on its disk.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::config::ConfigError;
use crate::log::{Log, TermRuns};
use crate::membership::{Membership, MembershipHistory};
use crate::types::{Entry, EntryPayload, HardState, LogId, LogIndex, Term};

/// What a server found on its disk. Everything in it must be durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The entry before the first one in the log; [`LogId::ZERO`] unless the log was compacted.
    pub base: LogId,
    /// The first entry of each term in the log, in order.
    pub term_starts: Vec<LogId>,
    /// The last entry of the log; `base` if it is empty.
    pub last: LogId,
    /// The newest entries, up to `last`, as many as fit in memory; the rest will be fetched.
    pub tail: Vec<Entry>,
    /// The memberships in the log, and the one in force at `base`, each with the id of its entry;
    /// the oldest first, at least one.
    pub memberships: Vec<(LogId, Membership)>,
}

/// Why a server cannot start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log and what was said about it differ.
    #[error("the restored log is inconsistent: {what}")]
    Inconsistent {
        /// What differs.
        what: &'static str,
    },
}

impl Restored {
    /// The state in which every founding member of a cluster starts: one entry, the membership.
    ///
    /// All founding members must start with the same membership. `hard_state` and `tail` must be
    /// made durable before the server starts.
    #[must_use]
    pub fn bootstrap(membership: Membership) -> Self {
        // Nobody leads the first term: the entry is in every founding member's log beforehand.
        let term = Term::new(1);
        let id = LogId { term, index: LogIndex::new(1) };
        let payload = EntryPayload::Membership(Box::new(membership.clone()));
        Self {
            hard_state: HardState { term, vote: None },
            base: LogId::ZERO,
            term_starts: Vec::from([id]),
            last: id,
            tail: Vec::from([Entry { id, payload }]),
            memberships: Vec::from([(id, membership)]),
        }
    }

    /// The state of a server whose whole log is `entries`, the first at index 1.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Inconsistent`] if indexes leave gaps or terms fall.
    pub fn from_entries(hard_state: HardState, entries: Vec<Entry>) -> Result<Self, RestoreError> {
        let mut terms = TermRuns::new(LogId::ZERO);
        let mut restored = Self {
            hard_state,
            base: LogId::ZERO,
            term_starts: Vec::new(),
            last: LogId::ZERO,
            tail: Vec::new(),
            memberships: Vec::new(),
        };
        for entry in &entries {
            if entry.id.term > terms.last().term {
                restored.term_starts.push(entry.id);
            }
            if !terms.push(entry.id) {
                return Err(RestoreError::Inconsistent { what: "entries are out of order" });
            }
            if let EntryPayload::Membership(membership) = &entry.payload {
                restored.memberships.push((entry.id, (**membership).clone()));
            }
        }
        Ok(Self { last: terms.last(), tail: entries, ..restored })
    }

    pub(crate) fn into_parts(self) -> Result<(HardState, Log, MembershipHistory), RestoreError> {
        let wrong = |what| RestoreError::Inconsistent { what };
        let terms = self.terms().ok_or_else(|| wrong("the terms are out of order"))?;
        // The one in force at the base may be older than it.
        let before_base = |id: LogId| id.index < self.base.index && id.term <= self.base.term;
        let in_log = |id: LogId| before_base(id) || terms.id_at(id.index) == Some(id);
        if !self.memberships.iter().all(|&(id, _)| in_log(id)) {
            return Err(wrong("it holds a membership whose entry is not in the log"));
        }
        let memberships = MembershipHistory::new(self.memberships)
            .ok_or_else(|| wrong("it holds no membership; was the cluster bootstrapped?"))?;
        let indexes_follow = self.tail.is_sorted_by(|a, b| a.id.index.next() == b.id.index);
        let known = self.tail.iter().all(|entry| terms.id_at(entry.id.index) == Some(entry.id));
        let ends = self.tail.last().is_none_or(|entry| entry.id == self.last);
        if !indexes_follow || !known || !ends {
            return Err(wrong("the tail is not the end of the log"));
        }
        if self.last.term > self.hard_state.term {
            return Err(wrong("the log is of a later term than the hard state"));
        }
        Ok((self.hard_state, Log::new(terms, self.tail), memberships))
    }

    fn terms(&self) -> Option<TermRuns> {
        let mut terms = TermRuns::new(self.base);
        for &start in &self.term_starts {
            let before = start.index.prev();
            let in_place = before >= terms.last().index && terms.extend_to(before);
            if !in_place || !terms.push(start) {
                return None;
            }
        }
        let ends = terms.extend_to(self.last.index) && terms.last() == self.last;
        ends.then_some(terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    fn bootstrapped() -> Restored {
        let one = NodeId::new(1).unwrap();
        Restored::bootstrap(Membership::of_voters([(one, "a:1")]).unwrap())
    }

    #[test]
    fn a_compacted_log_without_a_tail_restores_its_terms() {
        let restored = Restored {
            base: id(10, 3),
            hard_state: HardState { term: Term::new(7), vote: None },
            term_starts: Vec::from([id(11, 3), id(15, 6)]),
            last: id(20, 6),
            tail: Vec::new(),
            ..bootstrapped()
        };

        let (_, log, _) = restored.into_parts().unwrap();

        assert_eq!(log.id_at(LogIndex::new(14)), Some(id(14, 3)));
        assert_eq!(log.id_at(LogIndex::new(20)), Some(id(20, 6)));
        assert_eq!(log.last(), id(20, 6));
    }

    #[test]
    fn a_tail_that_is_not_the_end_of_the_log_is_refused() {
        let restored = Restored { last: id(2, 1), ..bootstrapped() };

        assert!(matches!(restored.into_parts(), Err(RestoreError::Inconsistent { .. })));
    }

    #[test]
    fn a_log_without_membership_is_refused() {
        let restored = Restored { memberships: Vec::new(), ..bootstrapped() };

        assert!(matches!(restored.into_parts(), Err(RestoreError::Inconsistent { .. })));
    }

    #[test]
    fn a_membership_whose_entry_is_not_in_the_log_is_refused() {
        let mut restored = bootstrapped();
        restored.memberships[0].0 = id(1, 0);

        assert!(matches!(restored.into_parts(), Err(RestoreError::Inconsistent { .. })));
    }
}
