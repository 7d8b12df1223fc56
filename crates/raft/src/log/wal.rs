//! A log on disk, kept by `raft-wal`.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{
    ClusterId, Entry, EntryPayload, GroupId, LogId, LogIndex, Membership, NodeId, Restored, Write,
    WriteSeq,
};
use raft_wal::{Batch, Completion, Identity, Recovered, RecoveredGroup, Wal};

use crate::log_store::{DurableCallback, LogError, LogStats, LogStore, OpenLog, OpenedLog};

/// Opens the log in a directory.
#[derive(Debug)]
pub(crate) struct OpenWal {
    pub(crate) dir: PathBuf,
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) options: raft_wal::Options,
    /// Bytes of the newest entries that are read back at the start.
    pub(crate) tail_bytes_max: usize,
}

struct WalLog {
    wal: Wal,
    under_way: Arc<Mutex<UnderWay>>,
}

/// The writes that the WAL was given and has not reported, which numbers its batches from 1.
#[derive(Default)]
struct UnderWay {
    reported: u64,
    writes: VecDeque<WriteSeq>,
}

impl OpenLog for OpenWal {
    fn open(self: Box<Self>, mut durable: DurableCallback) -> Result<OpenedLog, LogError> {
        let under_way = Arc::new(Mutex::new(UnderWay::default()));
        let identity = Identity { cluster: self.cluster, node: self.node };
        let reported = Arc::clone(&under_way);
        let on_durable = move |completion: Completion| match completion {
            Completion::Durable { seq } => {
                if let Some(write) = lock(&reported).report(seq.get()) {
                    durable(Ok(write));
                }
            }
            Completion::Failed(error) => durable(Err(LogError::new(error.to_string()))),
        };
        let (wal, recovered) =
            Wal::open(&self.dir, identity, self.options, on_durable).map_err(LogError::new)?;
        let restored = restore(&wal, &recovered, self.tail_bytes_max)?;
        let generation = recovered.generation;
        Ok(OpenedLog { store: Arc::new(WalLog { wal, under_way }), restored, generation })
    }
}

impl LogStore for WalLog {
    fn submit(&self, write: Write) -> Result<(), LogError> {
        let Write { seq, hard_state, truncate, append } = write;
        let batch =
            Batch { group: GroupId::FIRST, hard_state, truncate_from: truncate, entries: append };
        // Under the lock, so that the numbers here and there are of the same order.
        let mut under_way = lock(&self.under_way);
        under_way.writes.push_back(seq);
        self.wal.append(batch).map_err(LogError::new)?;
        Ok(())
    }

    fn entries(
        &self,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.wal.entries(GroupId::FIRST, range, bytes_max).map_err(LogError::new)
    }

    fn stats(&self) -> LogStats {
        let stats = self.wal.stats();
        LogStats { syncs: stats.fdatasyncs, bytes_written: stats.bytes }
    }

    fn close(self: Arc<Self>) -> Result<(), LogError> {
        // Whoever else holds it reads from it still; then it closes as if the process had ended.
        match Arc::into_inner(self) {
            Some(log) => log.wal.close().map_err(LogError::new),
            None => Ok(()),
        }
    }
}

impl UnderWay {
    /// Takes the news that the batches up to number `batch` are durable.
    fn report(&mut self, batch: u64) -> Option<WriteSeq> {
        let mut newest = None;
        while self.reported < batch {
            newest = self.writes.pop_front().or(newest);
            self.reported += 1;
        }
        newest
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the core starts from; `None` if the log is new.
fn restore(
    wal: &Wal,
    recovered: &Recovered,
    tail_bytes_max: usize,
) -> Result<Option<Restored>, LogError> {
    let Some(group) = recovered.groups.get(&GroupId::FIRST) else { return Ok(None) };
    if group.last == LogId::ZERO {
        return Ok(None);
    }
    let memberships = group.memberships.iter().map(|&index| read_membership(wal, index));
    Ok(Some(Restored {
        hard_state: group.hard_state,
        base: group.base,
        term_starts: group.term_starts.clone(),
        last: group.last,
        tail: read_tail(wal, group, tail_bytes_max)?,
        memberships: memberships.collect::<Result<_, _>>()?,
    }))
}

fn read_membership(wal: &Wal, index: LogIndex) -> Result<(LogIndex, Membership), LogError> {
    let entries = wal.entries(GroupId::FIRST, index..=index, 1).map_err(LogError::new)?;
    match entries.into_iter().next().map(|entry| entry.payload) {
        Some(EntryPayload::Membership(membership)) => Ok((index, *membership)),
        Some(EntryPayload::Command(_) | EntryPayload::Noop) | None => {
            Err(LogError::new(format!("the entry at {index} is not the membership it should be")))
        }
    }
}

/// The newest entries, at most about `bytes_max` of them.
fn read_tail(wal: &Wal, group: &RecoveredGroup, bytes_max: usize) -> Result<Vec<Entry>, LogError> {
    /// Entries that are read at a time, from the end.
    const STEP: u64 = 32;
    let mut tail: VecDeque<Entry> = VecDeque::new();
    let mut bytes = 0;
    let mut next_end = group.last.index;
    while bytes < bytes_max && next_end >= group.first {
        let start = next_end.get().saturating_sub(STEP - 1).max(group.first.get());
        let range = LogIndex::new(start)..=next_end;
        let entries = wal.entries(GroupId::FIRST, range, usize::MAX).map_err(LogError::new)?;
        for entry in entries.into_iter().rev() {
            bytes += entry.payload.command_len() + 64;
            tail.push_front(entry);
        }
        next_end = LogIndex::new(start).prev();
        if next_end == LogIndex::ZERO {
            break;
        }
    }
    Ok(tail.into())
}
