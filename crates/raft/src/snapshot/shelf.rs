//! Where a node keeps its snapshots.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use raft_core::{LogIndex, NodeId, SnapshotMeta};
use raft_snapshot::disk::Disk;
use raft_snapshot::{
    Damaged, Manifest, Partial, Prepared, ReadError, ReceiveError, Receiving, Refusal, Request,
    Snapshot, SnapshotId, VerifiedChunk,
};
use tracing::{error, warn};

use crate::driver::{SnapshotTask, TransferDone};

/// A snapshot that is durable here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Kept {
    /// Its name.
    pub(crate) id: SnapshotId,
    /// What it covers.
    pub(crate) meta: SnapshotMeta,
    /// Its length.
    pub(crate) bytes: u64,
}

/// What a node may begin with.
#[derive(Debug)]
pub(crate) struct Chosen {
    /// Absent if there is none.
    pub(crate) kept: Option<Kept>,
    /// What is wrong with the newest one that is damaged.
    pub(crate) damage: Option<io::Error>,
}

/// Keeps snapshots. Every method may wait for the disk.
pub(crate) trait Shelf: Send + Sync {
    /// Those that are there, the newest first.
    fn kept(&self) -> Vec<Kept>;

    /// The newest one that is intact and reaches as far as `base`, and with it the whole of the log.
    /// Newer ones are no longer kept: they are damaged.
    fn choose(&self, base: LogIndex) -> Chosen;

    /// Whether those of others can be kept.
    fn can_receive(&self) -> bool;

    /// Has `fill` write a snapshot, and makes it durable.
    fn write(
        &self,
        meta: SnapshotMeta,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Kept>;

    /// Reads a snapshot, verified.
    fn read(&self, id: SnapshotId) -> io::Result<Box<dyn Read>>;

    /// Reads a part for a peer, for whom the snapshot is kept until [`Shelf::release`].
    fn serve(&self, to: NodeId, request: Request) -> Result<Bytes, Refusal>;

    /// Forgets what was kept for a peer.
    fn release(&self, to: NodeId);

    /// Looks what of a snapshot is there.
    fn prepare(&self, manifest: Manifest) -> Result<Prepared, ReceiveError>;

    /// Writes a part of the snapshot that was prepared last.
    fn receive(&self, chunk: &VerifiedChunk) -> Result<(), ReceiveError>;

    /// Makes the snapshot that was prepared last one of those that are kept.
    fn publish(&self, id: SnapshotId) -> Result<(), ReceiveError>;

    /// Does what a driver wants; gives the answer, if it wants one.
    fn carry_out(&self, task: SnapshotTask) -> Option<TransferDone> {
        Some(match task {
            SnapshotTask::Release { to } => {
                self.release(to);
                return None;
            }
            SnapshotTask::Read { to, request } => {
                TransferDone::Read { to, request, outcome: self.serve(to, request) }
            }
            SnapshotTask::Prepare { manifest } => {
                let id = manifest.id();
                TransferDone::Prepared { id, outcome: self.prepare(manifest) }
            }
            SnapshotTask::Write { chunk } => TransferDone::Written {
                id: chunk.id(),
                number: chunk.number(),
                outcome: self.receive(&chunk),
            },
            SnapshotTask::Publish { id } => {
                TransferDone::Published { id, outcome: self.publish(id) }
            }
        })
    }
}

/// Keeps snapshots on a disk.
#[derive(Debug)]
pub(crate) struct Store<D: Disk> {
    store: raft_snapshot::Store<D>,
    held: Mutex<BTreeMap<NodeId, Arc<Snapshot<D>>>>,
    partial: Mutex<Option<Partial<D>>>,
}

impl<D: Disk> Store<D> {
    pub(crate) fn new(store: raft_snapshot::Store<D>) -> Self {
        let (held, partial) = (Mutex::new(BTreeMap::new()), Mutex::new(None));
        Self { store, held, partial }
    }

    /// The snapshot in question: what this peer reads from, or one that is on the shelf.
    fn hold(&self, to: NodeId, request: Request) -> Result<Arc<Snapshot<D>>, Refusal> {
        let mut held = lock(&self.held);
        let matches = |snapshot: &&Arc<Snapshot<D>>| match request {
            Request::Manifest { last, .. } => snapshot.id().last == last,
            Request::Chunk { id, .. } => snapshot.id() == id,
        };
        if let Some(snapshot) = held.get(&to).filter(matches) {
            return Ok(Arc::clone(snapshot));
        }
        let found = match request {
            Request::Manifest { last, .. } => self.store.find(last),
            Request::Chunk { id, .. } => self.store.get(id),
        };
        let snapshot = found.ok_or(Refusal::Unknown)?;
        held.insert(to, Arc::clone(&snapshot));
        Ok(snapshot)
    }
}

impl<D: Disk> Shelf for Store<D> {
    fn kept(&self) -> Vec<Kept> {
        self.store.list().iter().rev().map(|snapshot| kept(snapshot)).collect()
    }

    fn choose(&self, base: LogIndex) -> Chosen {
        let choice = self.store.choose(base);
        let mut damaged = choice.damaged.iter().map(damage);
        let damage = damaged.next();
        damaged.for_each(drop);
        Chosen { kept: choice.snapshot.map(|snapshot| kept(&snapshot)), damage }
    }

    fn can_receive(&self) -> bool {
        true
    }

    fn write(
        &self,
        meta: SnapshotMeta,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Kept> {
        let mut writer = self.store.create(meta).map_err(io::Error::other)?;
        fill(&mut writer)?;
        let snapshot = writer.finish().map_err(io::Error::other)?;
        Ok(kept(&snapshot))
    }

    fn read(&self, id: SnapshotId) -> io::Result<Box<dyn Read>> {
        let snapshot = self.store.get(id).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(snapshot.reader()))
    }

    fn serve(&self, to: NodeId, request: Request) -> Result<Bytes, Refusal> {
        let snapshot = self.hold(to, request)?;
        match request {
            Request::Manifest { offset, .. } => snapshot.manifest().piece(offset),
            Request::Chunk { number, .. } if number >= snapshot.manifest().chunks() => {
                Err(Refusal::OutOfRange)
            }
            Request::Chunk { number, .. } => snapshot.chunk(number).map_err(|source| {
                unreadable(&source);
                Refusal::Unreadable
            }),
        }
    }

    fn release(&self, to: NodeId) {
        lock(&self.held).remove(&to);
    }

    fn prepare(&self, manifest: Manifest) -> Result<Prepared, ReceiveError> {
        let mut partial = lock(&self.partial);
        *partial = None;
        match self.store.receive(manifest).map_err(|source| failed(&source))? {
            Receiving::Published(_) => Ok(Prepared::Published),
            Receiving::Partial(begun) => Ok(Prepared::Missing(partial.insert(*begun).missing())),
        }
    }

    fn receive(&self, chunk: &VerifiedChunk) -> Result<(), ReceiveError> {
        match lock(&self.partial).as_mut() {
            Some(partial) => partial.write(chunk).map_err(|source| failed(&source)),
            None => Err(ReceiveError::Storage),
        }
    }

    fn publish(&self, id: SnapshotId) -> Result<(), ReceiveError> {
        match lock(&self.partial).take_if(|partial| partial.id() == id) {
            Some(partial) => partial.publish().map(drop).map_err(|source| failed(&source)),
            None => Err(ReceiveError::Storage),
        }
    }
}

fn kept<D: Disk>(snapshot: &Snapshot<D>) -> Kept {
    Kept {
        id: snapshot.id(),
        meta: snapshot.meta().clone(),
        bytes: snapshot.manifest().sizes().data,
    }
}

/// Says what is damaged.
pub(crate) fn damage(damaged: &Damaged) -> io::Error {
    let Damaged { path, fault, .. } = damaged;
    error!(path = %path.display(), %fault, "a snapshot is damaged");
    io::Error::other(format!("{} is damaged: {fault}", path.display()))
}

fn failed(source: &raft_snapshot::WriteError) -> ReceiveError {
    warn!(error = %source, "cannot store a snapshot that is being received");
    ReceiveError::Storage
}

fn unreadable(source: &ReadError) {
    error!(error = %source, "cannot read a snapshot for a peer");
}

/// For a log store of the user's own, without a place for snapshots beside it.
#[derive(Debug)]
pub(crate) struct NoShelf;

impl Shelf for NoShelf {
    fn kept(&self) -> Vec<Kept> {
        Vec::new()
    }

    fn choose(&self, _: LogIndex) -> Chosen {
        Chosen { kept: None, damage: None }
    }

    fn can_receive(&self) -> bool {
        false
    }

    fn write(
        &self,
        _: SnapshotMeta,
        _: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Kept> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn read(&self, _: SnapshotId) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn serve(&self, _: NodeId, _: Request) -> Result<Bytes, Refusal> {
        Err(Refusal::Unknown)
    }

    fn release(&self, _: NodeId) {}

    fn prepare(&self, _: Manifest) -> Result<Prepared, ReceiveError> {
        Err(ReceiveError::Storage)
    }

    fn receive(&self, _: &VerifiedChunk) -> Result<(), ReceiveError> {
        Err(ReceiveError::Storage)
    }

    fn publish(&self, _: SnapshotId) -> Result<(), ReceiveError> {
        Err(ReceiveError::Storage)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
