//! What a node has written and what of it must be on its disk, as the simulator saw it go by.

use std::borrow::Cow;
use std::collections::VecDeque;

use raft_core::{HardState, LogId, LogIndex, Restored, Term, Write, WriteSeq};

/// A node's disk as it should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mirror {
    /// The log as submitted, durable or not.
    log: Ids,
    /// The log that is durable.
    disk: Ids,
    hard_state: HardState,
    /// The end of the newest snapshot that is durable.
    snapshot: LogId,
    pending: VecDeque<Pending>,
}

/// A write that was submitted and is not known to be durable.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    seq: WriteSeq,
    hard_state: Option<HardState>,
    reset: Option<LogId>,
    compact: Option<LogId>,
    truncate: Option<LogIndex>,
    append: Vec<LogId>,
}

/// The ids of all entries of a log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Ids {
    /// The entry before the first one.
    base: LogId,
    /// Terms by index, of all entries that ever were in the log; those up to `base` are gone.
    terms: Vec<Term>,
}

impl Ids {
    fn last(&self) -> LogId {
        let last = index_of(self.terms.len());
        match self.terms.last() {
            Some(term) if last > self.base.index => LogId::new(*term, last),
            Some(_) | None => self.base,
        }
    }

    fn id_at(&self, index: LogIndex) -> Option<LogId> {
        if index <= self.base.index {
            return (index == self.base.index).then_some(self.base);
        }
        let term = self.terms.get(position(index))?;
        Some(LogId::new(*term, index))
    }

    fn truncate(&mut self, from: LogIndex) {
        self.terms.truncate(position(from));
    }

    fn push(&mut self, id: LogId) {
        self.terms.push(id.term);
    }

    /// Forgets everything, to begin after `base`.
    fn reset(&mut self, base: LogId) {
        self.terms.resize(position(base.index.next()), Term::ZERO);
        self.base = base;
    }

    fn compact(&mut self, upto: LogId) {
        if upto.index > self.base.index {
            self.base = upto;
        }
    }

    /// The entry at `index`, if it was there before the log was compacted.
    fn bring_back(&self, index: LogIndex) -> LogId {
        let term = index.get().checked_sub(1).and_then(|_| self.terms.get(position(index)));
        term.map_or(LogId::ZERO, |term| LogId::new(*term, index))
    }

    /// The first entry of each term.
    fn term_starts(&self) -> impl Iterator<Item = LogId> + '_ {
        let from = position(self.base.index.next());
        let terms = self.terms.get(from..).unwrap_or_default().iter();
        let mut before = None;
        terms.enumerate().filter_map(move |(at, term)| {
            let is_first = before.replace(*term) != Some(*term);
            is_first.then(|| LogId::new(*term, index_of(from + at + 1)))
        })
    }
}

fn position(index: LogIndex) -> usize {
    usize::try_from(index.prev().get()).unwrap_or(usize::MAX)
}

fn index_of(len: usize) -> LogIndex {
    LogIndex::new(u64::try_from(len).expect("an address fits into 64 bits"))
}

impl Pending {
    fn carry_out(&self, ids: &mut Ids, hard_state: &mut HardState) {
        if let Some(new) = self.hard_state {
            *hard_state = new;
        }
        if let Some(base) = self.reset {
            ids.reset(base);
        }
        if let Some(upto) = self.compact {
            ids.compact(upto);
        }
        if let Some(from) = self.truncate {
            ids.truncate(from);
        }
        self.append.iter().for_each(|id| ids.push(*id));
    }
}

impl Mirror {
    pub(crate) const fn hard_state(&self) -> HardState {
        self.hard_state
    }

    pub(crate) fn durable_last(&self) -> LogId {
        self.disk.last()
    }

    /// The end of the newest snapshot that is durable.
    pub(crate) const fn snapshot(&self) -> LogId {
        self.snapshot
    }

    /// A snapshot that ends there is durable.
    pub(crate) fn on_snapshot(&mut self, last: LogId) {
        if last.index > self.snapshot.index {
            self.snapshot = last;
        }
    }

    /// A restart has found no newer snapshot than this.
    pub(crate) const fn set_snapshot(&mut self, last: LogId) {
        self.snapshot = last;
    }

    /// Up to where everything is durable, in the log or in a snapshot.
    pub(crate) fn durable_until(&self) -> LogIndex {
        self.disk.last().index.max(self.snapshot.index)
    }

    pub(crate) const fn pending(&self) -> &VecDeque<Pending> {
        &self.pending
    }

    /// The entry before the first one that was submitted and not forgotten.
    pub(crate) const fn base(&self) -> LogId {
        self.log.base
    }

    /// Whether an entry is in the log, or may be found there after a crash.
    pub(crate) fn may_hold(&self, id: LogId) -> bool {
        self.log.id_at(id.index) == Some(id) || self.disk.id_at(id.index) == Some(id)
    }

    /// The last entry that was submitted.
    pub(crate) fn last(&self) -> LogId {
        self.log.last()
    }

    /// The id of an entry that was submitted.
    pub(crate) fn id_at(&self, index: LogIndex) -> Option<LogId> {
        self.log.id_at(index)
    }

    /// Whether an entry is durable, or in a snapshot that is.
    pub(crate) fn holds(&self, id: LogId) -> bool {
        let gone = self.disk.base.index.max(self.snapshot.index.next());
        id.index < gone || self.disk.id_at(id.index) == Some(id)
    }

    /// Takes a write that is submitted; gives the id before its first entry.
    pub(crate) fn on_submit(&mut self, write: &Write) -> LogId {
        if let Some(base) = write.reset {
            self.log.reset(base);
        }
        if let Some(upto) = write.compact {
            self.log.compact(upto);
        }
        if let Some(from) = write.truncate {
            self.log.truncate(from);
        }
        let before = self.log.last();
        write.append.iter().for_each(|entry| self.log.push(entry.id));
        self.pending.push_back(Pending {
            seq: write.seq,
            hard_state: write.hard_state,
            reset: write.reset,
            compact: write.compact,
            truncate: write.truncate,
            append: write.append.iter().map(|entry| entry.id).collect(),
        });
        before
    }

    /// Takes the news that writes up to `seq` are durable; gives every term and vote that became
    /// so.
    pub(crate) fn on_durable(&mut self, seq: WriteSeq) -> Vec<HardState> {
        let mut states = Vec::new();
        while let Some(write) = self.pending.pop_front_if(|write| write.seq <= seq) {
            write.carry_out(&mut self.disk, &mut self.hard_state);
            states.extend(write.hard_state);
        }
        states
    }

    /// Whether a disk that holds this could be the one after a crash: what was durable, some of the
    /// writes after that, and of the next one a part.
    pub(crate) fn could_be(&self, found: &Found<'_>) -> bool {
        self.crashed(found).is_some()
    }

    /// The disk after a crash, if it could hold what was found.
    fn crashed(&self, found: &Found<'_>) -> Option<Ids> {
        let mut disk = self.disk.clone();
        let mut state = self.hard_state;
        // Term and vote are written twice: they may be there though the write before is not.
        let is_found = |disk: &Ids, state: HardState, next: usize| {
            let later = self.pending.iter().skip(next).filter_map(|write| write.hard_state);
            found.is_log(disk) && std::iter::once(state).chain(later).any(|s| s == found.hard_state)
        };
        if is_found(&disk, state, 0) {
            return Some(disk);
        }
        for (number, write) in self.pending.iter().enumerate() {
            // A write may become several calls, of which the first ones are there.
            let steps = [
                Pending { truncate: None, append: Vec::new(), ..write.clone() },
                Pending { append: Vec::new(), ..write.clone() },
            ];
            for step in steps {
                step.carry_out(&mut disk, &mut state);
                if is_found(&disk, state, number + 1) {
                    return Some(disk);
                }
            }
            for id in &write.append {
                disk.push(*id);
                if is_found(&disk, state, number + 1) {
                    return Some(disk);
                }
            }
        }
        None
    }

    /// The node has restarted with this on its disk.
    pub(crate) fn restart(&mut self, found: &Found<'_>) {
        let disk = self.crashed(found).unwrap_or_else(|| {
            // The medium was damaged; what is left begins as it did.
            let mut disk = std::mem::take(&mut self.disk);
            disk.truncate(found.last.index.next());
            disk
        });
        self.pending.clear();
        self.hard_state = found.hard_state;
        self.log = disk.clone();
        self.disk = disk;
    }
}

/// What a restart finds on a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) hard_state: HardState,
    pub(crate) base: LogId,
    pub(crate) last: LogId,
    pub(crate) term_starts: &'a [LogId],
}

impl<'a> Found<'a> {
    pub(crate) fn of(restored: &'a Restored) -> Self {
        let Restored { hard_state, base, last, ref term_starts, .. } = *restored;
        Self { hard_state, base, last, term_starts }
    }

    fn is_log(&self, disk: &Ids) -> bool {
        // What was compacted may come back, and does as it was.
        let mut disk = Cow::Borrowed(disk);
        if self.base.index < disk.base.index {
            disk.to_mut().base = disk.bring_back(self.base.index);
        }
        let is_end = disk.last() == self.last && disk.base == self.base;
        is_end && disk.term_starts().eq(self.term_starts.iter().copied())
    }
}
