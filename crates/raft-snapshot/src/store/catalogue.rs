//! What is in a store.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft_wal::disk::Disk;

use super::names::temporary_name;
use crate::error::WriteError;
use crate::id::SnapshotId;
use crate::snapshot::Snapshot;

#[derive(Debug)]
pub(super) struct Catalogue<D: Disk> {
    snapshots: BTreeMap<SnapshotId, Arc<Snapshot<D>>>,
    temporaries: u64,
    trust: Trust,
}

/// Whether the directory is as the catalogue says.
#[derive(Debug)]
enum Trust {
    Known,
    /// A change of names failed: either of two directories may be there after a crash.
    InDoubt,
}

impl<D: Disk> Catalogue<D> {
    pub(super) fn new(snapshots: Vec<Arc<Snapshot<D>>>) -> Self {
        let snapshots = snapshots.into_iter().map(|snapshot| (snapshot.id(), snapshot)).collect();
        Self { snapshots, temporaries: 0, trust: Trust::Known }
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Snapshot<D>>> {
        self.snapshots.values()
    }

    pub(super) fn get(&self, id: SnapshotId) -> Option<Arc<Snapshot<D>>> {
        self.snapshots.get(&id).cloned()
    }

    pub(super) fn remove(&mut self, id: SnapshotId) {
        self.snapshots.remove(&id);
    }

    pub(super) fn insert(&mut self, snapshot: Arc<Snapshot<D>>) {
        self.snapshots.insert(snapshot.id(), snapshot);
    }

    /// Forgets all but the newest; returns the oldest of those, unless there are none.
    pub(super) fn retire(&mut self, retain: usize) -> Option<SnapshotId> {
        let oldest = self.snapshots.keys().rev().take(retain.max(1)).next_back().copied()?;
        self.snapshots = self.snapshots.split_off(&oldest);
        Some(oldest)
    }

    pub(super) fn next_temporary(&mut self) -> Result<String, WriteError> {
        self.check()?;
        self.temporaries += 1;
        Ok(temporary_name(self.temporaries))
    }

    pub(super) const fn doubt(&mut self) {
        self.trust = Trust::InDoubt;
    }

    pub(super) const fn check(&self) -> Result<(), WriteError> {
        match self.trust {
            Trust::Known => Ok(()),
            Trust::InDoubt => Err(WriteError::InDoubt),
        }
    }
}
