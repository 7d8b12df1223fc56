//! The files of snapshots that were damaged.

use std::io::{Read as _, Write as _};
use std::sync::OnceLock;

use raft_core::{GroupId, SnapshotMeta};
use raft_snapshot::{Opened, Options, Owner, Store};
use raft_wal::sim::SimDisk;

use crate::damage::damage;
use crate::names::{CLUSTER, log_id, three};

/// How long the state is that the sample has, in bytes.
const LEN: usize = 2500;

pub(crate) fn run(bytes: &[u8]) {
    let disk = sample().fork(1);
    damage(&disk, bytes);
    let Ok((store, opened)) = open(&disk) else { return };
    for snapshot in store.list() {
        let index = snapshot.manifest().meta().last.index.get();
        let mut read = Vec::new();
        let outcome = snapshot.reader().read_to_end(&mut read);
        let written = state(index);
        assert!(written.starts_with(&read), "a snapshot has other data than was written");
        assert!(outcome.is_err() || read == written, "a snapshot ends early");
    }
    let untouched = bytes.len() < 6;
    assert!(!untouched || opened.damaged.is_empty(), "a sound snapshot is called damaged");
}

fn open(disk: &SimDisk) -> Result<(Store<SimDisk>, Opened), raft_snapshot::OpenError> {
    let owner = Owner { cluster: CLUSTER, group: GroupId::FIRST };
    Store::open(disk.clone(), owner, Options { chunk_bytes: 700, retain: 2, sync_bytes: 1500 })
}

fn sample() -> &'static SimDisk {
    static SAMPLE: OnceLock<SimDisk> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let disk = SimDisk::new(1);
        let (store, _) = open(&disk).expect("there is nothing yet");
        for index in [5, 9] {
            let meta = SnapshotMeta {
                last: log_id(index, 2),
                membership_id: log_id(1, 1),
                membership: three(),
            };
            let mut writer = store.create(meta).expect("there is room");
            writer.write_all(&state(index)).expect("there is room");
            drop(writer.finish().expect("the disk works"));
        }
        disk
    })
}

/// Bytes that differ from place to place and from snapshot to snapshot.
fn state(index: u64) -> Vec<u8> {
    let byte = |at: usize| at.wrapping_mul(31).wrapping_add(at >> 8).to_le_bytes()[0];
    let salt = index.to_le_bytes()[0];
    (0..LEN).map(|at| byte(at) ^ salt).collect()
}

/// One damage of each kind to each file.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let change = |file: u8, how: u8| vec![file, how, 3, 40, 1, 0];
    (0..4).flat_map(|file| (0..8).map(move |how| change(file, how))).collect()
}
