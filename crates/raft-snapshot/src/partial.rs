//! A snapshot that is being received.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use raft_wal::disk::{Disk, DiskFile as _};

use crate::error::{Doing as _, WriteError};
use crate::file::FileExt as _;
use crate::id::SnapshotId;
use crate::manifest::{Manifest, VerifiedChunk};
use crate::num::{narrow, wide};
use crate::snapshot::Snapshot;
use crate::store::{Store, data_name};

/// A snapshot that is being received: its manifest, which is durable, and a part of its data.
///
/// Dropped, it stays on disk, and [`Store::receive`] goes on with it.
#[derive(Debug)]
pub struct Partial<D: Disk> {
    store: Store<D>,
    manifest: Manifest,
    file: D::File,
    /// Which chunks are there, by number.
    there: Vec<bool>,
    unsynced: u64,
}

impl<D: Disk> Partial<D> {
    /// Nothing is there yet but the manifest.
    pub(crate) fn begin(store: Store<D>, manifest: Manifest, file: D::File) -> Self {
        let there = vec![false; narrow(u64::from(manifest.chunks()))];
        Self { store, manifest, file, there, unsynced: 0 }
    }

    /// Some of the data may be there.
    pub(crate) fn resume(
        store: Store<D>,
        manifest: Manifest,
        file: D::File,
    ) -> Result<Self, WriteError> {
        let mut partial = Self::begin(store, manifest, file);
        partial.find_intact()?;
        Ok(partial)
    }

    /// Finds out what is there: whatever passes its checksum.
    fn find_intact(&mut self) -> Result<(), WriteError> {
        let path = self.store.disk().path(&data_name(self.id()));
        // After a failed sync, the system's cache may hold what the medium does not.
        self.file.evict().doing("evict", &path)?;
        let len = self.file.file_len().doing("measure", &path)?;
        for (number, there) in (0..).zip(&mut self.there) {
            let Some((offset, chunk)) = self.manifest.chunk_range(number) else { break };
            if offset >= len {
                break;
            }
            let mut bytes = vec![0; narrow(u64::from(chunk))];
            let read = self.file.read_full_at(offset, &mut bytes).doing("read", &path)?;
            bytes.truncate(read);
            *there = self.manifest.verify(number, Bytes::from(bytes)).is_ok();
        }
        Ok(())
    }

    /// The name of the snapshot.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        self.manifest.id()
    }

    /// Its manifest.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The chunks that are still to be received, ascending.
    #[must_use]
    pub fn missing(&self) -> Vec<Range<u32>> {
        let mut missing: Vec<Range<u32>> = Vec::new();
        for (number, _) in (0..).zip(&self.there).filter(|(_, there)| !**there) {
            match missing.last_mut() {
                Some(range) if range.end == number => range.end += 1,
                Some(_) | None => missing.push(number..number + 1),
            }
        }
        missing
    }

    /// Writes a chunk; twice does no harm.
    ///
    /// # Errors
    ///
    /// [`WriteError::OtherSnapshot`] if it is of another snapshot; others if the disk fails. Then
    /// [`Store::receive`] finds out what is there.
    pub fn write(&mut self, chunk: &VerifiedChunk) -> Result<(), WriteError> {
        if chunk.id() != self.id() {
            return Err(WriteError::OtherSnapshot);
        }
        let path = self.store.disk().path(&data_name(self.id()));
        self.file.write_full_at(chunk.offset(), chunk.bytes()).doing("write", &path)?;
        if let Some(there) = self.there.get_mut(narrow(u64::from(chunk.number()))) {
            *there = true;
        }
        self.unsynced += wide(chunk.bytes().len());
        if self.unsynced >= self.store.options().sync_bytes {
            self.file.sync_data().doing("sync", &path)?;
            self.unsynced = 0;
        }
        Ok(())
    }

    /// Makes the snapshot durable and publishes it; whichever is older than the options say goes.
    ///
    /// # Errors
    ///
    /// [`WriteError::Incomplete`] if chunks are missing; others if the disk fails. After a crash,
    /// or if the directory could not be synced, the snapshot may be there all the same, complete.
    pub fn publish(self) -> Result<Arc<Snapshot<D>>, WriteError> {
        if let Some(Range { start: number, .. }) = self.missing().first().cloned() {
            return Err(WriteError::Incomplete { number });
        }
        let path = self.store.disk().path(&data_name(self.id()));
        self.file.sync_data().doing("sync", &path)?;
        // Their name has been durable since before the manifest had its own.
        self.store.publish_received(self.manifest, self.file)
    }
}
