//! Which term each entry has, without the entries.

use alloc::vec::Vec;

use crate::types::{Entry, LogId, LogIndex, Term};

/// The term of every index from the log's base to its end, as runs.
///
/// A log has few terms however long it is, so this stays small.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct TermRuns {
    /// The base, then the first entry of each run. Terms and indexes ascend strictly, but for the
    /// base, whose run may go on.
    starts: Vec<LogId>,
    /// The last entry, or the base. It is asked for with every step.
    last: LogId,
}

impl TermRuns {
    /// The runs of an empty log after `base`.
    pub(crate) fn new(base: LogId) -> Self {
        Self { starts: Vec::from([base]), last: base }
    }

    pub(crate) fn base(&self) -> LogId {
        self.starts.first().copied().unwrap_or_default()
    }

    pub(crate) const fn last(&self) -> LogId {
        self.last
    }

    /// Extends the log by one entry; false if `id` does not follow the last one.
    pub(crate) fn push(&mut self, id: LogId) -> bool {
        if id.index != self.last.index.next() || id.term < self.last.term {
            return false;
        }
        if id.term > self.last.term {
            self.starts.push(id);
        }
        self.last = id;
        true
    }

    /// Extends the log by `entries`, which follow each other and whose terms do not fall; false if
    /// they do not follow the last one.
    pub(crate) fn extend(&mut self, entries: &[Entry]) -> bool {
        match entries {
            // Most are of one term.
            [first, .., last] if first.id.term == last.id.term => {
                self.push(first.id) && self.extend_to(last.id.index)
            }
            entries => entries.iter().all(|entry| self.push(entry.id)),
        }
    }

    /// Extends the log up to `last`, in the term of its last run; false if it ends later already.
    pub(crate) fn extend_to(&mut self, last: LogIndex) -> bool {
        let extends = last >= self.last.index;
        self.last.index = self.last.index.max(last);
        extends
    }

    /// Removes `from` and all after it; the base stays.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        let base = self.base();
        self.starts.retain(|start| start.index < from || *start == base);
        let index = self.last.index.min(from.prev()).max(base.index);
        let term = self.starts.last().map_or(Term::ZERO, |start| start.term);
        self.last = LogId { term, index };
    }

    /// Removes `upto` and all before it: it becomes the base. It must be in the log.
    pub(crate) fn compact(&mut self, upto: LogId) {
        self.starts.retain(|start| start.index > upto.index);
        self.starts.insert(0, upto);
    }

    /// Gives back memory that is not used.
    pub(crate) fn rest(&mut self) {
        self.starts.shrink_to_fit();
    }

    /// The id at `index`, if the log holds it or starts after it.
    pub(crate) fn id_at(&self, index: LogIndex) -> Option<LogId> {
        if index > self.last.index {
            return None;
        }
        // Most questions are about the newest run.
        if let Some(newest) = self.starts.last()
            && newest.index <= index
        {
            return Some(LogId { term: newest.term, index });
        }
        let after = self.starts.partition_point(|start| start.index <= index);
        let run = self.starts.get(after.checked_sub(1)?)?;
        Some(LogId { term: run.term, index })
    }

    /// The newest id at or before `index` of no later term than `term`; the base if there is none.
    pub(crate) fn newest_until(&self, index: LogIndex, term: Term) -> LogId {
        let runs_after = self.starts.partition_point(|s| s.term <= term);
        let end = self.starts.get(runs_after).map_or(self.last.index, |next| next.index.prev());
        self.id_at(end.min(index)).unwrap_or_else(|| self.base())
    }
}
