//! What can go wrong with files, one type per operation.

use std::io;
use std::path::{Path, PathBuf};

use raft_wal::DiskError;

use crate::manifest::{ChunkError, ManifestError, Owner};

/// Why a store cannot be opened. What was found is still there, unmodified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options cannot work.
    #[error("chunks of {found} bytes: they have between 1 and {max} of them")]
    ChunkBytes {
        /// What the options say.
        found: u32,
        /// The most that is possible.
        max: u32,
    },
    /// The directory is in use.
    #[error("{} is in use by another process or another store of this one; stop that first", .dir.display())]
    AlreadyOpen {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk failed, or the directory is not readable and writable.
    #[error("{0}; check that the directory exists, is writable, and that its disk is healthy")]
    Disk(#[source] DiskError),
    /// A snapshot was written by a later version.
    #[error("cannot read {}", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is newer.
        source: ManifestError,
    },
    /// A snapshot belongs to another cluster or group.
    #[error("{} is a snapshot of cluster {} and group {}; check the path", .path.display(), .found.cluster, .found.group)]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: Owner,
    },
}

/// Why a snapshot was not written. The snapshots that were there still are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The disk failed or is full; see [`DiskError::is_no_space`].
    #[error(transparent)]
    Disk(DiskError),
    /// It does not fit into a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The directory failed earlier, so there is no telling what of it is durable. Opening the
    /// store anew tells.
    #[error("an earlier failure left the directory in doubt; restart to find out what is there")]
    InDoubt,
    /// The chunk belongs to another snapshot than the one being received.
    #[error("a chunk of another snapshot")]
    OtherSnapshot,
    /// Not all chunks are there.
    #[error("chunk {number} is missing")]
    Incomplete {
        /// The first that is missing.
        number: u32,
    },
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<DiskError> for WriteError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The data are not those that were written.
    #[error("{} is damaged: {source}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        source: ChunkError,
    },
    /// Every chunk is as it was written, but they are not the data that the manifest speaks of.
    #[error("the checksum of all of {} differs", .path.display())]
    DataChecksum {
        /// The file.
        path: PathBuf,
    },
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> Self {
        let kind = match &error {
            ReadError::Disk(disk) => disk.source.kind(),
            ReadError::Damaged { .. } | ReadError::DataChecksum { .. } => {
                io::ErrorKind::InvalidData
            }
        };
        Self::new(kind, error)
    }
}

/// Says what was being done when an operation failed.
pub(crate) trait Doing<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|source| DiskError { action, path: path.to_path_buf(), source })
    }
}
