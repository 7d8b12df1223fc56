//! Carrying out what batches and seals say, to find what each group's log is.

use raft_core::{EntryKind, GroupId, HardState, LogId, LogIndex, Term};

use crate::format::checkpoint::{Checkpoint, GroupMark};
use crate::format::record::{Change, Slot};
use crate::format::seal::SealedSection;
use crate::group::{GroupLog, Ledger, join_hard_states};
use crate::places::Places;

/// Where lost entries are, for want of a better place: no batch stands at the start of a file.
const NOWHERE: u64 = 0;

/// The groups, as far as the log has been followed.
///
/// Segments that compaction deleted are not there to be read. What the first checkpoint says about
/// their entries is believed: a group's log begins behind the last of them, until a compaction
/// record says that they may be missing. At the end there must be one.
#[derive(Debug, Default)]
pub(super) struct Replay {
    pub(super) ledger: Ledger,
    pub(super) places: Places,
    /// The last compacted entry of each group, by slot. What lies between it and the beginning of
    /// the group's log in the ledger is missing.
    compacted: Vec<LogId>,
    /// What batches that are lost may have held, by slot.
    lost: Vec<Lost>,
    /// The segment in which batches were lost last.
    newest_loss: Option<u64>,
}

/// What is not known of a group, because batches are lost.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    /// Entries behind the last one that is known, as noted for this segment.
    entries_in: Option<u64>,
    /// A term or a vote.
    hard_state: bool,
}

impl Replay {
    /// Begins with the checkpoint of the first segment there is.
    pub(super) fn begin(&mut self, checkpoint: &Checkpoint) -> bool {
        checkpoint.groups.iter().all(|mark| {
            self.compacted.push(mark.base);
            self.lost.push(Lost::default());
            self.ledger.add(mark.group, GroupLog::new(mark.last, mark.hard_state)).is_some()
        })
    }

    /// Whether a checkpoint says what has been found so far.
    pub(super) fn agrees_with(&self, checkpoint: &Checkpoint) -> bool {
        let same = |((group, log), (base, mark)): (&(GroupId, GroupLog), (&LogId, &GroupMark))| {
            // Behind missing entries the term is not known.
            let last = log.last();
            let is_last =
                last == mark.last || (last.term == Term::ZERO && last.index == mark.last.index);
            *group == mark.group
                && is_last
                && *base == mark.base
                && join_hard_states(log.hard_state(), mark.hard_state) == mark.hard_state
        };
        let marks = &checkpoint.groups;
        // A group that recovery found behind the end of the log has nothing but its hard state.
        let mut adopted = marks.iter().skip(self.ledger.len());
        self.ledger.len() <= marks.len()
            && adopted.all(|mark| mark.base == LogId::ZERO && mark.last == LogId::ZERO)
            && self.ledger.iter().zip(self.compacted.iter().zip(marks)).all(same)
    }

    /// Takes over the hard states of a checkpoint: a recovery may have adopted one, and its group,
    /// that stands behind the end of the segment before.
    pub(super) fn adopt(&mut self, checkpoint: &Checkpoint) {
        for (slot, mark) in (0..).zip(&checkpoint.groups) {
            self.add_group(slot, mark.group.get());
            if let Some((_, log)) = self.ledger.at_mut(slot) {
                log.apply(Change::HardState(mark.hard_state));
                *log.doubts_mut() = mark.doubts;
            }
        }
    }

    /// Gives `slot` to a group, if it does not have it already; `false` if that is not the next slot
    /// or the group has another.
    pub(super) fn add_group(&mut self, slot: Slot, group: u64) -> bool {
        let Some(group) = GroupId::new(group) else { return false };
        if self.ledger.slot(group) == Some(slot) {
            return true;
        }
        if usize::from(slot) != self.ledger.len() {
            return false;
        }
        self.compacted.push(LogId::ZERO);
        self.lost.push(Lost::default());
        self.ledger.add(group, GroupLog::default()).is_some()
    }

    /// As [`add_group`](Self::add_group), of a group that has its slot from a batch before: if that is
    /// lost, so may be the group's first entries.
    pub(super) fn recall_group(&mut self, slot: Slot, group: u64) -> bool {
        let is_new = usize::from(slot) == self.ledger.len();
        let is_there = self.add_group(slot, group);
        if is_new && let Some(lost) = self.lost.get_mut(usize::from(slot)) {
            lost.entries_in = self.newest_loss;
        }
        is_there
    }

    /// Carries out a change that stands in the batch at `offset` of `segment`; `false` if it does
    /// not fit.
    pub(super) fn change(&mut self, slot: Slot, change: Change, segment: u64, offset: u64) -> bool {
        let Some((group, _)) = self.ledger.at(slot) else { return false };
        let group = *group;
        if !self.bridge(slot, change) {
            return false;
        }
        let fits = match change {
            Change::Truncate(from) => self.truncate(slot, from),
            Change::Compact(upto) => self.compact(slot, upto),
            Change::Repair(id, kind) => self.repair(slot, id, kind),
            Change::Entry(..) | Change::HardState(_) => {
                self.ledger.at_mut(slot).is_some_and(|(_, log)| log.apply(change))
            }
        };
        if fits {
            self.places.change((group, slot), change, segment, offset);
        }
        fits
    }

    /// Notes that batches of `segment` are lost, none of which truncated a log.
    pub(super) fn lose(&mut self, segment: u64, hard_states: bool) {
        self.newest_loss = Some(segment);
        for lost in &mut self.lost {
            lost.entries_in = Some(segment);
            lost.hard_state |= hard_states;
        }
    }

    /// Notes that an entry cannot be read.
    pub(super) fn mark_faulty(&mut self, slot: Slot, index: LogIndex) {
        if let Some((_, log)) = self.ledger.at_mut(slot) {
            log.faults_mut().insert(index, index);
        }
    }

    /// Notes that an entry cannot be read from `segment`, so that its seal will say so.
    pub(super) fn lose_entry(&mut self, slot: Slot, index: LogIndex, segment: u64) {
        self.mark_faulty(slot, index);
        if let Some((group, _)) = self.ledger.at(slot) {
            self.places.lose(*group, index, segment);
        }
    }

    /// Concludes from the first change behind lost batches which entries those must have held.
    fn bridge(&mut self, slot: Slot, change: Change) -> bool {
        let Some(lost) = self.lost.get_mut(usize::from(slot)) else { return false };
        match change {
            Change::HardState(_) => lost.hard_state = false,
            Change::Entry(id, _) => return self.fill(slot, id.index.prev(), Some(id.term)),
            Change::Truncate(from) => return self.fill(slot, from.prev(), None),
            // They say nothing about where the log ends.
            Change::Compact(_) | Change::Repair(..) => {}
        }
        true
    }

    /// Puts lost entries where there must have been some: up to `upto`, of terms up to `term`.
    fn fill(&mut self, slot: Slot, upto: LogIndex, term: Option<Term>) -> bool {
        let Some(lost) = self.lost.get_mut(usize::from(slot)) else { return false };
        let Some(segment) = lost.entries_in.take() else { return true };
        let Some((group, log)) = self.ledger.at_mut(slot) else { return false };
        let term = term.filter(|term| *term == log.last().term);
        let mut index = log.last().index.next();
        log.push_lost(upto, term);
        while index <= upto {
            let id = LogId::new(term.unwrap_or_default(), index);
            let entry = Change::Entry(id, EntryKind::Noop);
            self.places.change((group, slot), entry, segment, NOWHERE);
            index = index.next();
        }
        true
    }

    /// Concludes from the checkpoint behind lost batches what those must have held.
    pub(super) fn reconcile(&mut self, checkpoint: &Checkpoint) {
        for (slot, mark) in (0..).zip(&checkpoint.groups) {
            let is_named = self.recall_group(slot, mark.group.get());
            let Some(lost) = self.lost.get_mut(usize::from(slot)).filter(|_| is_named) else {
                return;
            };
            lost.hard_state = false;
            let Some(segment) = lost.entries_in else { continue };
            let compacted = self.compacted.get(usize::from(slot)).copied().unwrap_or_default();
            if mark.base.index > compacted.index {
                self.change(slot, Change::Compact(mark.base), segment, NOWHERE);
            }
            self.fill(slot, mark.last.index, Some(mark.last.term));
            if let Some((_, log)) = self.ledger.at_mut(slot)
                && log.last().index == mark.last.index
            {
                log.set_last_term(mark.last.term);
            }
        }
    }

    /// What was lost and not found again. `false` if no other server can give it back.
    pub(super) fn conclude(&mut self) -> bool {
        for (slot, lost) in (0..).zip(&self.lost) {
            if lost.hard_state {
                return false;
            }
            if let Some((_, log)) = self.ledger.at_mut(slot).filter(|_| lost.entries_in.is_some()) {
                log.doubts_mut().entries = true;
            }
        }
        true
    }

    fn truncate(&mut self, slot: Slot, from: LogIndex) -> bool {
        let Some((_, log)) = self.ledger.at_mut(slot) else { return false };
        if from > log.base().index {
            return log.apply(Change::Truncate(from));
        }
        let compacted = self.compacted.get(usize::from(slot)).copied().unwrap_or_default();
        if from <= compacted.index {
            return false;
        }
        // Some of the missing entries were removed: they need not be there.
        let is_compacted = from.prev() == compacted.index;
        let base = if is_compacted { compacted } else { LogId::new(Term::ZERO, from.prev()) };
        log.restart(base);
        log.doubts_mut().entries = false;
        true
    }

    fn compact(&mut self, slot: Slot, upto: LogId) -> bool {
        let Some(compacted) = self.compacted.get_mut(usize::from(slot)) else { return false };
        let Some((_, log)) = self.ledger.at_mut(slot) else { return false };
        *compacted = upto.max_by_index(*compacted);
        upto.index < log.base().index || log.apply(Change::Compact(upto))
    }

    fn repair(&mut self, slot: Slot, id: LogId, kind: EntryKind) -> bool {
        let Some((_, log)) = self.ledger.at_mut(slot) else { return false };
        let compacted = self.compacted.get(usize::from(slot)).copied().unwrap_or_default();
        // A missing entry stood in a segment that was deleted: a compaction follows its repair.
        let is_missing = compacted.index < id.index && id.index <= log.base().index;
        is_missing || log.apply(Change::Repair(id, kind))
    }

    /// Takes over what a sealed segment says; `false` if it does not fit.
    pub(super) fn absorb(&mut self, segment: u64, sections: &[SealedSection]) -> bool {
        let mut sections: Vec<_> = sections.iter().collect();
        sections.sort_unstable_by_key(|section| section.slot);
        sections.into_iter().all(|section| self.absorb_section(segment, section))
    }

    fn absorb_section(&mut self, segment: u64, section: &SealedSection) -> bool {
        let slot = section.slot;
        if !self.add_group(slot, section.group.get()) {
            return false;
        }
        if let Some(from) = section.truncated_from
            && !self.truncate(slot, from)
        {
            return false;
        }
        let Some((_, log)) = self.ledger.at_mut(slot) else { return false };
        if !section.offsets.is_empty() {
            if section.lo > log.last().index.next() {
                // The log was replaced by a snapshot within the segment.
                let base = LogId::new(Term::ZERO, section.lo.prev());
                log.restart(base);
            }
            log.extend(&section.runs, &section.memberships, section.last);
            let lost = section.offsets.iter().zip(0u64..).filter(|(offset, _)| **offset == 0);
            for (_, nth) in lost {
                let index = LogIndex::new(section.lo.get().saturating_add(nth));
                log.faults_mut().insert(index, index);
            }
        }
        log.apply(Change::HardState(section.hard_state));
        if !section.repairs.iter().all(|repaired| self.repair(slot, repaired.id, repaired.kind)) {
            return false;
        }
        self.places.absorb(segment, section);
        self.compact(slot, section.base)
    }

    /// The condition of `group`, as a checkpoint at this place would say it.
    pub(super) fn mark(&self, group: GroupId) -> Option<GroupMark> {
        let compacted = self.compacted.get(usize::from(self.ledger.slot(group)?))?;
        self.ledger.mark(group).map(|mark| GroupMark { base: *compacted, ..mark })
    }

    /// Notes that the newest write, of which nothing is left, may have been acknowledged.
    pub(super) fn doubt(&mut self) {
        for slot in 0..self.ledger.len() {
            let log = Slot::try_from(slot).ok().and_then(|slot| self.ledger.at_mut(slot));
            if let Some((_, log)) = log {
                log.doubts_mut().newest_write = true;
            }
        }
    }

    /// Adopts the hard states found behind the end of the log, where they are later.
    pub(super) fn join(&mut self, found: &[(Slot, Finding)]) {
        for (slot, finding) in found {
            match finding {
                Finding::Group(group) => {
                    self.add_group(*slot, *group);
                }
                Finding::HardState(state) => {
                    if let Some((_, log)) = self.ledger.at_mut(*slot) {
                        let joined = join_hard_states(log.hard_state(), *state);
                        log.apply(Change::HardState(joined));
                    }
                }
            }
        }
    }

    /// Whether every entry after the last compacted one is there.
    pub(super) fn is_complete(&self) -> bool {
        let mut groups = self.ledger.iter().zip(&self.compacted);
        groups.all(|((_, log), compacted)| *compacted == log.base())
    }
}

/// What a batch behind the end of the log says that is worth keeping.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finding {
    /// The slot belongs to the group with this id.
    Group(u64),
    /// Term and vote of the slot's group.
    HardState(HardState),
}

/// The later of two positions in one log.
trait MaxByIndex {
    fn max_by_index(self, other: Self) -> Self;
}

impl MaxByIndex for LogId {
    fn max_by_index(self, other: Self) -> Self {
        if self.index >= other.index { self } else { other }
    }
}
