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

/// The same log, kept naively.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn id_at(&self, index: u64) -> Option<LogId> {
        match index {
            0 => Some(LogId::ZERO),
            i => self.0.get(usize::try_from(i).unwrap() - 1).map(|entry| entry.id),
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append { new_term: bool },
    Truncate { from: u64 },
    Evict { upto: u64, bytes_max: usize },
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => any::<bool>().prop_map(|new_term| Op::Append { new_term }),
        1 => (1u64..12).prop_map(|from| Op::Truncate { from }),
        1 => (0u64..12, 0usize..500).prop_map(|(upto, bytes_max)| Op::Evict { upto, bytes_max }),
    ];
    prop::collection::vec(op, 0..40)
}

proptest! {
    #[test]
    fn the_log_agrees_with_a_vector(
        ops in ops(),
        probe in 0u64..14,
        upto in 0u64..14,
        term in 0u64..30,
    ) {
        let mut log = Log::new(TermRuns::new(LogId::ZERO), Vec::new());
        let mut model = Model::default();
        let mut last_term = 1;
        for op in ops {
            match op {
                Op::Append { new_term } => {
                    last_term += u64::from(new_term);
                    let entry = entry(log.last().index.next().get(), last_term);
                    log.append(core::slice::from_ref(&entry));
                    model.0.push(entry);
                }
                Op::Truncate { from } => {
                    log.truncate(LogIndex::new(from));
                    model.0.truncate(usize::try_from(from).unwrap() - 1);
                }
                Op::Evict { upto, bytes_max } => log.evict(LogIndex::new(upto), bytes_max),
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
        if let Slice::Here(entries) = log.slice(from, upto, usize::MAX) {
            let within = model.0.iter().filter(|e| (from..=upto).contains(&e.id.index));
            prop_assert_eq!(entries, within.cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_slice_holds_at_least_one_entry_however_small_the_bound() {
    let mut log = Log::new(TermRuns::new(LogId::ZERO), Vec::new());
    log.append(&[entry(1, 1)]);
    log.append(&[entry(2, 1)]);

    let slice = log.slice(LogIndex::new(1), LogIndex::new(2), 0);
    assert_eq!(slice, Slice::Here(Vec::from([entry(1, 1)])));
}

#[test]
fn entries_that_left_memory_are_in_storage() {
    let mut log = Log::new(TermRuns::new(LogId::ZERO), Vec::new());
    log.append(&[entry(1, 1)]);
    log.append(&[entry(2, 1)]);

    log.evict(LogIndex::new(1), 0);

    let slice_from = |from| log.slice(LogIndex::new(from), LogIndex::new(2), usize::MAX);
    assert_eq!(slice_from(1), Slice::InStorage);
    assert_eq!(slice_from(2), Slice::Here(Vec::from([entry(2, 1)])));
}
