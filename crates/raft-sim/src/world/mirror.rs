//! What a node has written and what of it must be on its disk, as the simulator saw it go by.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use raft_core::{Faulty, HardState, LogId, LogIndex, Restored, Term, Write, WriteSeq};

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
    /// Entries that are in the log and cannot be read.
    faulty: BTreeSet<LogIndex>,
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
    repair: Vec<LogIndex>,
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
        let whole = self.disk.last().index.max(self.snapshot.index);
        let faulty = self.faulty.range(self.snapshot.index.next()..).next();
        faulty.map_or(whole, |faulty| whole.min(faulty.prev()))
    }

    /// Whether entries are in the log that cannot be read.
    pub(crate) fn is_faulty(&self) -> bool {
        !self.faulty.is_empty()
    }

    /// What a write, which is durable, repairs or removes of what was faulty.
    fn forget_faults(&mut self, write: &Pending) {
        if write.reset.is_some() {
            self.faulty.clear();
        }
        if let Some(upto) = write.compact {
            self.faulty = self.faulty.split_off(&upto.index.next());
        }
        if let Some(from) = write.truncate {
            drop(self.faulty.split_off(&from));
        }
        self.faulty.retain(|index| !write.repair.contains(index));
    }

    /// Whether a damaged log names all that it has lost: what was durable is there, or said to be
    /// faulty.
    pub(crate) fn admits_loss(&self, found: &Found<'_>) -> bool {
        let later = self.pending.iter().filter_map(|write| write.hard_state);
        let mut states = std::iter::once(self.hard_state).chain(later);
        let is_reset = self.pending.iter().any(|write| write.reset.is_some());
        // What was being removed may be gone, and what was behind it.
        let cut = self.pending.iter().filter_map(|write| write.truncate).min();
        let last = self.disk.last().index;
        let end = cut.map_or(last, LogIndex::prev).min(last);
        let mut index = self.disk.base.index.max(found.base.index);
        let mut is_there = true;
        while index < end && !is_reset {
            index = index.next();
            let same = found.id_at(index) == self.disk.id_at(index);
            is_there &= same || found.is_faulty(index);
        }
        is_there && states.any(|state| state == found.hard_state)
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
        let is_there = self.disk.id_at(id.index) == Some(id) && !self.faulty.contains(&id.index);
        id.index < gone || is_there
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
            repair: write.repair.iter().map(|entry| entry.id.index).collect(),
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
            self.forget_faults(&write);
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
            let is_log = found.is_log(disk) || self.has_compacted_early(disk, found, next);
            is_log && std::iter::once(state).chain(later).any(|s| s == found.hard_state)
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

    /// Whether the log is what `disk` would be with a later compaction carried out before its turn,
    /// as a log without space does.
    fn has_compacted_early(&self, disk: &Ids, found: &Found<'_>, next: usize) -> bool {
        let later = self.pending.iter().skip(next);
        let mut early = later
            .filter_map(|write| write.compact)
            .filter(|upto| found.base == *upto && disk.id_at(upto.index) == Some(*upto));
        early.next().is_some_and(|upto| {
            let mut compacted = disk.clone();
            compacted.compact(upto);
            found.is_log(&compacted)
        })
    }

    /// The node has restarted with this on its disk.
    pub(crate) fn restart(&mut self, found: &Found<'_>) {
        let crashed = self.crashed(found).filter(|_| found.faulty.is_empty());
        let mut disk = crashed.unwrap_or_else(|| {
            if !found.faulty.is_empty() {
                return found.believed();
            }
            // The medium was damaged; what is left begins as it did.
            let mut disk = std::mem::take(&mut self.disk);
            disk.truncate(found.last.index.next());
            disk
        });
        disk.compact(found.base);
        self.pending.clear();
        self.hard_state = found.hard_state;
        self.log = disk.clone();
        self.disk = disk;
        self.faulty = found.all_faulty();
    }
}

/// What a restart finds on a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) hard_state: HardState,
    pub(crate) base: LogId,
    pub(crate) last: LogId,
    pub(crate) term_starts: &'a [LogId],
    pub(crate) faulty: &'a [Faulty],
}

impl<'a> Found<'a> {
    pub(crate) fn of(restored: &'a Restored) -> Self {
        let Restored { hard_state, base, last, ref term_starts, ref faulty, .. } = *restored;
        Self { hard_state, base, last, term_starts, faulty }
    }

    /// The entry at `index`, as the log believes.
    fn id_at(&self, index: LogIndex) -> Option<LogId> {
        let run = self.term_starts.iter().rev().find(|start| start.index <= index);
        run.filter(|_| index <= self.last.index).map(|run| LogId::new(run.term, index))
    }

    fn is_faulty(&self, index: LogIndex) -> bool {
        let is_in = |f: &Faulty| f.first <= index && f.last.is_none_or(|last| index <= last);
        self.faulty.iter().any(is_in)
    }

    /// All that is faulty, as far as the log reaches.
    fn all_faulty(&self) -> BTreeSet<LogIndex> {
        let mut all = BTreeSet::new();
        for f in self.faulty {
            let mut index = f.first;
            while index <= f.last.unwrap_or(self.last.index).min(self.last.index) {
                all.insert(index);
                index = index.next();
            }
        }
        all
    }

    /// The log as it believes to be.
    fn believed(&self) -> Ids {
        let mut ids = Ids::default();
        ids.reset(self.base);
        let mut index = self.base.index;
        while index < self.last.index {
            index = index.next();
            ids.terms.push(self.id_at(index).map_or(Term::ZERO, |id| id.term));
        }
        ids
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
