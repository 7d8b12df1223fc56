//! What can go wrong, one type per operation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft_core::{ClusterId, GroupId, HardState, LogId, LogIndex, NodeId, Term};

pub use crate::format::Unsupported;
use crate::options::OptionsError;

/// The disk refused an operation.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", .path.display())]
pub struct DiskError {
    /// What was being done.
    pub action: &'static str,
    /// With which file or directory.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    /// Whether the disk, or the quota, is full.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
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

/// Why a log cannot be opened. What was found is still there, unmodified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The options cannot work.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The directory is in use.
    #[error("{} is in use by another process or another log of this one; stop that first", .dir.display())]
    AlreadyOpen {
        /// The directory.
        dir: PathBuf,
    },
    /// The disk failed, or the directory is not readable and writable.
    #[error("{0}; check that the directory exists, is writable, and that its disk is healthy")]
    Disk(#[source] DiskError),
    /// There is no room for the segments that an open needs.
    #[error("no space to prepare a segment of {bytes} bytes; free some on this file system")]
    NoSpace {
        /// Size of a segment.
        bytes: u64,
        /// What the system said.
        source: DiskError,
    },
    /// The log belongs to another cluster.
    #[error(
        "{} is the log of cluster {found}, not of {expected}; check the path and the cluster id",
        .dir.display()
    )]
    OtherCluster {
        /// The directory.
        dir: PathBuf,
        /// Whose log it is.
        found: ClusterId,
        /// Whose log was asked for.
        expected: ClusterId,
    },
    /// The log belongs to another server of the cluster.
    #[error(
        "{} is the log of node {found}, not of node {expected}; check the path and the node id",
        .dir.display()
    )]
    OtherNode {
        /// The directory.
        dir: PathBuf,
        /// Whose log it is.
        found: NodeId,
        /// Whose log was asked for.
        expected: NodeId,
    },
    /// There are segments, but not the file that says whose they are.
    #[error(
        "{} holds segments but no IDENT file; restore IDENT, or give this server a new node id \
         and an empty directory",
        .dir.display()
    )]
    MissingIdent {
        /// The directory.
        dir: PathBuf,
    },
    /// A segment that must exist is not there.
    #[error(
        "{} is missing; restore it, or give this server a new node id and an empty directory",
        .path.display()
    )]
    MissingSegment {
        /// The file.
        path: PathBuf,
    },
    /// A file was written by a later version.
    #[error("{} has {found}, which this version does not know; upgrade this program", .path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is newer.
        found: Unsupported,
    },
    /// Something that was acknowledged is damaged.
    #[error(
        "{0}; nothing was changed; restore the file, or give this server a new node id and an \
         empty directory"
    )]
    Corrupt(Box<Corruption>),
    /// The end of the log is ambiguous, and the options say to refuse that.
    #[error(
        "{} ends at {offset} in an unfinished or a damaged write of {bytes} bytes; open with \
         OnAmbiguousTail::Truncate to take it for unfinished",
        .path.display()
    )]
    AmbiguousTail {
        /// The file.
        path: PathBuf,
        /// Where the last whole batch ends.
        offset: u64,
        /// Bytes found behind it.
        bytes: u64,
    },
}

impl From<DiskError> for OpenError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl From<Corruption> for OpenError {
    fn from(corruption: Corruption) -> Self {
        Self::Corrupt(Box::new(corruption))
    }
}

/// Damage to something that was acknowledged.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{} is damaged at byte {offset}: {what}{}", .path.display(), listed(.entries))]
pub struct Corruption {
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What is wrong.
    pub what: &'static str,
    /// The batches that were acknowledged and are not all intact: first and last of their
    /// sequence numbers on disk.
    pub batches: Option<(u64, u64)>,
    /// The entries of the first damaged batch, as far as its table of contents is intact.
    pub entries: Vec<(GroupId, LogId)>,
}

/// The first and the last of some entries, for a sentence.
fn listed(entries: &[(GroupId, LogId)]) -> String {
    match entries {
        [] => String::new(),
        [(_, only)] => format!(" (entry {only})"),
        [(_, first), .., (_, last)] => format!(" (entries {first} to {last})"),
    }
}

/// Why the log has stopped. Only opening it again, from the disk, makes it go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalError {
    /// A write or a sync failed. It is not retried: after a failed sync the system may report
    /// success for data that it has dropped.
    #[error("the log has stopped: {0}")]
    Disk(#[source] DiskError),
    /// The log's own thread panicked.
    #[error("the log has stopped: its thread panicked")]
    Panicked,
    /// The log was dropped, or closed without space, before the batch was durable.
    #[error("the log was closed before the batch was durable")]
    Closed,
}

/// Why a batch was not accepted. Nothing has changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Too many bytes wait for the disk. Try again after the next completion.
    #[error("{queued} bytes wait for the disk, with {max} allowed; try again later")]
    Full {
        /// Bytes that wait.
        queued: usize,
        /// How many may.
        max: usize,
    },
    /// There is no space for another segment, and what is left is kept for terms, votes and
    /// compactions. Compact, or free space on the file system, and try again; each attempt looks for
    /// space.
    #[error("no space for another segment; compact the log or free space")]
    NoSpace(#[source] Arc<DiskError>),
    /// The log has stopped.
    #[error(transparent)]
    Stopped(Arc<WalError>),
    /// The batch is larger than what fits into a segment.
    #[error("a batch of {bytes} bytes exceeds the limit of {max}; enlarge segment_bytes")]
    TooLarge {
        /// Bytes that it would take on disk, at most.
        bytes: u64,
        /// How many may.
        max: u64,
    },
    /// The batch has more entries than its table has rows.
    #[error("a batch of {entries} entries exceeds the limit of {max}; split it")]
    TooManyEntries {
        /// Entries in the batch.
        entries: usize,
        /// How many may be.
        max: usize,
    },
    /// Entries leave a gap, or overlap with the log without `truncate_from`.
    #[error("entry {found} does not follow the log, where {expected} is next")]
    OutOfOrder {
        /// The index that is next.
        expected: LogIndex,
        /// The index that came.
        found: LogIndex,
    },
    /// An entry has a smaller term than the one before it.
    #[error("entry {found} has a smaller term than its predecessor, {predecessor}")]
    TermFalls {
        /// Term of the entry before.
        predecessor: Term,
        /// The entry.
        found: LogId,
    },
    /// A repair is not of the entry that the log holds at its index, or the log holds none there.
    #[error("{found} is not the entry of this log at that index (term there: {expected:?})")]
    OtherEntry {
        /// What came.
        found: LogId,
        /// The term of the entry at its index, if there is one and it is known.
        expected: Option<Term>,
    },
    /// `truncate_from` is an entry that was compacted away.
    #[error("entry {from} cannot be removed; the log begins at {first}")]
    Compacted {
        /// The first entry to be removed.
        from: LogIndex,
        /// The first entry there is.
        first: LogIndex,
    },
    /// The term would fall, or the vote within a term would change.
    #[error("the hard state {new:?} cannot follow {current:?}")]
    HardStateFalls {
        /// The latest hard state.
        current: HardState,
        /// The one that came.
        new: HardState,
    },
    /// One log holds no more groups.
    #[error("this log already holds {max} groups")]
    TooManyGroups {
        /// How many it may hold.
        max: usize,
    },
}

/// Why [`Wal::write`](crate::Wal::write) did not make a batch durable.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The batch was not accepted. Nothing has changed.
    #[error(transparent)]
    Refused(#[from] AppendError),
    /// The log stopped. The batch may or may not be found at the next open.
    #[error(transparent)]
    Stopped(#[from] Arc<WalError>),
}

/// Why entries cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The first entry asked for was compacted away; a snapshot covers it.
    #[error("the log begins at {first}; earlier entries were compacted")]
    Compacted {
        /// The first entry there is.
        first: LogIndex,
    },
    /// The first entry asked for does not exist.
    #[error("the log ends at {last}")]
    Beyond {
        /// The last entry.
        last: LogIndex,
    },
    /// The first entry asked for is lost, and nobody has repaired it; see
    /// [`Batch::repairs`](crate::Batch::repairs).
    #[error(
        "the entry {index} of term {term:?} is damaged; it has to be fetched from another node"
    )]
    Faulty {
        /// Its index.
        index: LogIndex,
        /// Its term, if it is known.
        term: Option<Term>,
    },
    /// The disk failed. Other entries may still be readable.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// What the disk returned is not what was written.
    #[error(transparent)]
    Corrupt(Box<Corruption>),
}

/// Why a log could not be closed in order. Everything reported durable is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// The log had stopped before.
    #[error(transparent)]
    Stopped(Arc<WalError>),
    /// Accepted batches could not be written for want of space.
    #[error("batches could not be written, as there is no space for another segment")]
    NoSpace(#[source] Arc<DiskError>),
}
