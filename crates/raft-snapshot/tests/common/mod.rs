//! A store on a simulated disk, and what the tests put into it.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use raft_core::{ClusterId, GroupId, LogId, LogIndex, Membership, NodeId, SnapshotMeta, Term};
use raft_snapshot::{
    OpenError, Opened, Options, Owner, Partial, Receiving, Snapshot, Store, WriteError,
};
use raft_wal::sim::SimDisk;

pub(crate) type SimStore = Store<SimDisk>;

/// Small chunks, so that little data makes many of them.
pub(crate) const CHUNK: u32 = 700;

pub(crate) fn owner() -> Owner {
    Owner { cluster: ClusterId::new([7; 16]), group: GroupId::FIRST }
}

pub(crate) fn options() -> Options {
    Options { chunk_bytes: CHUNK, retain: 2, sync_bytes: 1500 }
}

pub(crate) fn open(disk: &SimDisk) -> Result<(SimStore, Opened), OpenError> {
    Store::open(disk.clone(), owner(), options())
}

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(crate) fn log_id(index: u64) -> LogId {
    LogId::new(Term::new(1 + index / 10), LogIndex::new(index))
}

/// What a snapshot up to `index` covers.
pub(crate) fn meta(index: u64) -> SnapshotMeta {
    let members = [1, 2, 3].map(|id| (node(id), format!("host-{id}:7000")));
    let membership = Membership::of_voters(members).unwrap();
    SnapshotMeta { last: log_id(index), membership_id: log_id(1), membership }
}

/// Bytes that differ from place to place, and with `salt`.
pub(crate) fn state(len: usize, salt: u64) -> Vec<u8> {
    let mut x = salt | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..len).map(|_| next()).collect()
}

pub(crate) fn write(
    store: &SimStore,
    index: u64,
    data: &[u8],
) -> Result<Arc<Snapshot<SimDisk>>, WriteError> {
    let mut writer = store.create(meta(index))?;
    let written = writer.write_all(data);
    match written {
        Ok(()) => writer.finish(),
        Err(error) => Err(error.downcast().unwrap()),
    }
}

pub(crate) fn read(snapshot: &Arc<Snapshot<SimDisk>>) -> Vec<u8> {
    let mut data = Vec::new();
    snapshot.reader().read_to_end(&mut data).unwrap();
    data
}

pub(crate) fn partial(receiving: Receiving<SimDisk>) -> Partial<SimDisk> {
    match receiving {
        Receiving::Partial(partial) => *partial,
        Receiving::Published(snapshot) => panic!("{} is published", snapshot.id()),
    }
}

/// Receives the chunks that are missing, and publishes.
pub(crate) fn copy(
    from: &Snapshot<SimDisk>,
    to: &SimStore,
) -> Result<Arc<Snapshot<SimDisk>>, WriteError> {
    let mut partial = match to.receive(from.manifest().clone())? {
        Receiving::Partial(partial) => partial,
        Receiving::Published(snapshot) => return Ok(snapshot),
    };
    for number in partial.missing().into_iter().flatten() {
        let bytes = from.chunk(number).unwrap();
        partial.write(&from.manifest().verify(number, bytes).unwrap())?;
    }
    partial.publish()
}
