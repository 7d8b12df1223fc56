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

/// The batches that the WAL was given and has not reported; it numbers them from 1.
#[derive(Default)]
struct UnderWay {
    reported: u64,
    /// The write that each of them completes, if it does.
    writes: VecDeque<Option<WriteSeq>>,
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
        let Write { seq, mut hard_state, mut truncate, append } = write;
        let parts = split(append);
        let last = parts.len() - 1;
        // Under the lock, so that the numbers here and there are of the same order.
        let mut under_way = lock(&self.under_way);
        for (number, entries) in parts.into_iter().enumerate() {
            under_way.writes.push_back((number == last).then_some(seq));
            let batch = Batch {
                group: GroupId::FIRST,
                hard_state: hard_state.take(),
                truncate_from: truncate.take(),
                entries,
            };
            self.wal.append(batch).map_err(LogError::new)?;
        }
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
            newest = self.writes.pop_front().flatten().or(newest);
            self.reported += 1;
        }
        newest
    }
}

/// Cuts entries into parts that are certain to fit into a batch: at least one, which may be empty.
fn split(entries: Vec<Entry>) -> Vec<Vec<Entry>> {
    const ENTRIES_MAX: usize = 16_384;
    const BYTES_MAX: usize = 8 << 20;
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for entry in entries {
        let len = entry.payload.command_len();
        if part.len() == ENTRIES_MAX || bytes + len > BYTES_MAX {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += len;
        part.push(entry);
    }
    parts.push(part);
    parts
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

fn read_membership(wal: &Wal, index: LogIndex) -> Result<(LogId, Membership), LogError> {
    let entries = wal.entries(GroupId::FIRST, index..=index, 1).map_err(LogError::new)?;
    match entries.into_iter().next() {
        Some(Entry { id, payload: EntryPayload::Membership(membership) }) => Ok((id, *membership)),
        Some(_) | None => {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_core::Term;

    use super::*;

    fn entry(index: u64, len: usize) -> Entry {
        Entry {
            id: LogId::new(Term::new(1), LogIndex::new(index)),
            payload: EntryPayload::Command(Bytes::from(vec![0; len])),
        }
    }

    #[test]
    fn a_write_of_any_size_is_cut_into_parts_that_fit_and_lose_nothing() {
        let many = (1..=40_000).map(|index| entry(index, 1));
        let large = (40_001..=40_010).map(|index| entry(index, 4 << 20));
        let entries: Vec<_> = many.chain(large).collect();

        let parts = split(entries.clone());

        assert!(parts.iter().all(|part| part.len() <= 16_384));
        let bytes = |part: &Vec<Entry>| part.iter().map(|e| e.payload.command_len()).sum::<usize>();
        assert!(parts.iter().all(|part| bytes(part) <= 8 << 20));
        assert_eq!(parts.concat(), entries);
    }

    #[test]
    fn a_write_is_reported_when_its_last_part_is_durable() {
        let [first, second] = [1, 2].map(WriteSeq::new);
        let writes = VecDeque::from([None, None, Some(first), Some(second)]);
        let mut under_way = UnderWay { reported: 0, writes };

        assert_eq!(under_way.report(2), None);
        assert_eq!(under_way.report(3), Some(first));
        assert_eq!(under_way.report(4), Some(second));
    }
}
