//! The files of a log that was damaged.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use raft_core::{Entry, EntryPayload, GroupId, HardState, LogId, LogIndex, Term};
use raft_wal::sim::SimDisk;
use raft_wal::{Batch, Identity, Log, OnCorruption, OpenError, Options, Recovered, Tail};

use crate::damage::damage;
use crate::names::{CLUSTER, log_id, node, three};

/// The first byte says whether the log is to be opened in spite of damage; the rest is the damage.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&how, changes)) = bytes.split_first() else { return };
    let on_corruption = if how & 1 == 0 { OnCorruption::Fail } else { OnCorruption::Report };
    let disk = sample().0.fork(1);
    damage(&disk, changes);
    if let Ok((log, recovered)) = open(&disk, on_corruption) {
        check(&log, &recovered);
    }
}

/// What is there is what was written, and what is missing is said.
fn check(log: &Log<SimDisk>, recovered: &Recovered) {
    let written = &sample().1;
    let group = recovered.group(GroupId::FIRST);
    for index in group.first.get()..=group.last.index.get() {
        let index = LogIndex::new(index);
        let Ok(entries) = log.entries(GroupId::FIRST, index..=index, 0) else { continue };
        for entry in entries {
            let original = written.get(&entry.id);
            assert_eq!(Some(&entry.payload), original, "{} was never written so", entry.id);
        }
    }
    let newest = written.keys().next_back().copied().unwrap_or_default();
    let whole = group.last == newest && group.faulty.is_empty();
    assert!(
        whole || !group.faulty.is_empty() || recovered.tail != Tail::Clean || recovered.created,
        "less than was written, and nothing is said about it: {recovered:?}"
    );
}

fn open(
    disk: &SimDisk,
    on_corruption: OnCorruption,
) -> Result<(Log<SimDisk>, Recovered), OpenError> {
    let identity = Identity { cluster: CLUSTER, node: node(1) };
    let options = Options {
        segment_bytes: 64 << 10,
        tail_cache_bytes_max: 4 << 10,
        on_corruption,
        ..Options::default()
    };
    Log::open(disk.clone(), identity, options)
}

type Written = BTreeMap<LogId, EntryPayload>;

/// A log of several segments, as a crash leaves it, and what was written to it.
fn sample() -> &'static (SimDisk, Written) {
    static SAMPLE: OnceLock<(SimDisk, Written)> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let (disk, mut written) = (SimDisk::new(11), Written::new());
        for run in 0..3 {
            let (mut log, _) = open(&disk, OnCorruption::Fail).expect("it is sound");
            for flight in 0..3 {
                let batch = flight_of(run, flight);
                written.extend(batch.entries.iter().map(|entry| (entry.id, entry.payload.clone())));
                log.append(batch).expect("it fits");
                log.flush().expect("the disk works");
            }
        }
        disk.kill_process();
        (disk, written)
    })
}

fn flight_of(run: u64, flight: u64) -> Batch {
    let entry = |nth: u64| {
        let index = run * 6 + flight * 2 + nth;
        let payload = match index {
            1 => EntryPayload::Membership(Box::new(three())),
            4 => EntryPayload::Noop,
            _ => EntryPayload::Command(Bytes::from(vec![
                b'a';
                40 * usize::try_from(index).unwrap_or(0)
            ])),
        };
        Entry { id: log_id(index, run + 1), payload }
    };
    let hard_state = Some(HardState { term: Term::new(run + 1), vote: Some(node(1)) });
    Batch { hard_state, entries: vec![entry(1), entry(2)], ..Batch::new(GroupId::FIRST) }
}

/// One damage of each kind.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let change = |how: u8| vec![how & 1, 1, how, 3, 40, 1, 0];
    (0..8).flat_map(|how| [change(how), change(how | 0x80)]).collect()
}
