//! What the state machine is given, in which order, and how much at a time.

use std::collections::VecDeque;

use raft_core::{Entry, LogIndex, SnapshotMeta, Write};
use raft_snapshot::SnapshotId;

/// Work for the state machine. Jobs are carried out in the order in which they are handed out.
#[derive(Debug)]
pub enum Job<P, R> {
    /// Apply these entries.
    Apply {
        /// Committed entries that follow the last ones handed out.
        entries: Entries,
        /// Who waits for the response to which of them, in order of index.
        callers: VecDeque<(LogIndex, P)>,
    },
    /// Take a snapshot of the state as it is after all jobs before, and report it with
    /// [`SnapshotDone`](super::SnapshotDone). It may be written while later jobs are carried out.
    Snapshot {
        /// What it covers, to be stored with it.
        meta: SnapshotMeta,
    },
    /// Replace the state by the one of this snapshot, which is durable here, and report it with
    /// [`SnapshotDone::Restored`](super::SnapshotDone::Restored).
    Restore {
        /// Its name.
        id: SnapshotId,
        /// What it covers.
        meta: SnapshotMeta,
    },
    /// Answer these readers, from the state after all jobs before.
    Read {
        /// Who reads.
        callers: Vec<R>,
    },
}

/// Consecutive committed entries, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Entries {
    /// They are here.
    Here(Vec<Entry>),
    /// They are in the log.
    InLog {
        /// The first one.
        first: LogIndex,
        /// The last one.
        last: LogIndex,
    },
}

impl Entries {
    /// Index of the first entry.
    #[must_use]
    pub fn first(&self) -> LogIndex {
        match self {
            Self::Here(entries) => entries.first().map_or(LogIndex::ZERO, |e| e.id.index),
            Self::InLog { first, .. } => *first,
        }
    }

    /// Index of the last entry.
    #[must_use]
    pub fn last(&self) -> LogIndex {
        match self {
            Self::Here(entries) => entries.last().map_or(LogIndex::ZERO, |e| e.id.index),
            Self::InLog { last, .. } => *last,
        }
    }
}

/// The entries between the log and the state machine.
///
/// `applied <= handed <= committed`; of the entries after `handed`, the newest are in memory.
#[derive(Debug)]
pub(super) struct ApplyQueue {
    recent: VecDeque<Entry>,
    recent_bytes: usize,
    committed: LogIndex,
    handed: LogIndex,
    applied: LogIndex,
    /// What was handed out and is not applied: the last index of each job, and its bytes.
    under_way: VecDeque<(LogIndex, usize)>,
    under_way_bytes: usize,
}

impl ApplyQueue {
    /// A queue for a state machine that has applied everything up to `base`.
    pub(super) const fn new(base: LogIndex) -> Self {
        Self {
            recent: VecDeque::new(),
            recent_bytes: 0,
            committed: base,
            handed: base,
            applied: base,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
        }
    }

    /// Index up to which entries were handed out.
    pub(super) const fn handed(&self) -> LogIndex {
        self.handed
    }

    /// Keeps the entries of a write, so that they need not be read back; the oldest go when they
    /// are more than `bytes_max`.
    pub(super) fn on_write(&mut self, write: &Write, bytes_max: usize) {
        if write.reset.is_some() {
            self.recent.clear();
            self.recent_bytes = 0;
        }
        if let Some(from) = write.truncate {
            while let Some(entry) = self.recent.pop_back_if(|entry| entry.id.index >= from) {
                self.recent_bytes -= weight(&entry);
            }
        }
        for entry in &write.append {
            self.recent_bytes += weight(entry);
            self.recent.push_back(entry.clone());
        }
        while self.recent_bytes > bytes_max
            && let Some(entry) = self.recent.pop_front()
        {
            self.recent_bytes -= weight(&entry);
        }
    }

    pub(super) fn on_committed(&mut self, index: LogIndex) {
        self.committed = self.committed.max(index);
    }

    /// The state machine has got to `index` with a snapshot.
    pub(super) fn on_restored(&mut self, index: LogIndex) {
        while let Some(entry) = self.recent.pop_front_if(|entry| entry.id.index <= index) {
            self.recent_bytes -= weight(&entry);
        }
        self.committed = self.committed.max(index);
        self.handed = self.handed.max(index);
        self.on_applied(index);
    }

    pub(super) fn on_applied(&mut self, index: LogIndex) {
        self.applied = self.applied.max(index.min(self.handed));
        let applied = self.applied;
        while let Some((_, bytes)) = self.under_way.pop_front_if(|(last, _)| *last <= applied) {
            self.under_way_bytes -= bytes;
        }
    }

    /// Whether committed entries wait for the state machine.
    pub(super) fn is_held_back(&self, bytes_max: usize) -> bool {
        self.handed < self.committed && self.under_way_bytes >= bytes_max
    }

    /// The next entries for the state machine, if it has room for them.
    pub(super) fn next(&mut self, bytes_max: usize) -> Option<Entries> {
        if self.handed >= self.committed || self.under_way_bytes >= bytes_max {
            return None;
        }
        let (entries, bytes) = self.take_next(bytes_max);
        self.handed = entries.last();
        self.under_way.push_back((self.handed, bytes));
        self.under_way_bytes += bytes;
        Some(entries)
    }

    fn take_next(&mut self, bytes_max: usize) -> (Entries, usize) {
        let first = self.handed.next();
        let in_memory = self.recent.front().map_or_else(|| self.committed.next(), |e| e.id.index);
        if first < in_memory {
            let last = self.committed.min(in_memory.prev());
            // It is read piece by piece, so it takes no more room than one piece.
            return (Entries::InLog { first, last }, bytes_max);
        }
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.recent.pop_front_if(|entry| {
            entry.id.index <= self.committed && (bytes == 0 || bytes < bytes_max)
        }) {
            bytes += weight(&entry);
            entries.push(entry);
        }
        self.recent_bytes -= bytes;
        (Entries::Here(entries), bytes)
    }
}

pub(super) fn weight(entry: &Entry) -> usize {
    const OVERHEAD: usize = 64;
    entry.payload.command_len() + OVERHEAD
}
