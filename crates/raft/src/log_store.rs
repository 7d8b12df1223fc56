//! Where a node keeps its log.

use std::error::Error;
use std::ops::RangeInclusive;
use std::sync::Arc;

use raft_core::{Entry, LogIndex, Restored, Write, WriteSeq};

/// A place for a node's log, term and vote.
///
/// Writes are submitted without waiting and reported when they are durable, in order; a store may
/// make many durable at once. It must not report a write before it would survive a loss of power.
///
/// A store without room for entries says so in [`LogStats::is_full`]. What it was given before the
/// node knows that waits, in order, for [`LogStore::resume`].
pub trait LogStore: Send + Sync + 'static {
    /// Takes a write. Must not wait for the disk.
    ///
    /// # Errors
    ///
    /// If the store cannot take writes any more; the node stops then.
    fn submit(&self, write: Write) -> Result<(), LogError>;

    /// Reads entries that were submitted: as many as weigh `bytes_max`, but at least one. May wait
    /// for the disk; it is not called on the node's event loop.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    fn entries(
        &self,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError>;

    /// Takes up writes that wait for room, if there is some now. Called from time to time while
    /// [`LogStats::is_full`] says that there is none. Must not wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`LogStore::submit`].
    fn resume(&self) -> Result<(), LogError> {
        Ok(())
    }

    /// What has been written and made durable so far, for metrics; and whether there is room.
    fn stats(&self) -> LogStats {
        LogStats::default()
    }

    /// Releases the store when the node shuts down; writes submitted before are durable after.
    ///
    /// # Errors
    ///
    /// If that failed. Nothing acknowledged is lost.
    fn close(self: Arc<Self>) -> Result<(), LogError>;
}

/// Opens a [`LogStore`]. The callback is told of every write that is durable, or of failure.
pub trait OpenLog: Send + 'static {
    /// Opens the store, and says what it holds: nothing, if it is new.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, with what to do about it.
    fn open(self: Box<Self>, durable: DurableCallback) -> Result<OpenedLog, LogError>;
}

/// To be called, in order, whenever writes have become durable, or cannot.
pub type DurableCallback = Box<dyn FnMut(Result<WriteSeq, LogError>) + Send>;

/// A store, and what it holds.
#[derive(Debug)]
pub struct OpenedLog {
    /// The store.
    pub store: Arc<dyn LogStore>,
    /// What it holds; `None` if it is new.
    pub restored: Option<Restored>,
    /// What of it is damaged, because of which entries are [`faulty`](Restored::faulty): for whoever
    /// looks after the disk.
    pub damage: Vec<LogError>,
    /// Grows with every start from this store, so that peers can tell a node's runs apart.
    pub generation: u64,
}

impl std::fmt::Debug for dyn LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LogStore")
    }
}

/// What a log store has done since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct LogStats {
    /// Calls that made writes durable.
    pub syncs: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// There is no room for more entries. The node proposes and takes none then; terms and votes it
    /// submits all the same. A change is noticed sooner if the newest durable write is reported
    /// again.
    pub is_full: bool,
}

/// Why a log could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct LogError(Box<dyn Error + Send + Sync>);

impl LogError {
    /// Wraps the store's own error.
    pub fn new(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}
