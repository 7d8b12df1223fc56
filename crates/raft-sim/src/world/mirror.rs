//! What a node has written and what of it must be on its disk, as the simulator saw it go by.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use raft_core::{Faulty, HardState, LogId, LogIndex, Restored, Term, Write, WriteSeq};
use raft_wal::Tail;

use super::newest::{Forgotten, Newest, Replaced};

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
    /// What this run of the node has made durable last; an earlier one's is pinned.
    newest: Option<Newest>,
    /// Whether the log on the disk says that its newest write may be lost.
    is_in_doubt: bool,
    /// Whether it may have begun to say that since.
    was_opened_in_vain: bool,
    /// What was lost with a newest write, and is not there again.
    forgotten: Vec<Forgotten>,
}

/// A write that was submitted and is not known to be durable.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(super) seq: WriteSeq,
    pub(super) hard_state: Option<HardState>,
    pub(super) reset: Option<LogId>,
    pub(super) compact: Option<LogId>,
    pub(super) truncate: Option<LogIndex>,
    pub(super) settles_doubt: bool,
    pub(super) append: Vec<LogId>,
    pub(super) repair: Vec<LogIndex>,
}

/// The ids of all entries of a log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Ids {
    /// The entry before the first one.
    pub(super) base: LogId,
    /// Terms by index, of all entries that ever were in the log; those up to `base` are gone.
    pub(super) terms: Vec<Term>,
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

    /// Forgets everything, to begin after `base`, which stays known.
    fn reset(&mut self, base: LogId) {
        self.terms.resize(position(base.index.next()), Term::ZERO);
        self.terms.last_mut().into_iter().for_each(|term| *term = base.term);
        self.base = base;
    }

    fn compact(&mut self, upto: LogId) {
        if upto.index > self.base.index {
            self.base = upto;
        }
    }

    /// All that are there.
    fn ids(&self) -> impl Iterator<Item = LogId> + '_ {
        let from = position(self.base.index.next());
        let terms = self.terms.iter().enumerate().skip(from);
        terms.map(|(at, term)| LogId::new(*term, index_of(at + 1)))
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

pub(super) fn position(index: LogIndex) -> usize {
    usize::try_from(index.prev().get()).unwrap_or(usize::MAX)
}

fn index_of(len: usize) -> LogIndex {
    LogIndex::new(u64::try_from(len).expect("an address fits into 64 bits"))
}

impl Pending {
    /// Takes out of what is faulty what this write repairs or removes.
    fn mend(&self, faulty: &mut BTreeSet<LogIndex>) {
        if self.reset.is_some() {
            faulty.clear();
        }
        if let Some(upto) = self.compact {
            *faulty = faulty.split_off(&upto.index.next());
        }
        if let Some(from) = self.truncate {
            drop(faulty.split_off(&from));
        }
        faulty.retain(|index| !self.repair.contains(index));
    }

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

    /// Whether nothing was ever durable.
    pub(crate) fn is_new(&self) -> bool {
        let has_log = self.disk.last() != LogId::ZERO || self.hard_state != HardState::default();
        !has_log && self.snapshot == LogId::ZERO
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

    /// Whether the server lacks entries of its log: they cannot be read, no snapshot has them, and
    /// nobody has given them back.
    pub(crate) fn lacks_entries(&self) -> bool {
        if self.faulty.is_empty() {
            return false;
        }
        let mut faulty = self.faulty.clone();
        self.pending.iter().for_each(|write| write.mend(&mut faulty));
        faulty.range(self.snapshot.index.next()..).next().is_some()
    }

    /// Whether a damaged log names all that it has lost: what was durable is there, or said to be
    /// faulty.
    pub(crate) fn admits_loss(&self, found: &Found<'_>) -> bool {
        self.admits_loss_from(&self.disk, found)
    }

    /// The same, if the newest write that was durable is damaged as well.
    pub(crate) fn admits_loss_without_newest(&self, found: &Found<'_>) -> bool {
        let without = self.newest.as_ref().map(|newest| newest.undo(&self.disk));
        without.is_some_and(|disk| self.admits_loss_from(&disk, found))
    }

    fn admits_loss_from(&self, disk: &Ids, found: &Found<'_>) -> bool {
        let later = self.pending.iter().filter_map(|write| write.hard_state);
        let mut states = std::iter::once(self.hard_state).chain(later);
        let is_reset = self.pending.iter().any(|write| write.reset.is_some());
        // What was being removed may be gone, and what was behind it.
        let cut = self.pending.iter().filter_map(|write| write.truncate).min();
        let last = disk.last().index;
        let end = cut.map_or(last, LogIndex::prev).min(last);
        let mut index = disk.base.index.max(found.base.index);
        let mut is_there = true;
        while index < end && !is_reset {
            index = index.next();
            let same = found.id_at(index) == disk.id_at(index);
            is_there &= same || found.is_faulty(index);
        }
        let is_said_rightly = cut.is_some() || is_reset || self.has_terms_of(found.faulty);
        is_there && is_said_rightly && states.any(|state| state == found.hard_state)
    }

    /// Whether what is faulty is of the term that the log gives, where it gives one.
    fn has_terms_of(&self, faulty: &[Faulty]) -> bool {
        faulty.iter().all(|f| {
            let Some(term) = f.term else { return true };
            let last = f.last.unwrap_or(LogIndex::new(u64::MAX));
            let mut lost = self.disk.ids().filter(|id| f.first <= id.index && id.index <= last);
            lost.all(|id| id.term == term)
        })
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
            settles_doubt: write.settles_doubt,
            append: write.append.iter().map(|entry| entry.id).collect(),
            repair: write.repair.iter().map(|entry| entry.id.index).collect(),
        });
        before
    }

    /// Takes the news that writes up to `seq` are durable; gives every term and vote that became
    /// so. `is_written` is whether anything was to be written for that.
    pub(crate) fn on_durable(&mut self, seq: WriteSeq, is_written: bool) -> Vec<HardState> {
        let done = self.pending.partition_point(|write| write.seq <= seq);
        let writes: Vec<_> = self.pending.drain(..done).collect();
        let states = writes.iter().filter_map(|write| write.hard_state).collect();
        let replaced = Replaced::by(&writes, &self.disk);
        for write in &writes {
            write.carry_out(&mut self.disk, &mut self.hard_state);
            write.mend(&mut self.faulty);
            self.is_in_doubt &= !write.settles_doubt;
        }
        if is_written {
            self.newest = Some(Newest::new(writes, replaced));
        }
        self.remember();
        states
    }

    /// What is there again is not forgotten any more.
    fn remember(&mut self) {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.retain(|lost| !self.holds(lost.id));
        self.forgotten = forgotten;
    }

    /// What was lost with a newest write, and is not there again.
    pub(crate) fn forgotten(&self) -> impl Iterator<Item = LogId> + '_ {
        self.forgotten.iter().map(|lost| lost.id)
    }

    /// The run of the node that has found `id` missing, which an earlier one had made durable.
    pub(crate) fn forgot_in(&self, id: LogId) -> Option<u32> {
        self.forgotten.iter().find(|lost| lost.id == id).map(|lost| lost.run)
    }

    /// Whether a log that ends as `tail` says must be in doubt, and whether it may be.
    pub(crate) fn doubts(&self, tail: Tail) -> Doubts {
        let is_settling = self.pending.iter().any(|write| write.settles_doubt);
        let must = tail.is_doubtful() || self.is_in_doubt && !is_settling;
        let newest = self.newest.as_ref().map(Newest::writes).unwrap_or_default();
        let was_settled_last = newest.iter().any(|write| write.settles_doubt);
        let may = self.is_in_doubt || was_settled_last || self.was_opened_in_vain;
        Doubts { must, may: must || may }
    }

    /// The log on the disk could not be opened. What its end means may have been noted all the same.
    pub(crate) const fn on_opened_in_vain(&mut self) {
        self.was_opened_in_vain = true;
    }

    /// Whether a disk that holds this could be the one after a crash: what was durable, some of the
    /// writes after that, and of the next one a part.
    pub(crate) fn could_be(&self, found: &Found<'_>) -> bool {
        self.crashed(found).is_some()
    }

    /// The same, if the newest write that was durable is damaged.
    pub(crate) fn could_be_without_newest(&self, found: &Found<'_>) -> bool {
        self.crashed_without_newest(found).is_some()
    }

    /// The disk after a crash, if it could hold what was found.
    fn crashed(&self, found: &Found<'_>) -> Option<Ids> {
        self.crashed_while(self.disk.clone(), self.pending.iter(), found)
    }

    /// As if the newest write had not been durable, but for the term and the vote in it.
    fn crashed_without_newest(&self, found: &Found<'_>) -> Option<Ids> {
        let newest = self.newest.as_ref()?;
        let writes = newest.writes().iter().chain(&self.pending);
        self.crashed_while(newest.undo(&self.disk), writes, found)
    }

    /// What `disk` has become, if a crash while `writes` were carried out could leave what was found.
    fn crashed_while<'a>(
        &self,
        mut disk: Ids,
        writes: impl Iterator<Item = &'a Pending> + Clone,
        found: &Found<'_>,
    ) -> Option<Ids> {
        let mut state = self.hard_state;
        // Term and vote are written twice: they may be there though the write before is not.
        let is_found = |disk: &Ids, state: HardState, next: usize| {
            let later = writes.clone().skip(next);
            let is_log = found.is_log(disk) || has_compacted_early(disk, found, later.clone());
            let mut states = std::iter::once(state).chain(later.filter_map(|w| w.hard_state));
            is_log && states.any(|s| s == found.hard_state)
        };
        if is_found(&disk, state, 0) {
            return Some(disk);
        }
        for (number, write) in writes.clone().enumerate() {
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

    /// The node has begun its run with this on its disk.
    pub(crate) fn restart(&mut self, found: &Found<'_>, run: u32) {
        let crashed = self.crashed(found).filter(|_| found.faulty.is_empty());
        let is_whole = crashed.is_some() || !found.faulty.is_empty() && self.admits_loss(found);
        let left = crashed.or_else(|| self.crashed_without_newest(found).filter(|_| !is_whole));
        let mut disk = left.unwrap_or_else(|| found.believed());
        disk.compact(found.base);
        self.pending.clear();
        self.newest = None;
        self.hard_state = found.hard_state;
        self.is_in_doubt = found.is_in_doubt;
        self.was_opened_in_vain = false;
        self.log = disk.clone();
        let before = std::mem::replace(&mut self.disk, disk);
        self.faulty = found.all_faulty();
        if !is_whole {
            self.forgotten.extend(before.ids().map(|id| Forgotten { id, run }));
        }
        self.remember();
    }
}

/// Whether the log is what `disk` would be with a later compaction carried out before its turn, as a
/// log without space does.
fn has_compacted_early<'a>(
    disk: &Ids,
    found: &Found<'_>,
    later: impl Iterator<Item = &'a Pending>,
) -> bool {
    let mut early = later
        .filter_map(|write| write.compact)
        .filter(|upto| found.base == *upto && disk.id_at(upto.index) == Some(*upto));
    early.next().is_some_and(|upto| {
        let mut compacted = disk.clone();
        compacted.compact(upto);
        found.is_log(&compacted)
    })
}

/// What a log may say of its newest write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doubts {
    /// It must be in doubt.
    pub(crate) must: bool,
    /// It may be.
    pub(crate) may: bool,
}

/// What a restart finds on a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'a> {
    pub(crate) hard_state: HardState,
    pub(crate) base: LogId,
    pub(crate) last: LogId,
    pub(crate) term_starts: &'a [LogId],
    pub(crate) faulty: &'a [Faulty],
    pub(crate) is_in_doubt: bool,
}

impl<'a> Found<'a> {
    pub(crate) fn of(restored: &'a Restored) -> Self {
        let Restored { hard_state, base, last, is_in_doubt, .. } = *restored;
        let Restored { term_starts, faulty, .. } = restored;
        Self { hard_state, base, last, term_starts, faulty, is_in_doubt }
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
