//! What the tests share: a model of the log, and shorthands.

pub(crate) mod world;

use bytes::Bytes;
use raft_core::{
    ClusterId, Entry, EntryKind, EntryPayload, GroupId, HardState, LogId, LogIndex, Membership,
    NodeId, Term,
};
use raft_wal::disk::Disk;
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Identity, Log, OpenError, Options, ReadError, Recovered, RecoveredGroup};

pub(crate) const GROUP: GroupId = GroupId::FIRST;
pub(crate) const SEGMENT_BYTES: u64 = 64 << 10;

pub(crate) fn identity() -> Identity {
    Identity { cluster: ClusterId::new([7; 16]), node: node(1) }
}

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Small segments and caches, so that little data crosses every boundary.
pub(crate) fn options() -> Options {
    Options { segment_bytes: SEGMENT_BYTES, tail_cache_bytes_max: 4 << 10, ..Options::default() }
}

pub(crate) fn open(disk: &SimDisk) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    Log::open(disk.clone(), identity(), options())
}

pub(crate) fn index(n: u64) -> LogIndex {
    LogIndex::new(n)
}

pub(crate) fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

pub(crate) fn command(index: u64, term: u64, len: usize) -> Entry {
    let byte = |n: usize| u8::try_from((n as u64 + index * 31 + term * 7) % 251).unwrap();
    let payload = EntryPayload::Command((0..len).map(byte).collect::<Bytes>());
    Entry { id: id(index, term), payload }
}

pub(crate) fn membership(index: u64, term: u64) -> Entry {
    let membership = Membership::of_voters([(node(1), "a:1"), (node(2), "b:2")]).unwrap();
    Entry { id: id(index, term), payload: EntryPayload::Membership(Box::new(membership)) }
}

pub(crate) fn batch(entries: impl IntoIterator<Item = Entry>) -> Batch {
    Batch { entries: entries.into_iter().collect(), ..Batch::new(GROUP) }
}

pub(crate) fn state(term: u64, vote: Option<u64>) -> HardState {
    HardState { term: Term::new(term), vote: vote.map(node) }
}

pub(crate) fn vote(term: u64, vote: u64) -> Batch {
    Batch { hard_state: Some(state(term, Some(vote))), ..Batch::new(GROUP) }
}

/// All entries of the first group.
pub(crate) fn all_entries<D: Disk>(log: &Log<D>) -> Vec<Entry> {
    entries_of(log, GROUP).unwrap()
}

pub(crate) fn entries_of<D: Disk>(log: &Log<D>, group: GroupId) -> Result<Vec<Entry>, ReadError> {
    let (first, last) = (log.first_index(group), log.last_index(group));
    if first > last {
        return Ok(Vec::new());
    }
    let entries = log.entries(group, first..=last, usize::MAX / 2)?;
    assert_eq!(entries.last().map(|e| e.id.index), Some(last));
    Ok(entries)
}

/// What a group's log should be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Model {
    pub(crate) hard_state: HardState,
    pub(crate) base: LogId,
    pub(crate) entries: Vec<Entry>,
}

impl Model {
    pub(crate) fn last(&self) -> LogId {
        self.entries.last().map_or(self.base, |entry| entry.id)
    }

    pub(crate) fn apply(&mut self, batch: &Batch) {
        self.hard_state = batch.hard_state.unwrap_or(self.hard_state);
        if let Some(from) = batch.truncate_from {
            self.entries.retain(|entry| entry.id.index < from);
        }
        self.entries.extend(batch.entries.iter().cloned());
    }

    pub(crate) fn compact(&mut self, upto: LogId) {
        if upto.index <= self.base.index {
            return;
        }
        let conflicts = self.entries.iter().any(|e| e.id.index == upto.index && e.id != upto);
        self.entries.retain(|entry| !conflicts && entry.id.index > upto.index);
        self.base = upto;
    }

    pub(crate) fn recovered(&self) -> RecoveredGroup {
        let mut term_starts: Vec<LogId> = Vec::new();
        for entry in &self.entries {
            if term_starts.last().is_none_or(|start| start.term < entry.id.term) {
                term_starts.push(entry.id);
            }
        }
        let is_membership = |e: &&Entry| e.payload.kind() == EntryKind::Membership;
        RecoveredGroup {
            hard_state: self.hard_state,
            first: self.base.index.next(),
            base: self.base,
            last: self.last(),
            term_starts,
            faulty: Vec::new(),
            is_in_doubt: false,
            memberships: self.entries.iter().filter(is_membership).map(|e| e.id.index).collect(),
        }
    }
}

/// One step of a program that uses a log.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Append so many entries of such a size, in a term so much higher.
    Append {
        count: u64,
        len: usize,
        term_up: u64,
    },
    /// A membership entry.
    Membership,
    /// Vote, in a term so much higher.
    Vote {
        term_up: u64,
    },
    /// Replace the last so many entries, in a higher term, with one new term in the same batch.
    Replace {
        back: u64,
        count: u64,
        len: usize,
    },
    /// Drop so many parts in 8 of the log.
    Compact {
        eighths: u64,
    },
    /// A snapshot beyond the log, or with another term.
    Install {
        ahead: u64,
        term_up: u64,
    },
    Flush,
    Idle,
    Close,
}

/// What `step` submits, in the state of `model`; `None` for steps that submit nothing.
pub(crate) fn submission(model: &Model, step: &Step) -> Option<Submission> {
    let term = model.last().term.get().max(model.hard_state.term.get()).max(1);
    let next = model.last().index.get() + 1;
    let run = |from: u64, count: u64, term: u64, len: usize| {
        (from..from + count).map(move |n| command(n, term, len))
    };
    Some(match *step {
        Step::Append { count, len, term_up } => {
            Submission::Batch(batch(run(next, count, term + term_up, len)))
        }
        Step::Membership => Submission::Batch(batch([membership(next, term)])),
        Step::Vote { term_up } => {
            let vote = if term_up == 0 {
                model.hard_state.vote.or_else(|| Some(node(2)))
            } else {
                Some(node(3))
            };
            let term = Term::new(model.hard_state.term.get() + term_up);
            let hard_state = Some(HardState { term, vote });
            Submission::Batch(Batch { hard_state, ..Batch::new(GROUP) })
        }
        Step::Replace { back, count, len } => {
            let from = next.saturating_sub(back).max(model.base.index.get() + 1);
            let term = term + 1;
            let vote = None;
            Submission::Batch(Batch {
                hard_state: Some(HardState { term: Term::new(term), vote }),
                truncate_from: Some(index(from)),
                entries: run(from, count, term, len).collect(),
                ..Batch::new(GROUP)
            })
        }
        Step::Compact { eighths } => {
            let nth = model.entries.len() as u64 * eighths / 8;
            let entry = model.entries.get(usize::try_from(nth).unwrap().checked_sub(1)?)?;
            Submission::Compact(entry.id)
        }
        Step::Install { ahead, term_up } => {
            Submission::Compact(id(model.last().index.get().max(1) + ahead, term + term_up))
        }
        Step::Flush | Step::Idle | Step::Close => return None,
    })
}

#[derive(Clone, Debug)]
pub(crate) enum Submission {
    Batch(Batch),
    Compact(LogId),
}
