//! Snapshots on a disk, whose owner decides when they are written.

use std::io;

use raft_core::{Restored, SnapshotMeta};
use raft_snapshot::disk::Disk;
use raft_snapshot::{OpenError, Options, Owner, SnapshotId};

use super::{Frozen, Shelf as _, SnapshotWriter, Store};
use crate::driver::{SnapshotDone, SnapshotTask, TransferDone};
use crate::error::StartError;
use crate::machine::Machine;
use crate::node::{Beginning, restore};
use crate::state_machine::StateMachine;

/// What a node's shelf of snapshots does, without threads: everything at once, when it is asked.
///
/// It is the one behind [`Builder::data_dir`](crate::Builder::data_dir). Dropping it is what a crash
/// of the process would be.
#[derive(Debug)]
pub struct SteppedShelf<D: Disk>(Store<D>);

/// What a node begins with.
#[derive(Debug)]
pub struct Begun<S> {
    /// As the newest snapshot says, if there is one.
    pub machine: Machine<S>,
    /// What the core starts from; `None` if there is nothing.
    pub restored: Option<Restored>,
    /// Bytes of that snapshot, for [`Driver::on_snapshot_known`](crate::driver::Driver::on_snapshot_known).
    pub snapshot_bytes: Option<u64>,
}

impl<D: Disk> SteppedShelf<D> {
    /// Opens the shelf on `disk`, or makes it.
    ///
    /// # Errors
    ///
    /// If the disk fails, or holds what is not of this group.
    pub fn open(disk: D, owner: Owner, options: Options) -> Result<Self, OpenError> {
        let (store, _) = raft_snapshot::Store::open(disk, owner, options)?;
        Ok(Self(Store::new(store)))
    }

    /// Restores a state machine from the newest snapshot that is intact and that `log` continues;
    /// `generation` counts the starts from the log. Without one, the core is told that all before the
    /// log is lost.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the log that the snapshots belong to is gone.
    pub fn restore<S: StateMachine>(
        &self,
        state_machine: S,
        log: Option<Restored>,
        generation: u64,
    ) -> Result<Begun<S>, StartError> {
        let Beginning { machine, restored, kept, damage: _ } =
            restore(state_machine, &self.0, None, log, generation)?;
        Ok(Begun { machine, restored, snapshot_bytes: kept.map(|kept| kept.bytes) })
    }

    /// Does what a driver wants; gives the answer, if it wants one.
    pub fn carry_out(&self, task: SnapshotTask) -> Option<TransferDone> {
        self.0.carry_out(task)
    }

    /// Writes a snapshot, and makes it durable.
    pub fn take(&self, meta: SnapshotMeta, state: Frozen) -> SnapshotDone {
        let mut state = Some(state);
        let mut fill = |to: &mut dyn io::Write| match state.take() {
            Some(state) => state.write(&mut SnapshotWriter::new(to)),
            None => Ok(()),
        };
        match self.0.write(meta, &mut fill) {
            Ok(kept) => SnapshotDone::Taken { meta: kept.meta, bytes: kept.bytes },
            Err(_) => SnapshotDone::NotTaken,
        }
    }

    /// Replaces a state machine by the one of a snapshot.
    ///
    /// # Errors
    ///
    /// If it cannot be read; the state machine is of no use then.
    pub fn install<S: StateMachine>(
        &self,
        machine: &mut Machine<S>,
        id: SnapshotId,
        meta: SnapshotMeta,
    ) -> io::Result<SnapshotDone> {
        let mut from = self.0.read(id)?;
        machine.restore(meta.last.index, &mut *from)?;
        Ok(SnapshotDone::Restored { meta })
    }
}
