//! One group's log without its entries: what is in it, and what may follow.

use raft_core::{EntryKind, GroupId, HardState, LogId, LogIndex, Term};

use crate::error::AppendError;
use crate::format::checkpoint::GroupMark;
use crate::format::record::{Change, Slot};
use crate::recovered::RecoveredGroup;
use crate::submit::Batch;

/// The extent, terms and memberships of one group's log, and its hard state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct GroupLog {
    hard_state: HardState,
    /// The last entry that was compacted away.
    base: LogId,
    last: LogId,
    /// First entry of each run of one term after `base`, ascending.
    runs: Vec<LogId>,
    /// Membership entries after `base`, ascending.
    memberships: Vec<LogIndex>,
}

impl GroupLog {
    /// An empty log after `base`.
    pub(crate) const fn new(base: LogId, hard_state: HardState) -> Self {
        Self { hard_state, base, last: base, runs: Vec::new(), memberships: Vec::new() }
    }

    pub(crate) const fn hard_state(&self) -> HardState {
        self.hard_state
    }

    pub(crate) const fn base(&self) -> LogId {
        self.base
    }

    pub(crate) const fn first(&self) -> LogIndex {
        self.base.index.next()
    }

    pub(crate) const fn last(&self) -> LogId {
        self.last
    }

    /// The term at `index`; known from `base` to `last`.
    pub(crate) fn term(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        if index < self.base.index || index > self.last.index {
            return None;
        }
        let after = self.runs.partition_point(|run| run.index <= index);
        self.runs.get(after.checked_sub(1)?).map(|run| run.term)
    }

    /// Whether `batch` may follow.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), AppendError> {
        if let Some(new) = batch.hard_state {
            check_hard_state(self.hard_state, new)?;
        }
        let mut last = self.last;
        if let Some(from) = batch.truncate_from.filter(|from| *from <= self.last.index) {
            let before = from.prev();
            let term = self.term(before).filter(|_| from > LogIndex::ZERO);
            let Some(term) = term else {
                return Err(AppendError::Compacted { from, first: self.first() });
            };
            last = LogId::new(term, before);
        }
        for entry in &batch.entries {
            if entry.id.index != last.index.next() {
                let expected = last.index.next();
                return Err(AppendError::OutOfOrder { expected, found: entry.id.index });
            }
            if entry.id.term < last.term {
                return Err(AppendError::TermFalls { predecessor: last.term, found: entry.id });
            }
            last = entry.id;
        }
        Ok(())
    }

    /// Carries out a change; `false` if it does not fit, and then nothing has changed.
    pub(crate) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Entry(id, kind) => return self.push(id, kind),
            Change::HardState(state) => self.hard_state = state,
            Change::Truncate(from) => return self.truncate(from),
            Change::Compact(upto) => self.compact(upto),
        }
        true
    }

    fn push(&mut self, id: LogId, kind: EntryKind) -> bool {
        if id.index != self.last.index.next() || id.term < self.last.term {
            return false;
        }
        if self.runs.last().is_none_or(|run| run.term < id.term) {
            self.runs.push(id);
        }
        if kind == EntryKind::Membership {
            self.memberships.push(id.index);
        }
        self.last = id;
        true
    }

    fn truncate(&mut self, from: LogIndex) -> bool {
        if from > self.last.index {
            return true;
        }
        if from <= self.base.index {
            return false;
        }
        let Some(term) = self.term(from.prev()) else { return false };
        self.last = LogId::new(term, from.prev());
        self.runs.truncate(self.runs.partition_point(|run| run.index < from));
        self.memberships.truncate(self.memberships.partition_point(|index| *index < from));
        true
    }

    /// Removes everything up to `upto`, which may lie past the end: then the log is empty.
    fn compact(&mut self, upto: LogId) {
        if upto.index < self.base.index {
            return;
        }
        if upto.index >= self.last.index {
            *self = Self::new(upto, self.hard_state);
            return;
        }
        // Now `base < upto < last`, or `base = upto` and nothing but the base's term may change.
        let first = upto.index.next();
        let first_term = self.term(first);
        self.runs.retain(|run| run.index > first);
        if let Some(term) = first_term {
            self.runs.insert(0, LogId::new(term, first));
        }
        self.memberships.retain(|index| *index >= first);
        self.base = upto;
    }

    /// Takes over what a sealed segment holds, without looking at each entry.
    pub(crate) fn extend(&mut self, runs: &[LogId], memberships: &[LogIndex], last: LogId) {
        for run in runs {
            if self.runs.last().is_none_or(|known| known.term < run.term) {
                self.runs.push(*run);
            }
        }
        self.memberships.extend_from_slice(memberships);
        self.last = last;
    }

    pub(crate) fn mark(&self, group: GroupId) -> GroupMark {
        GroupMark { group, base: self.base, last: self.last, hard_state: self.hard_state }
    }

    pub(crate) fn recovered(&self) -> RecoveredGroup {
        RecoveredGroup {
            hard_state: self.hard_state,
            first: self.first(),
            base: self.base,
            last: self.last,
            term_starts: self.runs.clone(),
            memberships: self.memberships.clone(),
        }
    }
}

fn check_hard_state(current: HardState, new: HardState) -> Result<(), AppendError> {
    let vote_stays = current.vote.is_none() || new.vote == current.vote;
    if new.term > current.term || (new.term == current.term && vote_stays) {
        Ok(())
    } else {
        Err(AppendError::HardStateFalls { current, new })
    }
}

/// The later of two hard states that were both written: the higher term, and within a term the
/// one with a vote.
///
/// Adopting a vote that was never acknowledged is safe; forgetting one that was is not.
pub(crate) fn join_hard_states(a: HardState, b: HardState) -> HardState {
    match a.term.cmp(&b.term) {
        std::cmp::Ordering::Less => b,
        std::cmp::Ordering::Greater => a,
        std::cmp::Ordering::Equal => HardState { term: a.term, vote: a.vote.or(b.vote) },
    }
}

/// All groups of a log at one position in it, each at its slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    groups: Vec<(GroupId, GroupLog)>,
    slots: std::collections::BTreeMap<GroupId, Slot>,
}

impl Ledger {
    /// How many groups one log can tell apart.
    pub(crate) const GROUPS_MAX: usize = 65_535;

    pub(crate) fn slot(&self, group: GroupId) -> Option<Slot> {
        self.slots.get(&group).copied()
    }

    /// Gives `group` the next slot; `None` if there is none left or it has one.
    pub(crate) fn add(&mut self, group: GroupId, log: GroupLog) -> Option<Slot> {
        if self.groups.len() >= Self::GROUPS_MAX || self.slots.contains_key(&group) {
            return None;
        }
        let slot = Slot::try_from(self.groups.len()).ok()?;
        self.groups.push((group, log));
        self.slots.insert(group, slot);
        Some(slot)
    }

    pub(crate) fn at(&self, slot: Slot) -> Option<&(GroupId, GroupLog)> {
        self.groups.get(usize::from(slot))
    }

    pub(crate) fn at_mut(&mut self, slot: Slot) -> Option<(GroupId, &mut GroupLog)> {
        self.groups.get_mut(usize::from(slot)).map(|(group, log)| (*group, log))
    }

    pub(crate) fn get(&self, group: GroupId) -> Option<&GroupLog> {
        self.slot(group).and_then(|slot| self.at(slot)).map(|(_, log)| log)
    }

    /// The groups in the order of their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(GroupId, GroupLog)> {
        self.groups.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// The condition of `group`; `None` if it has no slot.
    pub(crate) fn mark(&self, group: GroupId) -> Option<GroupMark> {
        self.get(group).map(|log| log.mark(group))
    }

    pub(crate) fn marks(&self) -> Vec<GroupMark> {
        self.groups.iter().map(|(group, log)| log.mark(*group)).collect()
    }
}
