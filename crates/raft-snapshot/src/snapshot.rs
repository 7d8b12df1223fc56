//! A published snapshot.

use raft_core::SnapshotMeta;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use crc32fast::Hasher;
use raft_wal::disk::Disk;

use crate::error::{Doing as _, ReadError};
use crate::file::FileExt as _;
use crate::id::SnapshotId;
use crate::manifest::{ChunkError, Manifest};
use crate::num::narrow;
use crate::reader::Reader;

/// A published snapshot: durable, complete, and never changed again.
///
/// While it is held, its data stay readable, even after it was removed from the store.
#[derive(Debug)]
pub struct Snapshot<D: Disk> {
    manifest: Manifest,
    data: D::File,
    path: PathBuf,
}

impl<D: Disk> Snapshot<D> {
    pub(crate) const fn new(manifest: Manifest, data: D::File, path: PathBuf) -> Self {
        Self { manifest, data, path }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.manifest.id()
    }

    /// What it covers.
    #[must_use]
    pub const fn meta(&self) -> &SnapshotMeta {
        self.manifest.meta()
    }

    /// Its manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads it from the beginning, verified.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Reader<D> {
        Reader::new(Arc::clone(self))
    }

    /// One chunk, verified.
    ///
    /// # Errors
    ///
    /// If there is no such chunk, the disk fails, or the chunk is not what was written.
    pub fn chunk(&self, number: u32) -> Result<Bytes, ReadError> {
        let damaged = |source| ReadError::Damaged { path: self.path.clone(), source };
        let Some((offset, len)) = self.manifest.chunk_range(number) else {
            return Err(damaged(ChunkError::NoSuchChunk { number }));
        };
        let mut bytes = vec![0; narrow(u64::from(len))];
        let read = self.data.read_full_at(offset, &mut bytes).doing("read", &self.path)?;
        bytes.truncate(read);
        let verified = self.manifest.verify(number, Bytes::from(bytes)).map_err(damaged)?;
        Ok(verified.bytes().clone())
    }

    /// Reads and checks every byte: what is damaged, chunk by chunk. Nothing if the snapshot is as
    /// it was written.
    #[must_use]
    pub fn verify(&self) -> Vec<ReadError> {
        let mut damage = Vec::new();
        let mut crc = Hasher::new();
        for number in 0..self.manifest.chunks() {
            match self.chunk(number) {
                Ok(chunk) => crc.update(&chunk),
                Err(error) => damage.push(error),
            }
        }
        if damage.is_empty() && crc.finalize() != self.manifest.data_crc() {
            damage.push(ReadError::DataChecksum { path: self.path.clone() });
        }
        damage
    }

    /// The file with its data.
    #[must_use]
    pub const fn path(&self) -> &PathBuf {
        &self.path
    }
}
