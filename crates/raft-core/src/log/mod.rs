//! The log as the core knows it: the term of every entry, and the newest entries themselves.

mod tail;
mod terms;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub(crate) use self::tail::Batch;
use self::tail::Tail;
pub(crate) use self::terms::TermRuns;
use crate::types::{Entries, Entry, EntryPayload, LogId, LogIndex, Term};

/// What an entry counts for against limits, beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A server's log. Entries that have left memory are fetched from storage by the driver.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Log {
    terms: TermRuns,
    tail: Tail,
}

/// Entries to be sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Slice {
    /// They are here.
    Here(Batch),
    /// They have left memory.
    InStorage,
}

impl Log {
    /// A log of which `tail` is in memory. It ends where `terms` ends.
    pub(crate) fn new(terms: TermRuns, tail: Entries) -> Self {
        Self { terms, tail: Tail::new(tail) }
    }

    /// The entry before the first one that storage holds.
    pub(crate) fn base(&self) -> LogId {
        self.terms.base()
    }

    pub(crate) const fn last(&self) -> LogId {
        self.terms.last()
    }

    pub(crate) fn id_at(&self, index: LogIndex) -> Option<LogId> {
        self.terms.id_at(index)
    }

    pub(crate) fn contains(&self, id: LogId) -> bool {
        self.id_at(id.index) == Some(id)
    }

    /// The newest id at or before `index` of no later term than `term`: where two logs that differ
    /// at `index` could be equal.
    pub(crate) fn newest_until(&self, index: LogIndex, term: Term) -> LogId {
        self.terms.newest_until(index, term)
    }

    /// Appends entries that came from elsewhere. What was made before must be sealed.
    pub(crate) fn append(&mut self, entries: Entries) {
        let follows = self.terms.extend(&entries);
        assert!(follows, "logs have no gaps, and terms never fall in them");
        self.tail.push(entries);
    }

    /// Appends what is made here, in `term`; gives the first id, if there is one. They gather until
    /// [`Log::seal`].
    pub(crate) fn make(
        &mut self,
        term: Term,
        payloads: impl Iterator<Item = EntryPayload>,
    ) -> LogId {
        let first = LogId { term, index: self.last().index.next() };
        if let Some(last) = self.tail.make(first, payloads) {
            let follows = self.terms.push(first) && self.terms.extend_to(last.index);
            assert!(follows, "terms never fall in a log");
        }
        first
    }

    /// Makes one batch of what was made since; it is as well to be written.
    #[inline]
    pub(crate) fn seal(&mut self) -> Option<Entries> {
        self.tail.seal()
    }

    /// Removes `from` and all after it.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        self.tail.truncate(from);
        self.terms.truncate(from);
    }

    /// Removes `upto`, which is in the log, and all before it.
    pub(crate) fn compact(&mut self, upto: LogId) {
        self.tail.compact(upto.index);
        self.terms.compact(upto);
    }

    /// Entries from `from` to `upto`: as many as weigh `bytes_max`, but at least one if there is
    /// one.
    #[inline]
    pub(crate) fn slice(&self, from: LogIndex, upto: LogIndex, bytes_max: usize) -> Slice {
        if from > upto.min(self.last().index) {
            return Slice::Here(Batch::default());
        }
        self.tail.slice(from, upto, bytes_max).map_or(Slice::InStorage, Slice::Here)
    }

    /// What the entries after `after`, up to `upto`, weigh together. They must be in memory.
    pub(crate) fn weight_between(&self, after: LogIndex, upto: LogIndex) -> usize {
        self.tail.weight_between(after, upto)
    }

    /// Lets the oldest entries up to `upto` leave memory while more than `bytes_max` is held.
    #[inline]
    pub(crate) fn evict(&mut self, upto: LogIndex, bytes_max: usize) {
        self.tail.evict(upto, bytes_max);
    }

    /// Gives back memory that is not used, and would not be soon.
    pub(crate) fn rest(&mut self) {
        self.terms.rest();
        self.tail.rest();
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let ids = || self.tail.iter().map(|entry| entry.id);
        assert!(ids().all(|id| self.contains(id)), "terms and entries agree");
        assert!(ids().is_sorted_by(|a, b| a.index.next() == b.index), "the tail has no gaps");
        let ends = ids().last().is_none_or(|id| id == self.last());
        assert!(ends, "the tail is the end of the log");
        let bytes: usize = self.tail.iter().map(weight).sum();
        assert!(bytes == self.tail.bytes(), "bytes in memory are counted");
    }
}

/// What a command counts for against limits, once it is an entry.
pub(crate) const fn command_weight(command: &Bytes) -> usize {
    command.len() + ENTRY_OVERHEAD_BYTES
}

/// What an entry counts for against limits.
pub(crate) fn weight(entry: &Entry) -> usize {
    entry.payload.command_len() + ENTRY_OVERHEAD_BYTES
}
