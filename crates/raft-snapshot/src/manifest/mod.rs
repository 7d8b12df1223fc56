//! The manifest: what a snapshot covers, and the checksums of its data.
//!
//! ```text
//!    0   8  magic 89 "RSNP" 0D 0A 1A
//!    8   2  major version      a reader refuses any other
//!   10   2  minor version
//!   12   4  incompatible flags, unknown bits are refused
//!   16   4  reserved
//!   20   4  length of the manifest
//!   24  16  cluster id
//!   40   8  group
//!   48   8  length of the data, d
//!   56   8  of these, the table of sessions
//!   64   4  length of a chunk, c; the last one is shorter
//!   68   4  crc of the data
//!   72   4  length of what the snapshot covers, m
//!   76   4  reserved
//!   80   m  what it covers, as raft_core::SnapshotMeta has it
//!       4n  crc of each chunk, n = d / c rounded up
//!        4  crc of all that stands before
//! ```
//!
//! Nothing in it belongs to one node: nodes that snapshot the same state make the same manifest.

mod codec;

use bytes::Bytes;
use raft_core::{ClusterId, GroupId, SnapshotMeta};

pub use self::codec::ManifestError;
pub(crate) use self::codec::{PREFIX_LEN, length_of};
use crate::id::SnapshotId;
use crate::num::{narrow, wide};

/// Longest chunk, and so what a reader must be able to hold.
pub const CHUNK_BYTES_MAX: u32 = 1 << 20;

/// Longest manifest: enough for four tebibytes in chunks of one mebibyte.
pub const MANIFEST_BYTES_MAX: u32 = 16 << 20;

/// Whose snapshots these are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The group.
    pub group: GroupId,
}

/// What a snapshot covers, how long it is, and the checksums of its data.
///
/// It takes four bytes for each chunk; clones share them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    owner: Owner,
    meta: SnapshotMeta,
    sizes: Sizes,
    data_crc: u32,
    /// Little-endian, four bytes for each chunk.
    chunk_crcs: Bytes,
    /// The whole, as it stands on disk and wire.
    encoded: Bytes,
}

/// How long the parts of a snapshot are, in bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Sizes {
    /// All data.
    pub data: u64,
    /// Of the data, what stands in front for sessions of clients.
    pub sessions: u64,
    /// Each chunk but the last. Between 1 and [`CHUNK_BYTES_MAX`].
    pub chunk: u32,
}

/// A chunk whose bytes are those that the manifest speaks of. Only [`Manifest::verify`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedChunk {
    id: SnapshotId,
    number: u32,
    offset: u64,
    bytes: Bytes,
}

/// Why bytes are not a chunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The snapshot ends before.
    #[error("there is no chunk {number}")]
    NoSuchChunk {
        /// Its number.
        number: u32,
    },
    /// Too many or too few bytes.
    #[error("chunk {number} has {found} bytes instead of {expected}")]
    Length {
        /// Its number.
        number: u32,
        /// How long it should be.
        expected: u32,
        /// How long it is.
        found: usize,
    },
    /// Other bytes.
    #[error("the checksum of chunk {number} differs")]
    Checksum {
        /// Its number.
        number: u32,
    },
}

impl Sizes {
    /// Number of chunks.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.data.div_ceil(u64::from(self.chunk.max(1)))
    }
}

impl Manifest {
    /// The name of the snapshot.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        let digest = self.encoded.last_chunk::<4>().map_or(0, |crc| u32::from_le_bytes(*crc));
        SnapshotId { last: self.meta.last, digest }
    }

    /// Whose snapshot it is.
    #[must_use]
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// What it covers.
    #[must_use]
    pub const fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// How long it is.
    #[must_use]
    pub const fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Checksum of all data.
    #[must_use]
    pub const fn data_crc(&self) -> u32 {
        self.data_crc
    }

    /// The manifest as it stands on disk and wire.
    #[must_use]
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }

    /// Number of chunks; none of an empty snapshot.
    #[must_use]
    pub fn chunks(&self) -> u32 {
        // Constructors check that the chunks can be counted.
        u32::try_from(self.sizes.chunks()).unwrap_or(u32::MAX)
    }

    /// Where a chunk begins, and how long it is; `None` if there is no such chunk.
    #[must_use]
    pub fn chunk_range(&self, number: u32) -> Option<(u64, u32)> {
        let offset = u64::from(number) * u64::from(self.sizes.chunk);
        let rest = self.sizes.data.checked_sub(offset).filter(|rest| *rest > 0)?;
        let len = u32::try_from(rest).unwrap_or(u32::MAX).min(self.sizes.chunk);
        Some((offset, len))
    }

    /// Checks that `bytes` are the chunk with this number.
    ///
    /// # Errors
    ///
    /// If they are not.
    pub fn verify(&self, number: u32, bytes: Bytes) -> Result<VerifiedChunk, ChunkError> {
        let Some((offset, expected)) = self.chunk_range(number) else {
            return Err(ChunkError::NoSuchChunk { number });
        };
        if wide(bytes.len()) != u64::from(expected) {
            return Err(ChunkError::Length { number, expected, found: bytes.len() });
        }
        if self.chunk_crc(number) != Some(crc32fast::hash(&bytes)) {
            return Err(ChunkError::Checksum { number });
        }
        Ok(VerifiedChunk { id: self.id(), number, offset, bytes })
    }

    fn chunk_crc(&self, number: u32) -> Option<u32> {
        let at = narrow(u64::from(number)).checked_mul(4)?;
        let crc = self.chunk_crcs.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*crc))
    }
}

impl VerifiedChunk {
    /// The snapshot of which it is a part.
    #[must_use]
    pub const fn id(&self) -> SnapshotId {
        self.id
    }

    /// Its number, from zero.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Where in the data it begins.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
