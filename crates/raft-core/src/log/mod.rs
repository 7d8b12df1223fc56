//! The log as the core knows it: the term of every entry, and the newest entries themselves.

mod terms;
#[cfg(test)]
mod tests;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;

pub(crate) use self::terms::TermRuns;
use crate::types::{Entry, LogId, LogIndex, Term};

/// What an entry counts for against limits, beside its bytes.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A server's log. Entries that have left memory are fetched from storage by the driver.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Log {
    terms: TermRuns,
    /// The newest entries, up to the last one.
    tail: VecDeque<Entry>,
    tail_bytes: usize,
}

/// Entries to be sent.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Slice {
    /// They are here.
    Here(Vec<Entry>),
    /// They have left memory.
    InStorage,
}

impl Log {
    /// A log of which `tail` is in memory. It ends where `terms` ends.
    pub(crate) fn new(terms: TermRuns, tail: Vec<Entry>) -> Self {
        let tail_bytes = tail.iter().map(weight).sum();
        Self { terms, tail: tail.into(), tail_bytes }
    }

    /// The entry before the first one that storage holds.
    pub(crate) fn base(&self) -> LogId {
        self.terms.base()
    }

    pub(crate) fn last(&self) -> LogId {
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

    pub(crate) fn append(&mut self, entries: &[Entry]) {
        for entry in entries {
            let follows = self.terms.push(entry.id);
            assert!(follows, "logs have no gaps, and terms never fall in them");
            self.tail_bytes += weight(entry);
        }
        match entries {
            [entry] => self.tail.push_back(entry.clone()),
            entries => self.tail.extend(entries.iter().cloned()),
        }
    }

    /// Removes `from` and all after it.
    pub(crate) fn truncate(&mut self, from: LogIndex) {
        while let Some(entry) = self.tail.pop_back_if(|entry| entry.id.index >= from) {
            self.tail_bytes -= weight(&entry);
        }
        self.terms.truncate(from);
    }

    /// Removes `upto`, which is in the log, and all before it.
    pub(crate) fn compact(&mut self, upto: LogId) {
        while let Some(entry) = self.tail.pop_front_if(|entry| entry.id.index <= upto.index) {
            self.tail_bytes -= weight(&entry);
        }
        self.terms.compact(upto);
    }

    /// Entries from `from` to `upto`: as many as weigh `bytes_max`, but at least one if there is
    /// one.
    pub(crate) fn slice(&self, from: LogIndex, upto: LogIndex, bytes_max: usize) -> Slice {
        if from > upto.min(self.last().index) {
            return Slice::Here(Vec::new());
        }
        let Some(skip) = self.offset(from) else {
            return Slice::InStorage;
        };
        let count = usize::try_from(upto.next().distance_from(from)).unwrap_or(usize::MAX);
        let mut room = bytes_max;
        let mut fits = |entry: &Entry| {
            let left = room.checked_sub(weight(entry));
            room = left.unwrap_or(0);
            left.is_some()
        };
        // Counted first, so that the list is made in its size.
        let mut end = skip;
        while let Some(entry) = self.tail.get(end)
            && end - skip < count
            && (fits(entry) || end == skip)
        {
            end += 1;
        }
        Slice::Here(self.tail.range(skip..end).cloned().collect())
    }

    /// What the entries after `after`, up to `upto`, weigh together. They must be in memory.
    pub(crate) fn weight_between(&self, after: LogIndex, upto: LogIndex) -> usize {
        let skip = self.offset(after.next()).unwrap_or(0);
        let within = self.tail.range(skip.min(self.tail.len())..);
        within.take_while(|entry| entry.id.index <= upto).map(weight).sum()
    }

    /// Lets the oldest entries up to `upto` leave memory while more than `bytes_max` is held.
    pub(crate) fn evict(&mut self, upto: LogIndex, bytes_max: usize) {
        while self.tail_bytes > bytes_max {
            let Some(entry) = self.tail.pop_front_if(|entry| entry.id.index <= upto) else {
                return;
            };
            self.tail_bytes -= weight(&entry);
        }
    }

    /// Gives back memory that is not used, and would not be soon.
    pub(crate) fn rest(&mut self) {
        /// A list that was four times as long is worth moving; a short one always is.
        const WORTH_MOVING: usize = 4;
        self.terms.rest();
        let len = self.tail.len();
        if len < 16 || len < self.tail.capacity() / WORTH_MOVING {
            self.tail.shrink_to_fit();
        }
    }

    /// Where `index` stands in the tail; `None` if it has left memory.
    fn offset(&self, index: LogIndex) -> Option<usize> {
        let first = self.tail.front()?.id.index;
        if index < first {
            return None;
        }
        usize::try_from(index.distance_from(first)).ok()
    }

    #[cfg(any(test, debug_assertions))]
    pub(crate) fn check(&self) {
        let ids = || self.tail.iter().map(|entry| entry.id);
        assert!(ids().all(|id| self.contains(id)), "terms and entries agree");
        let ends = self.tail.back().is_none_or(|entry| entry.id == self.last());
        assert!(ends, "the tail is the end of the log");
        let bytes: usize = self.tail.iter().map(weight).sum();
        assert!(bytes == self.tail_bytes, "bytes in memory are counted");
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
