//! Reading a snapshot as a stream.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use crc32fast::Hasher;
use raft_wal::disk::Disk;

use crate::error::ReadError;
use crate::snapshot::Snapshot;

/// Reads a snapshot from its beginning to its end, one chunk in memory at a time.
///
/// No byte is handed out before its chunk is verified. Reading on after the last byte also checks
/// that the chunks together are the data that was written.
///
/// Errors are [`ReadError`]s in an [`io::Error`]; damage has the kind
/// [`InvalidData`](io::ErrorKind::InvalidData).
#[derive(Debug)]
pub struct Reader<D: Disk> {
    snapshot: Arc<Snapshot<D>>,
    next: u32,
    chunk: Bytes,
    crc: Hasher,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(snapshot: Arc<Snapshot<D>>) -> Self {
        Self { snapshot, next: 0, chunk: Bytes::new(), crc: Hasher::new() }
    }

    /// What is being read.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot<D>> {
        &self.snapshot
    }

    /// Loads the next chunk; `false` at the end.
    fn load(&mut self) -> Result<bool, ReadError> {
        if self.next >= self.snapshot.manifest().chunks() {
            let found = self.crc.clone().finalize();
            return match found == self.snapshot.manifest().data_crc() {
                true => Ok(false),
                false => Err(ReadError::DataChecksum { path: self.snapshot.path().clone() }),
            };
        }
        let chunk = self.snapshot.chunk(self.next)?;
        let mut crc = Hasher::new();
        crc.update(&chunk);
        self.crc.combine(&crc);
        self.chunk = chunk;
        self.next += 1;
        Ok(true)
    }
}

impl<D: Disk> Read for Reader<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || (self.chunk.is_empty() && !self.load()?) {
            return Ok(0);
        }
        let len = buffer.len().min(self.chunk.len());
        let (to, _) = buffer.split_at_mut(len);
        self.chunk.copy_to_slice(to);
        Ok(len)
    }
}
