//! The newest entries of a log, in memory.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use super::weight;
use crate::types::{Entries, Entry, EntryPayload, LogId, LogIndex};

/// Entries, and what is asked about them again and again.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Batch {
    entries: Entries,
    first: LogIndex,
    last: LogIndex,
    bytes: usize,
}

/// The newest entries, in the batches in which they came: what was made at once is written, kept
/// and sent as one, and counted as one.
///
/// Where a batch ends says nothing about the log, so it makes no difference between two of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail {
    /// None is empty.
    batches: VecDeque<Batch>,
    /// Those that follow, made here since the last [`Tail::seal`].
    fresh: Vec<Entry>,
    bytes: usize,
}

/// A list of more entries than this is not kept for the next ones.
const FRESH_ENTRIES_MAX: usize = 1_024;

impl Batch {
    pub(crate) fn new(entries: Entries) -> Self {
        let index = |entry: Option<&Entry>| entry.map_or(LogIndex::ZERO, |entry| entry.id.index);
        let all = &*entries;
        let (first, last) = (index(all.first()), index(all.last()));
        let bytes = all.iter().map(weight).sum();
        Self { entries, first, last, bytes }
    }

    /// The last of the entries; zero if there are none.
    pub(crate) const fn last(&self) -> LogIndex {
        self.last
    }

    /// The entries, and what they weigh together.
    pub(crate) fn into_parts(self) -> (Entries, usize) {
        (self.entries, self.bytes)
    }

    fn skip(&mut self, count: usize) {
        let gone = self.entries.get(..count).unwrap_or_default();
        self.bytes -= gone.iter().map(weight).sum::<usize>();
        self.first = self.entries.get(count).map_or(self.first, |entry| entry.id.index);
        self.entries.skip(count);
    }

    fn keep(&mut self, count: usize) {
        let gone = self.entries.get(count..).unwrap_or_default();
        self.bytes -= gone.iter().map(weight).sum::<usize>();
        self.entries.keep(count);
        self.last = self.entries.last().map_or(self.last, |entry| entry.id.index);
    }
}

impl Tail {
    pub(super) fn new(entries: Entries) -> Self {
        let mut tail = Self::default();
        tail.push(entries);
        tail
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.iter_from(0)
    }

    /// Appends what came as one.
    #[inline]
    pub(super) fn push(&mut self, entries: Entries) {
        assert!(self.fresh.is_empty(), "what was made before is sealed");
        if !entries.is_empty() {
            let batch = Batch::new(entries);
            self.bytes += batch.bytes;
            self.batches.push_back(batch);
        }
    }

    /// Appends entries from `id` on, as they are made; gives the last of their ids.
    pub(super) fn make(
        &mut self,
        mut id: LogId,
        payloads: impl Iterator<Item = EntryPayload>,
    ) -> Option<LogId> {
        let before = self.fresh.len();
        self.fresh.extend(payloads.map(|payload| {
            let entry = Entry { id, payload };
            id.index = id.index.next();
            entry
        }));
        let made = self.fresh.get(before..).unwrap_or_default();
        self.bytes += made.iter().map(weight).sum::<usize>();
        made.last().map(|entry| entry.id)
    }

    /// Makes a batch of what was made since; it is as well to be written.
    #[inline]
    pub(super) fn seal(&mut self) -> Option<Entries> {
        if self.fresh.is_empty() { None } else { Some(self.seal_fresh()) }
    }

    #[inline(never)]
    fn seal_fresh(&mut self) -> Entries {
        let entries = Entries::from(self.fresh.drain(..).collect::<Arc<[_]>>());
        if self.fresh.capacity() > FRESH_ENTRIES_MAX {
            self.fresh = Vec::new();
        }
        self.batches.push_back(Batch::new(entries.clone()));
        entries
    }

    /// Removes `from` and all after it.
    pub(super) fn truncate(&mut self, from: LogIndex) {
        let is_before = |entry: &Entry| entry.id.index < from;
        self.bytes -=
            self.fresh.iter().filter(|entry| !is_before(entry)).map(weight).sum::<usize>();
        self.fresh.retain(is_before);
        while let Some(batch) = self.batches.back_mut().filter(|batch| batch.last >= from) {
            let before = batch.bytes;
            batch.keep(batch.entries.partition_point(is_before));
            self.bytes -= before - batch.bytes;
            self.batches.pop_back_if(|batch| batch.entries.is_empty());
        }
    }

    /// Removes `upto` and all before it.
    pub(super) fn compact(&mut self, upto: LogIndex) {
        self.evict(upto, 0);
        let is_after = |entry: &Entry| entry.id.index > upto;
        self.bytes -= self.fresh.iter().filter(|entry| !is_after(entry)).map(weight).sum::<usize>();
        self.fresh.retain(is_after);
    }

    /// Removes the oldest ones up to `upto` while all together weigh more than `bytes_max`, one by
    /// one. Their memory is free when the last one of their batch is gone.
    #[inline]
    pub(super) fn evict(&mut self, upto: LogIndex, bytes_max: usize) {
        if self.bytes > bytes_max {
            self.evict_down_to(upto, bytes_max);
        }
    }

    #[inline(never)]
    fn evict_down_to(&mut self, upto: LogIndex, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(batch) = self.batches.front_mut().filter(|batch| batch.first <= upto)
        {
            let before = batch.bytes;
            if batch.last <= upto && self.bytes - before >= bytes_max || batch.first == batch.last {
                self.bytes -= before;
                self.batches.pop_front();
            } else {
                batch.skip(1);
                self.bytes -= before - batch.bytes;
            }
        }
    }

    /// Entries from `from`, which is in the log, to `upto`: as many as weigh `bytes_max`, but at
    /// least one. `None` if `from` has left memory.
    #[inline]
    pub(super) fn slice(&self, from: LogIndex, upto: LogIndex, bytes_max: usize) -> Option<Batch> {
        // Most lack what came last.
        let is_wanted =
            |batch: &&Batch| batch.first == from && batch.last == upto && batch.bytes <= bytes_max;
        match self.batches.back().filter(is_wanted) {
            Some(newest) => Some(newest.clone()),
            None => self.slice_anywhere(from, upto, bytes_max),
        }
    }

    #[inline(never)]
    fn slice_anywhere(&self, from: LogIndex, upto: LogIndex, bytes_max: usize) -> Option<Batch> {
        let at = self.find(from)?;
        let Some(batch) = self.batches.get(at) else {
            return Some(self.gather(at, from, upto, bytes_max));
        };
        let mut part = batch.clone();
        if batch.first < from {
            part.skip(batch.entries.partition_point(|entry| entry.id.index < from));
        }
        if batch.last > upto || part.bytes > bytes_max {
            part.keep(fitting(&part.entries, upto, bytes_max).count());
            return Some(part);
        }
        let is_all = batch.last == upto || self.is_end(at);
        Some(if is_all { part } else { self.gather(at, from, upto, bytes_max) })
    }

    /// As [`Tail::slice`], of several batches from the one at `at` on.
    fn gather(&self, at: usize, from: LogIndex, upto: LogIndex, bytes_max: usize) -> Batch {
        let wanted = self.iter_from(at).skip_while(|entry| entry.id.index < from);
        Batch::new(fitting(wanted, upto, bytes_max).cloned().collect())
    }

    /// What the entries after `after`, up to `upto`, weigh together.
    pub(super) fn weight_between(&self, after: LogIndex, upto: LogIndex) -> usize {
        let is_within = |entry: &&Entry| after < entry.id.index && entry.id.index <= upto;
        let within =
            |entries: &[Entry]| entries.iter().filter(is_within).map(weight).sum::<usize>();
        let mut bytes = within(&self.fresh);
        let mut at = self.find(after.next()).unwrap_or(0);
        while let Some(batch) = self.batches.get(at).filter(|batch| batch.first <= upto) {
            let is_whole = after < batch.first && batch.last <= upto;
            bytes += if is_whole { batch.bytes } else { within(&batch.entries) };
            at += 1;
        }
        bytes
    }

    /// Gives back memory that is not used, and would not be soon.
    pub(super) fn rest(&mut self) {
        /// A list that was four times as long is worth moving; a short one always is.
        const WORTH_MOVING: usize = 4;
        self.fresh.shrink_to_fit();
        let len = self.batches.len();
        if len < 16 || len < self.batches.capacity() / WORTH_MOVING {
            self.batches.shrink_to_fit();
        }
    }

    /// Which batch has `index`, or one past them all; `None` if it has left memory.
    fn find(&self, index: LogIndex) -> Option<usize> {
        if self.fresh.first().is_some_and(|entry| entry.id.index <= index) {
            return Some(self.batches.len());
        }
        // Most questions are about the newest.
        if self.batches.back().is_some_and(|batch| batch.first <= index) {
            return self.batches.len().checked_sub(1);
        }
        self.batches.partition_point(|batch| batch.first <= index).checked_sub(1)
    }

    /// Whether nothing follows the batch at `at`.
    fn is_end(&self, at: usize) -> bool {
        at + 1 == self.batches.len() && self.fresh.is_empty()
    }

    fn iter_from(&self, at: usize) -> impl Iterator<Item = &Entry> {
        let batches = self.batches.range(at.min(self.batches.len())..);
        batches.flat_map(|batch| &batch.entries).chain(&self.fresh)
    }
}

/// The first of `entries`, up to `upto`: as many as weigh `bytes_max`, but at least one.
fn fitting<'a>(
    entries: impl IntoIterator<Item = &'a Entry>,
    upto: LogIndex,
    bytes_max: usize,
) -> impl Iterator<Item = &'a Entry> {
    let mut room = Some(bytes_max);
    let mut is_first = true;
    entries.into_iter().take_while(move |entry| {
        room = room.and_then(|room| room.checked_sub(weight(entry)));
        let fits = room.is_some() || is_first;
        is_first = false;
        entry.id.index <= upto && fits
    })
}

impl Eq for Tail {}

impl PartialEq for Tail {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.iter().eq(other.iter())
    }
}

impl Hash for Tail {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}
