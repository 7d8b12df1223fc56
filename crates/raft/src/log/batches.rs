//! Writes as calls of the WAL.

use std::collections::VecDeque;

use raft_core::{Entry, GroupId, LogId, Write, WriteSeq};
use raft_wal::Batch;

/// One call of the WAL.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Call {
    Append(Batch),
    /// Forget this entry and all before it, and what follows as well if the log has another entry
    /// there, or ends before it.
    Compact(LogId),
}

/// The calls that carry out a write on a log with segments of this size, each with the write that
/// is durable once it is.
pub(super) fn calls(
    write: Write,
    segment_bytes: u64,
) -> impl Iterator<Item = (Call, Option<WriteSeq>)> {
    /// More at a time gains nothing.
    const BYTES_MAX: u64 = 8 << 20;
    let bytes_max = usize::try_from((segment_bytes / 4).min(BYTES_MAX)).unwrap_or(usize::MAX);
    let Write {
        seq,
        mut hard_state,
        reset,
        compact,
        mut truncate,
        mut settles_doubt,
        append,
        repair,
    } = write;
    let mut calls = Vec::new();
    let compactions: Vec<_> = reset.into_iter().chain(compact).map(Call::Compact).collect();
    let bare = Batch::new(GroupId::FIRST);
    // No log may begin in a later term than the hard state's.
    if !compactions.is_empty() && hard_state.is_some() {
        calls.push(Call::Append(Batch { hard_state: hard_state.take(), ..bare.clone() }));
    }
    calls.extend(compactions);
    let changes = hard_state.is_some() || truncate.is_some() || settles_doubt || !append.is_empty();
    // A write without any change is still to be reported.
    if changes || calls.is_empty() && repair.is_empty() {
        calls.extend(split(append.iter().cloned(), bytes_max).into_iter().map(|entries| {
            let (hard_state, truncate_from) = (hard_state.take(), truncate.take());
            let settles_doubt = std::mem::take(&mut settles_doubt);
            let bare = bare.clone();
            Call::Append(Batch { hard_state, truncate_from, settles_doubt, entries, ..bare })
        }));
    }
    if !repair.is_empty() {
        let again = |repairs| Call::Append(Batch { repairs, ..bare.clone() });
        calls.extend(split(repair, bytes_max).into_iter().map(again));
    }
    let last = calls.len() - 1;
    let completes = move |number: usize| (number == last).then_some(seq);
    calls.into_iter().enumerate().map(move |(number, call)| (call, completes(number)))
}

/// Cuts entries into parts that are certain to fit into a batch, each of one entry at least: one
/// part or several, of which the only one may be empty.
fn split(entries: impl IntoIterator<Item = Entry>, bytes_max: usize) -> Vec<Vec<Entry>> {
    /// More than an entry takes in a batch beside its bytes.
    const ENTRY_BYTES: usize = 512;
    let (mut parts, mut part) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for entry in entries {
        let len = ENTRY_BYTES + entry.payload.command_len();
        if bytes > 0 && bytes + len > bytes_max {
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
    use raft_core::{EntryPayload, HardState, LogIndex, Term};

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

        let parts = split(entries.clone(), 8 << 20);

        assert!(parts.iter().all(|part| part.len() <= 16_384));
        let bytes = |part: &Vec<Entry>| part.iter().map(|e| e.payload.command_len()).sum::<usize>();
        assert!(parts.iter().all(|part| bytes(part) <= 8 << 20));
        assert_eq!(parts.concat(), entries);
    }

    #[test]
    fn a_log_is_given_up_after_the_term_is_written_and_before_entries_are() {
        let hard_state = HardState { term: Term::new(2), vote: None };
        let base = LogId::new(Term::new(1), LogIndex::new(9));
        let write = Write {
            seq: WriteSeq::new(3),
            hard_state: Some(hard_state),
            reset: Some(base),
            append: [entry(10, 1)].into(),
            ..Write::default()
        };
        let bare = Batch::new(GroupId::FIRST);

        let calls: Vec<_> = calls(write, 64 << 20).collect();

        let term = Batch { hard_state: Some(hard_state), ..bare.clone() };
        let entries = Batch { entries: vec![entry(10, 1)], ..bare };
        assert_eq!(
            calls,
            [
                (Call::Append(term), None),
                (Call::Compact(base), None),
                (Call::Append(entries), Some(WriteSeq::new(3))),
            ]
        );
    }

    #[test]
    fn a_settlement_alone_is_one_call() {
        let seq = WriteSeq::new(3);
        let write = Write { seq, settles_doubt: true, ..Write::default() };

        let calls: Vec<_> = calls(write, 64 << 20).collect();

        let batch = Batch { settles_doubt: true, ..Batch::new(GroupId::FIRST) };
        assert_eq!(calls, [(Call::Append(batch), Some(seq))]);
    }

    #[test]
    fn a_compaction_alone_is_one_call() {
        let base = LogId::new(Term::new(1), LogIndex::new(9));
        let write = Write { seq: WriteSeq::new(3), compact: Some(base), ..Write::default() };

        let calls: Vec<_> = calls(write, 64 << 20).collect();

        assert_eq!(calls, [(Call::Compact(base), Some(WriteSeq::new(3)))]);
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
