//! The newest entries of a group, in memory: the very buffers that were appended.

use std::collections::VecDeque;

use raft_core::{Entry, LogIndex};

use crate::submit::BatchSeq;

/// The newest entries of a group, without gaps up to the last one.
///
/// Holds at least everything that is not durable yet: such an entry has no place on disk to be
/// read from, or an older entry still stands there.
#[derive(Debug, Default)]
pub(crate) struct TailCache {
    entries: VecDeque<Cached>,
}

#[derive(Debug)]
struct Cached {
    entry: Entry,
    /// The call that appended it. An index may be appended again, a call is unique.
    seq: BatchSeq,
}

/// What an entry counts for: its payload and what keeping it costs.
pub(crate) fn cached_bytes(entry: &Entry) -> usize {
    entry.payload.command_len() + size_of::<Cached>()
}

impl TailCache {
    /// Index of the first entry that is cached.
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.entries.front().map(|cached| cached.entry.id.index)
    }

    pub(crate) fn push(&mut self, entry: Entry, seq: BatchSeq) {
        self.entries.push_back(Cached { entry, seq });
    }

    /// The cached entries from `from` on.
    pub(crate) fn from(&self, from: LogIndex) -> impl Iterator<Item = &Entry> {
        let skip = self.first().map_or(0, |first| from.distance_from(first));
        self.entries.iter().skip(crate::num::narrow(skip)).map(|cached| &cached.entry)
    }

    /// Drops `from` and all after it; returns the bytes that frees.
    pub(crate) fn truncate(&mut self, from: LogIndex) -> usize {
        let mut freed = 0;
        while let Some(cached) = self.entries.pop_back_if(|c| c.entry.id.index >= from) {
            freed += cached_bytes(&cached.entry);
        }
        freed
    }

    /// Drops `upto` and all before it; returns the bytes that frees.
    pub(crate) fn compact(&mut self, upto: LogIndex) -> usize {
        let mut freed = 0;
        while let Some(cached) = self.entries.pop_front_if(|c| c.entry.id.index <= upto) {
            freed += cached_bytes(&cached.entry);
        }
        freed
    }

    /// Drops the oldest durable entries until `bytes` are free; returns the bytes that frees.
    pub(crate) fn evict(&mut self, bytes: usize, durable: BatchSeq) -> usize {
        let mut freed = 0;
        while freed < bytes {
            let Some(cached) = self.entries.pop_front_if(|c| c.seq <= durable) else { break };
            freed += cached_bytes(&cached.entry);
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use raft_core::{EntryPayload, LogId, Term};

    use super::*;

    #[test]
    fn what_is_not_durable_is_not_evicted() {
        let mut cache = TailCache::default();
        for n in 1..=3 {
            let id = LogId::new(Term::new(1), LogIndex::new(n));
            cache.push(Entry { id, payload: EntryPayload::Noop }, BatchSeq::new(n));
        }

        cache.evict(usize::MAX, BatchSeq::new(2));

        assert_eq!(cache.first(), Some(LogIndex::new(3)));
    }
}
