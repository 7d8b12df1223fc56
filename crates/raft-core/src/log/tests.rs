use alloc::vec::Vec;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::types::EntryPayload;

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        id: LogId::new(Term::new(term), LogIndex::new(index)),
        payload: EntryPayload::Command(Bytes::from(Vec::from([0; 8]))),
    }
}

fn log() -> Log {
    Log::new(TermRuns::new(LogId::ZERO), Entries::default())
}

/// What is handed out of `entries`.
fn batch(entries: impl IntoIterator<Item = Entry>) -> Slice {
    Slice::Here(Batch::new(entries.into_iter().collect()))
}

/// The same log, kept naively.
#[derive(Default)]
struct Model {
    entries: Vec<Entry>,
    /// How many of them have left memory.
    gone: usize,
}

impl Model {
    fn id_at(&self, index: u64) -> Option<LogId> {
        match index {
            0 => Some(LogId::ZERO),
            i => self.entries.get(usize::try_from(i).unwrap() - 1).map(|entry| entry.id),
        }
    }

    fn held(&self) -> &[Entry] {
        &self.entries[self.gone..]
    }

    fn truncate(&mut self, from: LogIndex) {
        self.entries.retain(|entry| entry.id.index < from);
        self.gone = self.gone.min(self.entries.len());
    }

    fn evict(&mut self, upto: LogIndex, bytes_max: usize) {
        while self.held().iter().map(weight).sum::<usize>() > bytes_max
            && self.held()[0].id.index <= upto
        {
            self.gone += 1;
        }
    }

    fn slice(&self, from: LogIndex, upto: LogIndex, bytes_max: usize) -> Slice {
        let within = |entry: &&Entry| (from..=upto).contains(&entry.id.index);
        let wanted: Vec<_> = self.entries.iter().filter(within).collect();
        if wanted.first().is_some_and(|first| self.held().iter().all(|held| held != *first)) {
            return Slice::InStorage;
        }
        let bytes = |count: usize| wanted.iter().take(count).map(|e| weight(e)).sum::<usize>();
        let count = (1..=wanted.len()).rfind(|&count| count == 1 || bytes(count) <= bytes_max);
        batch(wanted.into_iter().take(count.unwrap_or(0)).cloned())
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append { new_term: bool, count: usize },
    Make { count: usize },
    Seal,
    Truncate { from: u64 },
    Evict { upto: u64, bytes_max: usize },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (any::<bool>(), 0usize..5)
            .prop_map(|(new_term, count)| Op::Append { new_term, count }),
        4 => (0usize..5).prop_map(|count| Op::Make { count }),
        2 => Just(Op::Seal),
        1 => (1u64..40).prop_map(|from| Op::Truncate { from }),
        2 => (0u64..40, 0usize..2_000)
            .prop_map(|(upto, bytes_max)| Op::Evict { upto, bytes_max }),
    ];
    prop::collection::vec(op, 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_log_agrees_with_a_vector(
        ops in ops(),
        probe in 0u64..40,
        upto in 0u64..40,
        bytes_max in 0usize..2_000,
        term in 0u64..30,
    ) {
        let mut log = log();
        let mut model = Model::default();
        let mut last_term = 1;
        for op in ops {
            let next = log.last().index.next().get();
            let entries = |count: usize, term| (next..).take(count).map(move |i| entry(i, term));
            match op {
                Op::Append { new_term, count } => {
                    let before = last_term;
                    last_term += u64::from(new_term);
                    let mut new: Vec<_> = entries(count, last_term).collect();
                    // The first one may be of an earlier term than the others.
                    if let Some(first) = new.first_mut().filter(|_| count > 1) {
                        first.id.term = Term::new(before);
                    }
                    model.entries.extend(new.clone());
                    log.seal();
                    log.append(new.into());
                }
                Op::Make { count } => {
                    let new: Vec<_> = entries(count, last_term).collect();
                    let payloads = new.iter().map(|entry| entry.payload.clone());
                    let first = log.make(Term::new(last_term), payloads);
                    prop_assert_eq!(first.index.get(), next);
                    model.entries.extend(new);
                }
                Op::Seal => {
                    log.seal();
                }
                Op::Truncate { from } => {
                    log.truncate(LogIndex::new(from));
                    model.truncate(LogIndex::new(from));
                }
                Op::Evict { upto, bytes_max } => {
                    // What is not sealed is not durable, and stays.
                    log.seal();
                    log.evict(LogIndex::new(upto), bytes_max);
                    model.evict(LogIndex::new(upto), bytes_max);
                }
            }
            log.check();
        }

        prop_assert_eq!(log.id_at(LogIndex::new(probe)), model.id_at(probe));
        let newest = (0..=probe)
            .filter_map(|i| model.id_at(i))
            .rfind(|id| id.term <= Term::new(term))
            .unwrap();
        prop_assert_eq!(log.newest_until(LogIndex::new(probe), Term::new(term)), newest);
        let (from, upto) = (LogIndex::new(probe.max(1)), LogIndex::new(upto));
        prop_assert_eq!(log.slice(from, upto, bytes_max), model.slice(from, upto, bytes_max));
        let within = |entry: &&Entry| (from..=upto).contains(&entry.id.index);
        let expected: usize = model.held().iter().filter(within).map(weight).sum();
        prop_assert_eq!(log.weight_between(from.prev(), upto), expected);
        prop_assert!(log.tail.iter().eq(model.held()));
    }
}

#[test]
fn a_slice_holds_at_least_one_entry_however_small_the_bound() {
    let mut log = log();
    log.append([entry(1, 1), entry(2, 1)].into());

    let slice = log.slice(LogIndex::new(1), LogIndex::new(2), 0);
    assert_eq!(slice, batch([entry(1, 1)]));
}

#[test]
fn entries_that_left_memory_are_in_storage() {
    let mut log = log();
    log.append([entry(1, 1), entry(2, 1)].into());

    log.evict(LogIndex::new(1), 0);

    let slice_from = |from| log.slice(LogIndex::new(from), LogIndex::new(2), usize::MAX);
    assert_eq!(slice_from(1), Slice::InStorage);
    assert_eq!(slice_from(2), batch([entry(2, 1)]));
}

#[test]
fn logs_of_the_same_entries_are_equal_however_they_came() {
    let mut at_once = log();
    at_once.append([entry(1, 1), entry(2, 1)].into());
    let mut one_by_one = log();
    one_by_one.append([entry(1, 1)].into());
    one_by_one.append([entry(2, 1)].into());

    assert_eq!(at_once, one_by_one);
}

#[test]
fn what_is_handed_out_of_a_batch_is_the_batch() {
    let mut log = log();
    log.append([entry(1, 1), entry(2, 1)].into());

    let addresses = |slice| match slice {
        Slice::Here(batch) => batch.into_parts().0.as_ptr_range(),
        Slice::InStorage => panic!("it is in memory"),
    };
    let all = || addresses(log.slice(LogIndex::new(1), LogIndex::new(2), usize::MAX));
    let second = addresses(log.slice(LogIndex::new(2), LogIndex::new(2), usize::MAX));

    assert_eq!(all(), all());
    assert_eq!(second.end, all().end);
}
