//! The log as programs use it: appends from any thread, one thread that writes.
//!
//! ```text
//! callers ── append ──► queue ──► writer thread: one write, one fdatasync ──► on_durable
//!    │                                │    ▲
//!    └─ entries ─► view, segments     ▼    │ done
//!                                keeper thread: prepares, seals and deletes segments
//! ```
//!
//! While one fdatasync runs, calls gather; the next one takes them all. An idle log adds no delay.
//!
//! Shutdown: 1. the writer is told to close or to stop; 2. it finishes what it is at, and for a
//! close all that is queued; 3. it lets go of the keeper's queue, which ends the keeper; 4. both
//! are joined.

mod keeper;
mod writer;

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use raft_core::{Entry, GroupId, HardState, LogId, LogIndex, Term};

use self::writer::{Orders, Writer};
use crate::disk::{Disk, OsDisk};
use crate::error::{AppendError, CloseError, Doing as _, OpenError, ReadError, WalError};
use crate::log::Log;
use crate::options::Options;
use crate::read;
use crate::recovered::Recovered;
use crate::stats::Stats;
use crate::submit::{Batch, BatchSeq, Completion, Identity};
use crate::view::Shared;

/// A write-ahead log in a directory, or on another [`Disk`].
///
/// Dropping it without [`close`](Self::close) is what a crash of the process would be, except that
/// it waits for the threads to end.
#[derive(Debug)]
pub struct Wal<D: Disk = OsDisk> {
    shared: Arc<Shared<D>>,
    orders: Arc<Orders<D>>,
    writer: Option<JoinHandle<Result<(), CloseError>>>,
}

impl Wal<OsDisk> {
    /// Opens the log in `dir`, or creates it, and recovers from however it ended.
    ///
    /// `on_durable` runs on the log's own thread after each fdatasync: everything up to the number
    /// it is given is durable. If the log stops, it runs once more with the reason. It must not
    /// block, for nothing is written meanwhile, and it must not close the log.
    ///
    /// An open begins a new segment and prepares the one after it: it writes and syncs up to two
    /// times [`Options::segment_bytes`] of zeros.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. If the log cannot be trusted, nothing on disk has been modified.
    pub fn open(
        dir: &Path,
        identity: Identity,
        options: Options,
        on_durable: impl FnMut(Completion) + Send + 'static,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::open_on(OsDisk::new(dir), identity, options, on_durable)
    }
}

impl<D: Disk> Wal<D> {
    /// Opens the log on any disk, as [`open`](Wal::open) does in a directory.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. If the log cannot be trusted, nothing on disk has been modified.
    pub fn open_on(
        disk: D,
        identity: Identity,
        options: Options,
        on_durable: impl FnMut(Completion) + Send + 'static,
    ) -> Result<(Self, Recovered), OpenError> {
        let idle_marker_after = options.idle_marker_after;
        let path = disk.path("");
        let (log, recovered) = Log::open(disk, identity, options)?;
        let shared = Arc::clone(log.shared());
        let orders = Arc::new(Orders::default());
        let keeper = keeper::spawn(Arc::clone(&shared), Arc::clone(&orders))
            .doing("start a thread for", &path)?;
        let writer = Writer::new(log, Arc::clone(&orders), keeper, idle_marker_after, on_durable);
        let writer = writer.spawn().doing("start a thread for", &path)?;
        Ok((Self { shared, orders, writer: Some(writer) }, recovered))
    }

    /// Queues a batch to be made durable, and returns its number. Never waits for the disk.
    ///
    /// Readers see the batch from now on; it is durable when `on_durable` has said so. Batches
    /// become durable in the order of their numbers.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. Nothing has changed then.
    pub fn append(&self, batch: Batch) -> Result<BatchSeq, AppendError> {
        let mut view = self.shared.lock();
        let accepted = view.append(batch);
        drop(view);
        // Also after a refusal: the writer looks for space again then.
        self.shared.work.notify_one();
        accepted
    }

    /// Drops all entries up to and including `upto`, which a durable snapshot covers.
    ///
    /// If the log does not reach `upto`, or holds an entry of another term there, it is empty
    /// afterwards and continues after `upto` (paper §7). Once that is durable, segments in which
    /// nothing is left are deleted. A compaction behind the log's beginning changes nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError::Stopped`] or [`AppendError::TooManyGroups`]. Lack of space is no obstacle.
    pub fn compact_prefix(&self, group: GroupId, upto: LogId) -> Result<BatchSeq, AppendError> {
        let accepted = self.shared.lock().compact(group, upto);
        self.shared.work.notify_one();
        accepted
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

    /// Makes everything accepted durable and notes on disk that nothing follows. Waits for that.
    ///
    /// # Errors
    ///
    /// See [`CloseError`]. The log can be opened again in any case.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.end(Orders::close)
    }

    fn end(&mut self, order: impl FnOnce(&Orders<D>)) -> Result<(), CloseError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        {
            // Under the lock, so that the writer cannot miss it on its way to sleep.
            let _view = self.shared.lock();
            order(&self.orders);
        }
        self.shared.work.notify_one();
        match writer.join() {
            Ok(result) => result,
            Err(_) => Err(CloseError::Stopped(self.shared.stop(WalError::Panicked))),
        }
    }
}

impl<D: Disk> Drop for Wal<D> {
    fn drop(&mut self) {
        if let Err(error) = self.end(Orders::stop) {
            tracing::debug!(%error, "the log was dropped after it had stopped");
        }
    }
}
