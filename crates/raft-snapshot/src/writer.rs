//! Writing a snapshot as a stream.

use raft_core::SnapshotMeta;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crc32fast::Hasher;
use raft_wal::disk::{Disk, DiskFile as _};

use crate::error::{Doing as _, WriteError};
use crate::file::FileExt as _;
use crate::manifest::{Manifest, Sizes};
use crate::num::{narrow, wide};
use crate::snapshot::Snapshot;
use crate::store::Store;

/// The file of a writer until it is published, and gone with it if it never is.
#[derive(Debug)]
struct Temporary<D: Disk> {
    disk: D,
    name: String,
}

/// Writes a snapshot, one chunk in memory at a time.
///
/// Dropped before [`finish`](Self::finish) it leaves nothing, or what the next open sweeps.
#[derive(Debug)]
pub struct Writer<D: Disk> {
    store: Store<D>,
    meta: SnapshotMeta,
    temporary: Temporary<D>,
    file: D::File,
    chunk: Vec<u8>,
    crcs: Vec<u32>,
    crc: Hasher,
    written: u64,
    synced: u64,
    sessions: u64,
}

impl<D: Disk> Writer<D> {
    pub(crate) fn create(
        store: Store<D>,
        name: String,
        meta: SnapshotMeta,
    ) -> Result<Self, WriteError> {
        let temporary = Temporary { disk: store.disk().clone(), name };
        let path = temporary.path();
        let file = store.disk().create(&temporary.name).doing("create", &path)?;
        Ok(Self {
            chunk: Vec::with_capacity(narrow(u64::from(store.options().chunk_bytes))),
            store,
            meta,
            temporary,
            file,
            crcs: Vec::new(),
            crc: Hasher::new(),
            written: 0,
            synced: 0,
            sessions: 0,
        })
    }

    /// Says that what was written so far is the table of sessions, and that the state follows.
    pub fn end_sessions(&mut self) {
        self.sessions = self.len();
    }

    /// Bytes written so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.written + wide(self.chunk.len())
    }

    /// Whether nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the snapshot durable and publishes it; whichever is older than the options say goes.
    ///
    /// If the same snapshot is there already, it stays, and this one goes.
    ///
    /// # Errors
    ///
    /// If the disk fails, or the snapshot is too large. After a crash, or if the directory could
    /// not be synced, it may be there all the same, complete.
    pub fn finish(mut self) -> Result<Arc<Snapshot<D>>, WriteError> {
        self.write_chunk()?;
        self.sync()?;
        let manifest = self.manifest()?;
        self.store.publish_written(manifest, &self.temporary.name, self.file)
    }

    fn manifest(&self) -> Result<Manifest, WriteError> {
        let chunk = self.store.options().chunk_bytes;
        let sizes = Sizes { data: self.written, sessions: self.sessions, chunk };
        let crc = self.crc.clone().finalize();
        Ok(Manifest::new(self.store.owner(), self.meta.clone(), sizes, crc, &self.crcs)?)
    }

    fn write_chunk(&mut self) -> Result<(), WriteError> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let path = self.temporary.path();
        self.file.write_full_at(self.written, &self.chunk).doing("write", &path)?;
        // So that the disk does not wait for the next sync.
        self.file.write_out(self.written, wide(self.chunk.len()));
        let mut crc = Hasher::new();
        crc.update(&self.chunk);
        self.crc.combine(&crc);
        self.crcs.push(crc.finalize());
        self.written += wide(self.chunk.len());
        self.chunk.clear();
        if self.written - self.synced >= self.store.options().sync_bytes {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), WriteError> {
        self.file.sync_data().doing("sync", &self.temporary.path())?;
        self.synced = self.written;
        Ok(())
    }
}

impl<D: Disk> Write for Writer<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = narrow(u64::from(self.store.options().chunk_bytes)) - self.chunk.len();
        let part = bytes.get(..room).unwrap_or(bytes);
        self.chunk.extend_from_slice(part);
        if part.len() == room {
            self.write_chunk().map_err(io::Error::other)?;
        }
        Ok(part.len())
    }

    /// Syncs the chunks that are complete, before [`Options::sync_bytes`] of them are:
    /// a little at a time, for those who wait for the same disk. Nothing counts before
    /// [`Writer::finish`].
    ///
    /// [`Options::sync_bytes`]: crate::Options::sync_bytes
    fn flush(&mut self) -> io::Result<()> {
        if self.written > self.synced {
            self.sync().map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl<D: Disk> Temporary<D> {
    fn path(&self) -> PathBuf {
        self.disk.path(&self.name)
    }
}

impl<D: Disk> Drop for Temporary<D> {
    fn drop(&mut self) {
        // It has another name if it was published. What stays otherwise is swept when the store is
        // opened again.
        drop(self.disk.unlink(&self.name));
    }
}
