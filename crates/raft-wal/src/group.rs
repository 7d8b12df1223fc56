//! One group's log without its entries: what is in it, and what may follow.

use raft_core::{EntryKind, GroupId, HardState, LogId, LogIndex, Term};

use crate::error::AppendError;
use crate::faults::Faults;
use crate::format::checkpoint::{Doubts, GroupMark};
use crate::format::record::{Change, Slot};
use crate::recovered::{Faulty, RecoveredGroup};
use crate::submit::Batch;

/// The extent, terms and memberships of one group's log, and its hard state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct GroupLog {
    hard_state: HardState,
    /// The last entry that was compacted away.
    base: LogId,
    last: LogId,
    /// First entry of each run of one term after `base`, ascending; a term of zero is not known.
    runs: Vec<LogId>,
    /// Membership entries after `base`, ascending.
    memberships: Vec<LogIndex>,
    /// Entries that are known to have been written and cannot be read.
    faults: Faults,
    doubts: Doubts,
}

impl GroupLog {
    /// An empty log after `base`.
    pub(crate) const fn new(base: LogId, hard_state: HardState) -> Self {
        Self {
            hard_state,
            base,
            last: base,
            runs: Vec::new(),
            memberships: Vec::new(),
            faults: Faults::new(),
            doubts: Doubts::NONE,
        }
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
        self.runs.get(self.run_of(index)?).map(|run| run.term).filter(|term| *term > Term::ZERO)
    }

    /// Which run `index` belongs to.
    fn run_of(&self, index: LogIndex) -> Option<usize> {
        self.runs.partition_point(|run| run.index <= index).checked_sub(1)
    }

    /// The term at `index`, or if that is not known, the one before that is.
    fn term_at_least(&self, index: LogIndex) -> Term {
        let upto = self.runs.partition_point(|run| run.index <= index);
        let runs = self.runs.get(..upto).unwrap_or_default();
        runs.iter().map(|run| run.term).max().unwrap_or_default().max(self.base.term)
    }

    /// The term at `index`, or if that is not known, the next one that is.
    fn term_at_most(&self, index: LogIndex) -> Option<Term> {
        let runs = self.runs.get(self.run_of(index)?..)?;
        runs.iter().map(|run| run.term).find(|term| *term > Term::ZERO)
    }

    pub(crate) const fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    pub(crate) const fn doubts(&self) -> Doubts {
        self.doubts
    }

    pub(crate) const fn doubts_mut(&mut self) -> &mut Doubts {
        &mut self.doubts
    }

    /// Takes it that nothing is missing behind the end.
    pub(crate) fn settle_doubt(&mut self) {
        self.truncate(self.last.index.next());
    }

    /// Whether `batch` may follow.
    pub(crate) fn check(&self, batch: &Batch) -> Result<(), AppendError> {
        if let Some(new) = batch.hard_state {
            check_hard_state(self.hard_state, new)?;
        }
        let mut last = self.last;
        if let Some(from) = batch.truncate_from.filter(|from| *from <= self.last.index) {
            if from <= self.base.index {
                return Err(AppendError::Compacted { from, first: self.first() });
            }
            last = LogId::new(self.term_at_least(from.prev()), from.prev());
        }
        if !batch.repairs.is_empty() {
            last = self.check_repairs(batch)?;
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

    /// Whether the repairs of `batch` may be made, one after the other: each narrows what the terms
    /// beside it can be. Returns the last entry before those that the batch appends.
    fn check_repairs(&self, batch: &Batch) -> Result<LogId, AppendError> {
        let mut log = self.clone();
        if let Some(from) = batch.truncate_from {
            log.truncate(from);
        }
        for entry in &batch.repairs {
            log.check_repair(entry.id)?;
            log.repair(entry.id, entry.payload.kind());
        }
        Ok(log.last)
    }

    /// Whether `id` may be what stands at its index.
    fn check_repair(&self, id: LogId) -> Result<(), AppendError> {
        let is_there = self.base.index < id.index && id.index <= self.last.index;
        let at_most = self.term_at_most(id.index).unwrap_or(id.term);
        let terms = self.term_at_least(id.index)..=at_most;
        if is_there && terms.contains(&id.term) {
            return Ok(());
        }
        let expected = self.term(id.index).filter(|_| is_there);
        Err(AppendError::OtherEntry { found: id, expected })
    }

    /// Carries out a change; `false` if it does not fit, and then nothing has changed.
    pub(crate) fn apply(&mut self, change: Change) -> bool {
        match change {
            Change::Entry(id, kind) => return self.push(id, kind),
            Change::HardState(state) => self.hard_state = state,
            Change::Repair(id, kind) => return self.repair(id, kind),
            Change::Truncate(from) => return self.truncate(from),
            Change::Compact(upto) => self.compact(upto),
        }
        true
    }

    fn push(&mut self, id: LogId, kind: EntryKind) -> bool {
        if id.index != self.last.index.next() || id.term < self.last.term {
            return false;
        }
        self.begin_run(id);
        if kind == EntryKind::Membership {
            self.memberships.push(id.index);
        }
        self.last = id;
        true
    }

    fn begin_run(&mut self, id: LogId) {
        if self.runs.last().is_none_or(|run| run.term != id.term) {
            self.runs.push(id);
        }
    }

    /// Appends entries up to `upto` that are lost; of their term no more may be known than that it
    /// is not smaller than the one before.
    pub(crate) fn push_lost(&mut self, upto: LogIndex, term: Option<Term>) {
        if upto <= self.last.index {
            return;
        }
        let first = self.last.index.next();
        self.begin_run(LogId::new(term.unwrap_or_default(), first));
        self.faults.insert(first, upto);
        self.last = LogId::new(term.unwrap_or(self.last.term), upto);
    }

    /// Believes in a last entry of which more is known than that it is there.
    pub(crate) const fn set_last_term(&mut self, term: Term) {
        self.last = LogId::new(term, self.last.index);
    }

    fn repair(&mut self, id: LogId, kind: EntryKind) -> bool {
        if self.check_repair(id).is_err() {
            return false;
        }
        self.faults.remove(id.index);
        self.learn(id, kind);
        true
    }

    /// Takes note of a repair that waits to be written: the entry stays faulty until it is.
    pub(crate) fn expect_repair(&mut self, id: LogId, kind: EntryKind) {
        if self.faults.contains(id.index) {
            self.learn(id, kind);
        }
    }

    fn learn(&mut self, id: LogId, kind: EntryKind) {
        if self.term(id.index).is_none() {
            self.learn_term(id);
        }
        let at = self.memberships.partition_point(|index| *index < id.index);
        let is_listed = self.memberships.get(at) == Some(&id.index);
        match kind {
            EntryKind::Membership if !is_listed => self.memberships.insert(at, id.index),
            EntryKind::Command | EntryKind::Noop if is_listed => drop(self.memberships.remove(at)),
            EntryKind::Membership | EntryKind::Command | EntryKind::Noop => {}
        }
    }

    /// Notes the term of an entry within a run of which it is not known.
    fn learn_term(&mut self, id: LogId) {
        let Some(nth) = self.run_of(id.index) else { return };
        let Some(&run) = self.runs.get(nth) else { return };
        let end = self.runs.get(nth + 1).map_or(self.last.index, |next| next.index.prev());
        let before = (run.index < id.index).then_some(run);
        let after = (id.index < end).then(|| LogId::new(run.term, id.index.next()));
        self.runs.splice(nth..=nth, before.into_iter().chain([id]).chain(after));
        self.runs.dedup_by(|run, before| run.term == before.term);
        if id.index == self.last.index {
            self.last = id;
        }
    }

    fn truncate(&mut self, from: LogIndex) -> bool {
        let end = self.last.index.next();
        self.doubts.entries &= from > end;
        // That of all that is there nothing is removed means that nothing was behind it. Another
        // truncation may be a leader's whom this server had acknowledged more than it has sent yet.
        self.doubts.newest_write &= from != end;
        if from > self.last.index {
            return true;
        }
        if from <= self.base.index {
            return false;
        }
        self.last = LogId::new(self.term_at_least(from.prev()), from.prev());
        self.faults.truncate(from);
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
            self.restart(upto);
            return;
        }
        // Now `base < upto < last`, or `base = upto` and nothing but the base's term may change.
        let first = upto.index.next();
        let first_term = self.run_of(first).and_then(|n| self.runs.get(n)).map(|run| run.term);
        self.runs.retain(|run| run.index > first);
        if let Some(term) = first_term {
            self.runs.insert(0, LogId::new(term, first));
        }
        self.memberships.retain(|index| *index >= first);
        self.faults.compact(upto.index);
        self.base = upto;
    }

    /// Begins an empty log after `base`; the hard state and the doubts stay.
    pub(crate) fn restart(&mut self, base: LogId) {
        *self = Self { doubts: self.doubts, ..Self::new(base, self.hard_state) };
    }

    /// Takes over what a sealed segment holds, without looking at each entry.
    pub(crate) fn extend(&mut self, runs: &[LogId], memberships: &[LogIndex], last: LogId) {
        for run in runs {
            self.begin_run(*run);
        }
        self.memberships.extend_from_slice(memberships);
        self.last = last;
    }

    pub(crate) fn mark(&self, group: GroupId) -> GroupMark {
        GroupMark {
            group,
            base: self.base,
            last: self.last,
            hard_state: self.hard_state,
            doubts: self.doubts,
        }
    }

    pub(crate) fn recovered(&self) -> RecoveredGroup {
        RecoveredGroup {
            hard_state: self.hard_state,
            first: self.first(),
            base: self.base,
            last: self.last,
            term_starts: self.term_starts(),
            memberships: self.memberships.clone(),
            faulty: self.faulty(),
            is_in_doubt: self.doubts.newest_write,
        }
    }

    /// The runs, with terms that are not known taken for the one before.
    fn term_starts(&self) -> Vec<LogId> {
        let mut starts: Vec<LogId> = Vec::new();
        for run in &self.runs {
            let before = starts.last().map_or(self.base.term, |start| start.term);
            let term = run.term.max(before).max(Term::ZERO.next());
            if starts.last().is_none_or(|start| start.term != term) {
                starts.push(LogId::new(term, run.index));
            }
        }
        starts
    }

    fn faulty(&self) -> Vec<Faulty> {
        let mut faulty = Vec::new();
        for range in self.faults.iter() {
            let mut first = *range.start();
            while first <= *range.end() {
                let next = self.run_of(first).and_then(|nth| self.runs.get(nth + 1));
                let last = next.map(|run| run.index.prev()).unwrap_or_else(|| *range.end());
                let last = last.min(*range.end());
                faulty.push(Faulty { first, last: Some(last), term: self.term(first) });
                first = last.next();
            }
        }
        if self.doubts.entries {
            faulty.push(Faulty { first: self.last.index.next(), last: None, term: None });
        }
        faulty
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
