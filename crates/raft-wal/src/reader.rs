//! What can be read of a log, from any thread.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use raft_core::{Entry, GroupId, HardState, LogIndex, Term};

use crate::disk::{Disk, OsDisk};
use crate::error::{OpenError, ReadError};
use crate::options::Options;
use crate::read;
use crate::recovered::Recovered;
use crate::stats::Stats;
use crate::submit::Identity;
use crate::view::Shared;

/// What can be read of a [`Log`](crate::Log) or a [`Wal`](crate::Wal), both of which dereference
/// to it.
///
/// Clones read the same log, also after it has stopped or was closed: what was in memory or on disk
/// then.
#[derive(Debug)]
pub struct Reader<D: Disk = OsDisk> {
    pub(crate) shared: Arc<Shared<D>>,
}

impl<D: Disk> Clone for Reader<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl Reader<OsDisk> {
    /// Reads the log in `dir` without touching it: no lock is taken, nothing is created, synced or
    /// sealed. For tools, and for file systems that cannot be written to.
    ///
    /// The answer is what an open would find just now. If another process has the log open, it may
    /// be of different moments, and damage may be reported that is a write under way.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open(
        dir: &Path,
        identity: Identity,
        options: &Options,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::open_on(&OsDisk::new(dir), identity, options)
    }
}

impl<D: Disk> Reader<D> {
    /// Reads the log on any disk, as [`open`](Reader::open) does in a directory.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_on(
        disk: &D,
        identity: Identity,
        options: &Options,
    ) -> Result<(Self, Recovered), OpenError> {
        let (shared, recovered) = crate::recovery::read(disk, identity, options)?;
        Ok((Self { shared: Arc::new(shared) }, recovered))
    }

    pub(crate) const fn new(shared: Arc<Shared<D>>) -> Self {
        Self { shared }
    }

    /// Reads the entries of `range` that there are, up to `bytes_max` bytes: each entry counts with
    /// its command and 32 bytes more. The first one is always returned.
    ///
    /// The newest entries come from memory, including those that are not durable yet. Others are
    /// read and verified on the calling thread, which may wait for the disk; they share one
    /// allocation or map with their neighbours for as long as they are held.
    ///
    /// # Errors
    ///
    /// [`ReadError::Compacted`] or [`ReadError::Beyond`] if the first entry is not there; others if
    /// it cannot be read.
    pub fn entries(
        &self,
        group: GroupId,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        read::entries(&self.shared, group, range, bytes_max)
    }

    /// The term of the entry at `index`, also of the one before the first; `None` if it is not
    /// there.
    #[must_use]
    pub fn term(&self, group: GroupId, index: LogIndex) -> Option<Term> {
        self.shared.term(group, index)
    }

    /// Index of the first entry that is there, or would be if the log is empty.
    #[must_use]
    pub fn first_index(&self, group: GroupId) -> LogIndex {
        self.shared.first_index(group)
    }

    /// Index of the last entry, durable or not; that of the last compacted one if there is none.
    #[must_use]
    pub fn last_index(&self, group: GroupId) -> LogIndex {
        self.shared.last_index(group)
    }

    /// Term and vote as last accepted, durable or not.
    #[must_use]
    pub fn hard_state(&self, group: GroupId) -> HardState {
        self.shared.hard_state(group)
    }

    /// The largest payload of an entry that fits into a segment, in bytes. It shrinks a little as
    /// groups are added.
    #[must_use]
    pub fn entry_bytes_max(&self) -> usize {
        self.shared.lock().payload_max()
    }

    /// Counters since the open.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}
