//! What a server finds on its disk.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::config::ConfigError;
use crate::log::{Log, TermRuns};
use crate::membership::{Membership, MembershipHistory};
use crate::snapshot::SnapshotMeta;
use crate::types::{Entry, EntryPayload, HardState, LogId, LogIndex, NodeId, Term};

/// What a server found on its disk. Everything in it must be durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Restored {
    /// Term and vote.
    pub hard_state: HardState,
    /// The newest snapshot. The state machine must be as it says, or restored from it.
    ///
    /// It may be newer than the log: a crash came between the two. The server then begins the log
    /// after it.
    pub snapshot: Option<SnapshotMeta>,
    /// The entry before the first one in the log; [`LogId::ZERO`] unless the log was compacted. A
    /// log that was compacted needs a snapshot that reaches at least as far, or others who have one:
    /// see `faulty`.
    pub base: LogId,
    /// The first entry of each term in the log, in order.
    pub term_starts: Vec<LogId>,
    /// The last entry of the log; `base` if it is empty.
    pub last: LogId,
    /// The newest entries, up to `last`, as many as fit in memory; the rest will be fetched.
    pub tail: Vec<Entry>,
    /// The memberships in the log, each with the id of its entry, the oldest first. At least one,
    /// unless there is a snapshot.
    pub memberships: Vec<(LogId, Membership)>,
    /// Entries in the log, or after its end, that cannot be read: damaged, not torn. Ascending.
    /// `tail` begins after the last of them, and `memberships` are those that can be read.
    ///
    /// The server asks others for them, and has a part in elections and commitment only as far as
    /// it is sound without them.
    ///
    /// Those from the first one up to `base` say that the snapshot is lost which had them: `snapshot`
    /// is then `None`, the state machine as it was made, and the first of `memberships` the one of
    /// that snapshot, or one that names somebody who may have another. The server fetches that before
    /// it applies anything or campaigns. It votes and acknowledges: its log is what it was.
    pub faulty: Vec<Faulty>,
    /// Whether the newest write may be lost although it was reported durable: entries after `last`
    /// that may have been acknowledged, or a truncation before them. It must stay so, restart after
    /// restart, until a [`Write`](crate::Write) settles it.
    ///
    /// The server takes part in everything, but its vote counts only if every voter gives one, until
    /// a leader has said how far it may have acknowledged entries, and it has those. Term and vote are
    /// *not* in doubt: a log must keep them in a way that survives the loss.
    pub is_in_doubt: bool,
    /// Whether the server may start without what nobody can give back.
    pub on_loss: OnLoss,
}

/// Entries that may have been acknowledged and cannot be read.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Faulty {
    /// The first of them.
    pub first: LogIndex,
    /// The last of them; `None` if it is not known how many there were.
    pub last: Option<LogIndex>,
    /// Their term, if it is known.
    pub term: Option<Term>,
}

/// What to do about entries that are lost for good.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum OnLoss {
    /// Do not start, and say what is lost.
    Refuse,
    /// Go on with what comes before them. An operator has to say that: what was acknowledged to
    /// clients may be gone.
    Accept,
}

/// What a server starts from, once it is checked.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) hard_state: HardState,
    pub(crate) log: Log,
    pub(crate) memberships: MembershipHistory,
    pub(crate) snapshot: Option<SnapshotMeta>,
    pub(crate) damage: Damage,
    pub(crate) is_in_doubt: bool,
}

/// What is damaged of a log, and what follows from it.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Whether the state before the log is to be had from others.
    pub(crate) lacks_state: bool,
    /// Entries whose bytes are to be had from others.
    pub(crate) lost: BTreeSet<LogIndex>,
    /// Where the log is to be cut off.
    pub(crate) cut: Option<LogIndex>,
}

/// Why a server cannot start.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// Nobody can give back what is lost: no other server votes, or it is not known which entries
    /// they were. [`OnLoss::Accept`] starts without them, and without all that follows them.
    #[error("entries of the log are damaged and cannot be repaired from others: {faulty:?}")]
    EntriesLost {
        /// What is lost.
        faulty: Vec<Faulty>,
    },
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log begins after entries that are in no snapshot: the state machine lacks them. The
    /// snapshots were removed, or belong to another server; or they are damaged, and no other server
    /// votes.
    #[error("the log begins after {base}, but the newest snapshot ends at {snapshot:?}")]
    SnapshotMissing {
        /// The entry before the first one in the log.
        base: LogId,
        /// Where the newest snapshot ends, if there is one.
        snapshot: Option<LogId>,
    },
    /// The log and what was said about it differ.
    #[error("the restored log is inconsistent: {what}")]
    Inconsistent {
        /// What differs.
        what: &'static str,
    },
}

impl Restored {
    /// The state in which every founding member of a cluster starts: one entry, the membership.
    ///
    /// All founding members must start with the same membership. `hard_state` and `tail` must be
    /// made durable before the server starts.
    #[must_use]
    pub fn bootstrap(membership: Membership) -> Self {
        // Nobody leads the first term: the entry is in every founding member's log beforehand.
        let term = Term::new(1);
        let id = LogId { term, index: LogIndex::new(1) };
        let payload = EntryPayload::Membership(Box::new(membership.clone()));
        Self {
            hard_state: HardState { term, vote: None },
            snapshot: None,
            base: LogId::ZERO,
            term_starts: Vec::from([id]),
            last: id,
            tail: Vec::from([Entry { id, payload }]),
            memberships: Vec::from([(id, membership)]),
            faulty: Vec::new(),
            is_in_doubt: false,
            on_loss: OnLoss::Refuse,
        }
    }

    /// The state of a server that is to join a cluster: an empty log.
    ///
    /// `members` are those of the cluster as far as anybody knows, without the server itself: it is
    /// a member as soon as the log says so, which it receives from the leader. A server that has
    /// received nothing when it restarts starts like this again.
    #[must_use]
    pub fn joining(members: Membership) -> Self {
        Self {
            hard_state: HardState::default(),
            snapshot: None,
            base: LogId::ZERO,
            term_starts: Vec::new(),
            last: LogId::ZERO,
            tail: Vec::new(),
            memberships: Vec::from([(LogId::ZERO, members)]),
            faulty: Vec::new(),
            is_in_doubt: false,
            on_loss: OnLoss::Refuse,
        }
    }

    /// The state of a server whose whole log is `entries`, the first at index 1.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Inconsistent`] if indexes leave gaps or terms fall.
    pub fn from_entries(hard_state: HardState, entries: Vec<Entry>) -> Result<Self, RestoreError> {
        let mut terms = TermRuns::new(LogId::ZERO);
        let mut restored = Self {
            hard_state,
            snapshot: None,
            base: LogId::ZERO,
            term_starts: Vec::new(),
            last: LogId::ZERO,
            tail: Vec::new(),
            memberships: Vec::new(),
            faulty: Vec::new(),
            is_in_doubt: false,
            on_loss: OnLoss::Refuse,
        };
        for entry in &entries {
            if entry.id.term > terms.last().term {
                restored.term_starts.push(entry.id);
            }
            if !terms.push(entry.id) {
                return Err(RestoreError::Inconsistent { what: "entries are out of order" });
            }
            if let EntryPayload::Membership(membership) = &entry.payload {
                restored.memberships.push((entry.id, (**membership).clone()));
            }
        }
        Ok(Self { last: terms.last(), tail: entries, ..restored })
    }

    pub(crate) fn check(mut self, id: NodeId) -> Result<Start, RestoreError> {
        let wrong = |what| RestoreError::Inconsistent { what };
        let lacks_state = self.take_lost_state();
        if !lacks_state {
            self.check_snapshot()?;
        }
        self.name_end_of_snapshot();
        let terms = self.terms().ok_or_else(|| wrong("the terms are out of order"))?;
        let in_log = |id: LogId| id.index <= self.base.index || terms.id_at(id.index) == Some(id);
        if !self.memberships.iter().all(|&(id, _)| in_log(id)) {
            return Err(wrong("it holds a membership whose entry is not in the log"));
        }
        let memberships = self.take_memberships();
        let memberships = MembershipHistory::new(memberships)
            .ok_or_else(|| wrong("it holds no membership; was the cluster bootstrapped?"))?;
        let indexes_follow = self.tail.is_sorted_by(|a, b| a.id.index.next() == b.id.index);
        let known = self.tail.iter().all(|entry| terms.id_at(entry.id.index) == Some(entry.id));
        let ends = self.tail.last().is_none_or(|entry| entry.id == self.last);
        if !indexes_follow || !known || !ends {
            return Err(wrong("the tail is not the end of the log"));
        }
        let snapshot_term = self.snapshot.as_ref().map_or(Term::ZERO, |s| s.last.term);
        if self.last.term > self.hard_state.term.max(snapshot_term) {
            return Err(wrong("the log is of a later term than the hard state"));
        }
        let alone = is_alone(memberships.current(), id);
        if lacks_state && alone {
            return Err(self.snapshot_missing());
        }
        let damage = Damage { lacks_state, ..self.damage(&terms, alone)? };
        let Self { hard_state, snapshot, tail, is_in_doubt, .. } = self;
        let log = Log::new(terms, tail.into());
        Ok(Start { hard_state, log, memberships, snapshot, damage, is_in_doubt })
    }

    /// What to do about entries that cannot be read; those that the snapshot has are no loss.
    fn damage(&self, terms: &TermRuns, alone: bool) -> Result<Damage, RestoreError> {
        let covered = self.snapshot.as_ref().map_or(self.base.index, |s| s.last.index);
        let missing = |f: &&Faulty| f.last.is_none_or(|last| last > covered);
        let faulty: Vec<_> = self.faulty.iter().filter(missing).copied().collect();
        let ordered = faulty.iter().all(|f| f.last.is_none_or(|last| f.first <= last));
        let in_log = |f: &Faulty| f.term.is_none() || f.last.is_some_and(|l| l <= self.last.index);
        let read_back = self.tail.first().map_or_else(|| self.last.index.next(), |e| e.id.index);
        let behind = |f: &Faulty| f.last.is_some_and(|last| last >= read_back);
        if !ordered || !faulty.iter().all(in_log) || self.faulty.iter().any(behind) {
            let what = "the tail holds entries that are said to be damaged";
            return Err(RestoreError::Inconsistent { what });
        }
        let named = |f: &Faulty| {
            f.last.is_some_and(|last| {
                let of_term = |index| terms.id_at(index).map(|id| id.term) == f.term;
                f.term.is_some() && of_term(f.first) && of_term(last)
            })
        };
        let Some(first) = faulty.iter().map(|f| f.first.max(covered.next())).min() else {
            return Ok(Damage { lost: self.lost_until(covered), ..Damage::default() });
        };
        if !alone && faulty.iter().all(named) {
            return Ok(Damage { lost: self.lost_until(self.last.index), ..Damage::default() });
        }
        match self.on_loss {
            OnLoss::Refuse => Err(RestoreError::EntriesLost { faulty }),
            OnLoss::Accept => {
                let (lost, cut) = (self.lost_until(first.prev()), Some(first));
                Ok(Damage { lost, cut, ..Damage::default() })
            }
        }
    }

    /// The entries up to `upto` that cannot be read.
    fn lost_until(&self, upto: LogIndex) -> BTreeSet<LogIndex> {
        let mut lost = BTreeSet::new();
        for f in &self.faulty {
            let mut index = f.first.max(self.base.index.next());
            while index <= f.last.unwrap_or(upto).min(upto) {
                lost.insert(index);
                index = index.next();
            }
        }
        lost
    }

    /// Takes the entries before the log out of `faulty`; whether they were in there, and no snapshot
    /// has them.
    fn take_lost_state(&mut self) -> bool {
        let upto = self.base.index;
        let is_before = |f: &Faulty| f.first <= upto;
        let is_all = |f: &&Faulty| f.first <= LogIndex::ZERO.next() && f.last >= Some(upto);
        let lacks_state = self.snapshot.is_none() && self.faulty.first().filter(is_all).is_some();
        for f in self.faulty.iter_mut().filter(|f| is_before(f)) {
            f.first = upto.next();
        }
        self.faulty.retain(|f| f.last.is_none_or(|last| f.first <= last));
        lacks_state && upto > LogIndex::ZERO
    }

    /// The log may have lost the entry at the snapshot's end, and not know its term, and takes that for
    /// the one before. It is the snapshot's, unless what follows is of an earlier term: a log that was
    /// taken to differ there would be given up, with what follows, which may have been acknowledged.
    fn name_end_of_snapshot(&mut self) {
        let Some(end) = self.snapshot.as_ref().map(|snapshot| snapshot.last) else { return };
        let is_it = |f: &Faulty| f.first <= end.index && f.last.is_some_and(|l| end.index <= l);
        if !self.faulty.iter().any(|f| f.term.is_none() && is_it(f)) {
            return;
        }
        let nth = self.term_starts.partition_point(|start| start.index <= end.index);
        let before = nth.checked_sub(1).and_then(|nth| self.term_starts.get(nth));
        let follows = before.map_or(self.base.term, |start| start.term) < end.term;
        // The next entry is there: if it were lost as well, and nameless, the server would not start.
        match self.term_starts.get_mut(nth).filter(|next| next.index == end.index.next()) {
            Some(next) if follows && next.term == end.term => *next = end,
            Some(next) if follows && next.term > end.term => self.term_starts.insert(nth, end),
            Some(_) | None => {}
        }
    }

    fn snapshot_missing(&self) -> RestoreError {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.last);
        RestoreError::SnapshotMissing { base: self.base, snapshot }
    }

    fn check_snapshot(&self) -> Result<(), RestoreError> {
        let Self { base, snapshot, .. } = self;
        let base = *base;
        let last = snapshot.as_ref().map(|snapshot| snapshot.last);
        if last.unwrap_or_default().index < base.index {
            return Err(self.snapshot_missing());
        }
        let at_base = last.is_none_or(|last| last.index > base.index || last == base);
        if !at_base || snapshot.as_ref().is_some_and(|snapshot| !snapshot.is_possible()) {
            return Err(RestoreError::Inconsistent { what: "the snapshot is not of this log" });
        }
        Ok(())
    }

    /// The memberships from the snapshot's on. Nothing before it is taken back any more.
    fn take_memberships(&mut self) -> Vec<(LogId, Membership)> {
        let memberships = core::mem::take(&mut self.memberships);
        let Some(snapshot) = &self.snapshot else { return memberships };
        let first = (snapshot.membership_id, snapshot.membership.clone());
        let after = |(id, _): &(LogId, Membership)| id.index > snapshot.membership_id.index;
        core::iter::once(first).chain(memberships.into_iter().filter(after)).collect()
    }

    fn terms(&self) -> Option<TermRuns> {
        let mut terms = TermRuns::new(self.base);
        for &start in &self.term_starts {
            let before = start.index.prev();
            let in_place = before >= terms.last().index && terms.extend_to(before);
            if !in_place || !terms.push(start) {
                return None;
            }
        }
        let ends = terms.extend_to(self.last.index) && terms.last() == self.last;
        ends.then_some(terms)
    }
}

/// Whether nobody else votes.
fn is_alone(membership: &Membership, id: NodeId) -> bool {
    membership.is_voter(id) && membership.quorum().voters().all(|voter| voter == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: NodeId = NodeId::new(1).unwrap();

    fn id(index: u64, term: u64) -> LogId {
        LogId::new(Term::new(term), LogIndex::new(index))
    }

    fn bootstrapped() -> Restored {
        Restored::bootstrap(Membership::of_voters([(ONE, "a:1")]).unwrap())
    }

    fn snapshot(last: LogId) -> SnapshotMeta {
        let (membership_id, membership) = bootstrapped().memberships.remove(0);
        SnapshotMeta { last, membership_id, membership }
    }

    #[test]
    fn a_compacted_log_needs_a_snapshot_that_reaches_as_far() {
        let compacted = |snapshot| Restored {
            base: id(10, 1),
            snapshot,
            term_starts: Vec::new(),
            last: id(10, 1),
            tail: Vec::new(),
            memberships: Vec::new(),
            ..bootstrapped()
        };
        let missing = |snapshot: Option<LogId>| {
            let found = snapshot.map(self::snapshot);
            let error = RestoreError::SnapshotMissing { base: id(10, 1), snapshot };
            assert_eq!(compacted(found).check(ONE).unwrap_err(), error);
        };

        missing(None);
        missing(Some(id(9, 1)));
        assert!(compacted(Some(snapshot(id(10, 1)))).check(ONE).is_ok());
    }

    #[test]
    fn a_compacted_log_without_a_tail_restores_its_terms() {
        let restored = Restored {
            base: id(10, 3),
            snapshot: Some(snapshot(id(10, 3))),
            memberships: Vec::new(),
            hard_state: HardState { term: Term::new(7), vote: None },
            term_starts: Vec::from([id(11, 3), id(15, 6)]),
            last: id(20, 6),
            tail: Vec::new(),
            ..bootstrapped()
        };

        let log = restored.check(ONE).unwrap().log;

        assert_eq!(log.id_at(LogIndex::new(14)), Some(id(14, 3)));
        assert_eq!(log.id_at(LogIndex::new(20)), Some(id(20, 6)));
        assert_eq!(log.last(), id(20, 6));
    }

    /// What a log says that has lost entry 3, and does not know its term.
    fn nameless_at_the_end_of(snapshot: SnapshotMeta, after: LogId) -> Restored {
        let [first, last] = [LogIndex::new(3); 2];
        Restored {
            faulty: Vec::from([Faulty { first, last: Some(last), term: None }]),
            snapshot: Some(snapshot),
            memberships: Vec::new(),
            hard_state: HardState { term: Term::new(7), vote: None },
            term_starts: Vec::from([id(1, 1), after]),
            last: LogId { index: LogIndex::new(5), ..after },
            tail: Vec::new(),
            ..bootstrapped()
        }
    }

    #[test]
    fn a_lost_entry_at_the_snapshots_end_is_the_snapshots_and_what_follows_stays() {
        for after in [id(4, 2), id(4, 3)] {
            let restored = nameless_at_the_end_of(snapshot(id(3, 2)), after);

            let log = restored.check(ONE).unwrap().log;

            assert_eq!(log.id_at(LogIndex::new(2)), Some(id(2, 1)));
            assert_eq!(log.id_at(LogIndex::new(3)), Some(id(3, 2)));
            assert_eq!(log.id_at(LogIndex::new(4)), Some(after));
            assert_eq!(log.last(), LogId { index: LogIndex::new(5), ..after });
        }
    }

    #[test]
    fn a_lost_entry_before_one_that_is_there_and_of_the_term_before_is_not_the_snapshots() {
        let restored = nameless_at_the_end_of(snapshot(id(3, 2)), id(5, 2));

        let log = restored.check(ONE).unwrap().log;

        assert_eq!(log.id_at(LogIndex::new(3)), Some(id(3, 1)));
    }

    #[test]
    fn a_lost_entry_before_one_of_an_earlier_term_is_not_the_snapshots() {
        let restored = nameless_at_the_end_of(snapshot(id(3, 5)), id(4, 2));

        let log = restored.check(ONE).unwrap().log;

        assert_eq!(log.id_at(LogIndex::new(3)), Some(id(3, 1)));
    }

    #[test]
    fn a_tail_that_is_not_the_end_of_the_log_is_refused() {
        let restored = Restored { last: id(2, 1), ..bootstrapped() };

        assert!(matches!(restored.check(ONE), Err(RestoreError::Inconsistent { .. })));
    }

    #[test]
    fn a_log_without_membership_is_refused() {
        let restored = Restored { memberships: Vec::new(), ..bootstrapped() };

        assert!(matches!(restored.check(ONE), Err(RestoreError::Inconsistent { .. })));
    }

    #[test]
    fn a_membership_whose_entry_is_not_in_the_log_is_refused() {
        let mut restored = bootstrapped();
        restored.memberships[0].0 = id(1, 0);

        assert!(matches!(restored.check(ONE), Err(RestoreError::Inconsistent { .. })));
    }
}
