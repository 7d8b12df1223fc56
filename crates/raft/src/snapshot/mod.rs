//! Snapshots of a state machine: what its user sees, and where they are kept.

mod shelf;
#[cfg(feature = "sim")]
mod stepped;

use std::fmt;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::sync::Arc;

use raft_core::LogId;

pub(crate) use self::shelf::{Kept, NoShelf, Shelf, Store, damage};
#[cfg(feature = "sim")]
pub use self::stepped::{Begun, SteppedShelf};
use crate::error::StopReason;

/// Takes the bytes of a snapshot, as they come. It holds a chunk of them in memory.
pub struct SnapshotWriter<'a>(&'a mut dyn Write);

/// Gives the bytes of a snapshot, in the order in which they were written. It holds a chunk of them
/// in memory, and hands out none that is not verified.
pub struct SnapshotReader<'a>(&'a mut dyn Read);

impl<'a> SnapshotWriter<'a> {
    /// A writer in front of `to`: for tests of a state machine.
    pub const fn new(to: &'a mut dyn Write) -> Self {
        Self(to)
    }
}

impl<'a> SnapshotReader<'a> {
    /// A reader in front of `from`: for tests of a state machine.
    pub const fn new(from: &'a mut dyn Read) -> Self {
        Self(from)
    }
}

impl Write for SnapshotWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Does nothing of use: a snapshot counts when it is complete.
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Read for SnapshotReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl fmt::Debug for SnapshotWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotWriter")
    }
}

impl fmt::Debug for SnapshotReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SnapshotReader")
    }
}

/// A state as it was at one moment, to be written while the state machine goes on.
///
/// See [`StateMachine::freeze`](crate::StateMachine::freeze).
pub struct Frozen(Box<WriteOut>);

type WriteOut = dyn FnOnce(&mut SnapshotWriter<'_>) -> io::Result<()> + Send;

impl Frozen {
    /// What `write` will write. It runs on a thread of its own, and may take its time.
    pub fn new(
        write: impl FnOnce(&mut SnapshotWriter<'_>) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self(Box::new(write))
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
        (self.0)(to)
    }
}

impl fmt::Debug for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Frozen")
    }
}

/// Why there is no new snapshot. The one before, if there was one, still is there.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The state machine has no snapshots, or there is no place for them.
    #[error("the state machine has no snapshots, or there is no place to keep them")]
    Unsupported,
    /// Nothing has been applied yet.
    #[error("nothing has been applied yet")]
    Empty,
    /// It could not be written.
    #[error("the snapshot could not be written")]
    Failed(#[source] Arc<io::Error>),
    /// The node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
}

impl From<io::Error> for SnapshotError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::Unsupported {
            Self::Unsupported
        } else {
            Self::Failed(Arc::new(error))
        }
    }
}

/// What a node knows of its snapshots.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct SnapshotMetrics {
    /// The last entry that the newest snapshot covers.
    pub last: Option<LogId>,
    /// Bytes of the newest snapshot.
    pub bytes: u64,
    /// Snapshots taken since the node started.
    pub taken: u64,
    /// Snapshots that could not be taken since the node started.
    pub failed: u64,
    /// Snapshots of others that were installed since the node started.
    pub installed: u64,
    /// Whether one is being taken.
    pub is_taking: bool,
    /// Bytes per second that it gets while the log is in use, and as many those that are sent, see
    /// [`SnapshotPace`](crate::SnapshotPace); `None` if none is taken or sent, or nothing bounds it.
    pub bytes_per_second: Option<NonZeroU64>,
    /// The one that is being received.
    pub receiving: Option<raft_snapshot::Progress>,
    /// Those that are being sent.
    pub sending: Vec<raft_snapshot::Serving>,
}
