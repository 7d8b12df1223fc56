//! Writes as batches of the WAL.

use std::collections::VecDeque;

use raft_core::{Entry, GroupId, Write, WriteSeq};
use raft_wal::Batch;

/// The batches of a write, each with the write that is durable once it is.
pub(super) fn batches(write: Write) -> impl Iterator<Item = (Batch, Option<WriteSeq>)> {
    let Write { seq, mut hard_state, mut truncate, append } = write;
    let parts = split(append);
    let last = parts.len() - 1;
    parts.into_iter().enumerate().map(move |(number, entries)| {
        let batch = Batch {
            group: GroupId::FIRST,
            hard_state: hard_state.take(),
            truncate_from: truncate.take(),
            entries,
        };
        (batch, (number == last).then_some(seq))
    })
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

/// The batches that the WAL was given and has not reported; it numbers them from 1.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    reported: u64,
    /// The write that each of them completes, if it does.
    writes: VecDeque<Option<WriteSeq>>,
}

impl UnderWay {
    /// Takes note of the next batch.
    pub(super) fn push(&mut self, completes: Option<WriteSeq>) {
        self.writes.push_back(completes);
    }

    /// Takes the news that the batches up to number `batch` are durable.
    pub(super) fn report(&mut self, batch: u64) -> Option<WriteSeq> {
        let mut newest = None;
        while self.reported < batch {
            newest = self.writes.pop_front().flatten().or(newest);
            self.reported += 1;
        }
        newest
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use raft_core::{EntryPayload, LogId, LogIndex, Term};

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
        let mut under_way = UnderWay::default();
        for completes in [None, None, Some(first), Some(second)] {
            under_way.push(completes);
        }

        assert_eq!(under_way.report(2), None);
        assert_eq!(under_way.report(3), Some(first));
        assert_eq!(under_way.report(4), Some(second));
    }
}
