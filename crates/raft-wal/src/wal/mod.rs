//! The log as programs use it: appends from any thread, one thread that writes.
//!
//! ```text
//! callers ── append ──► queue ──► writer thread ──┐
//!    │ └─── write, wait ─────────────────────────┴► desk: one write, one fdatasync ─► on_durable
//!    │                                                 │    ▲
//!    └─ entries ─► view, segments                      ▼    │ done
//!                                 keeper thread: prepares, seals and deletes segments
//! ```
//!
//! While one fdatasync runs, calls gather; the next one takes them all. An idle log adds no delay.
//!
//! Shutdown: 1. the writer is told to close or to stop; 2. it finishes what it is at, and for a
//! close all that is queued; 3. it lets go of the keeper's queue, which ends the keeper; 4. both
//! are joined.

mod desk;
mod keeper;
mod waiting;
mod writer;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;

use raft_core::{GroupId, LogId, LogIndex};

use self::desk::{Desk, Seat};
use self::writer::{Orders, Writer};
use crate::disk::{Disk, OsDisk};
use crate::error::{AppendError, CloseError, Doing as _, OpenError, WalError, WriteError};
use crate::log::Log;
use crate::options::Options;
use crate::reader::Reader;
use crate::recovered::{OpenProgress, Recovered};
use crate::submit::{Batch, BatchSeq, Completion, Identity};

/// A write-ahead log in a directory, or on another [`Disk`].
///
/// Dropping it without [`close`](Self::close) is what a crash of the process would be, except that
/// it waits for the threads to end.
#[derive(Debug)]
pub struct Wal<D: Disk = OsDisk> {
    reader: Reader<D>,
    desk: Arc<Desk<D>>,
    orders: Arc<Orders>,
    writer: Option<JoinHandle<Result<(), CloseError>>>,
}

impl Wal<OsDisk> {
    /// Opens the log in `dir`, or creates it, and recovers from however it ended.
    ///
    /// `on_durable` runs after each fdatasync, on the log's own thread or on that of a caller of
    /// [`write`](Self::write) or [`wait`](Self::wait): everything up to the number it is given is
    /// durable. If the log stops, it runs once more with the reason. It must not
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
        Self::open_with_progress(disk, identity, options, on_durable, |_| {})
    }

    /// Opens the log as [`open_on`](Self::open_on) does, and tells how far that has come.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. If the log cannot be trusted, nothing on disk has been modified.
    pub fn open_with_progress(
        disk: D,
        identity: Identity,
        options: Options,
        on_durable: impl FnMut(Completion) + Send + 'static,
        progress: impl FnMut(OpenProgress),
    ) -> Result<(Self, Recovered), OpenError> {
        let idle_marker_after = options.idle_marker_after;
        let path = disk.path("");
        let (log, recovered) = Log::open_with_progress(disk, identity, options, progress)?;
        let reader = log.reader.clone();
        let shared = Arc::clone(&reader.shared);
        let desk = Arc::new(Desk::new(Arc::clone(&shared)));
        let orders = Arc::new(Orders::default());
        let (chores, queue) = channel();
        let keeper = keeper::spawn(log.lock(), Arc::clone(&shared), Arc::clone(&desk), queue)
            .doing("start a thread for", &path)?;
        let mut seat = Seat::new(log, chores, Box::new(on_durable));
        seat.settle();
        desk.leave(Box::new(seat));
        let writer = Writer {
            shared,
            desk: Arc::clone(&desk),
            orders: Arc::clone(&orders),
            keeper,
            idle_marker_after,
        };
        let writer = writer.spawn().doing("start a thread for", &path)?;
        Ok((Self { reader, desk, orders, writer: Some(writer) }, recovered))
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
        let mut view = self.reader.shared.lock();
        let accepted = view.append(batch);
        drop(view);
        // Also after a refusal: the writer looks for space again then.
        self.reader.shared.work.notify_one();
        accepted
    }

    /// Makes a batch durable, and returns when it is. If nothing else is under way, the write and
    /// the sync run on this thread, which saves two hand-overs; so does `on_durable`.
    ///
    /// # Errors
    ///
    /// [`WriteError::Refused`] if the batch was not accepted: nothing has changed then.
    /// [`WriteError::Stopped`] if the log stopped before it was durable.
    pub fn write(&self, batch: Batch) -> Result<BatchSeq, WriteError> {
        let accepted = self.reader.shared.lock().append(batch);
        let seq = accepted.inspect_err(|_| self.reader.shared.work.notify_one())?;
        self.desk.wait(seq)?;
        Ok(seq)
    }

    /// Waits on this thread until `seq` is durable, and does the work if nobody else does.
    ///
    /// # Errors
    ///
    /// If the log stopped before that.
    pub fn wait(&self, seq: BatchSeq) -> Result<(), Arc<WalError>> {
        self.desk.wait(seq)
    }

    /// A future that is ready when `seq` is durable. It needs no particular runtime and never
    /// blocks its thread; dropping it changes nothing.
    ///
    /// # Errors
    ///
    /// If the log stopped before that, or was closed or dropped.
    pub fn durable(
        &self,
        seq: BatchSeq,
    ) -> impl Future<Output = Result<(), Arc<WalError>>> + use<D> {
        let desk = Arc::clone(&self.desk);
        std::future::poll_fn(move |context| desk.poll(seq, context.waker()))
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
        let accepted = self.reader.shared.lock().compact(group, upto);
        self.reader.shared.work.notify_one();
        accepted
    }

    /// Removes the entry at `index` and all after it, and ends the doubt about what may have stood
    /// behind the end (see [`RecoveredGroup::faulty`](crate::RecoveredGroup::faulty)).
    ///
    /// Only for those who know that nothing acknowledged goes with it: that no majority has the
    /// entries, or that a leader sends others in their place. It is
    /// [`Batch::truncate_from`](crate::Batch::truncate_from) by itself.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. Nothing has changed then.
    pub fn drop_faulty_from(
        &self,
        group: GroupId,
        index: LogIndex,
    ) -> Result<BatchSeq, AppendError> {
        self.append(Batch { truncate_from: Some(index), ..Batch::new(group) })
    }

    /// Makes everything accepted durable and notes on disk that nothing follows. Waits for that.
    ///
    /// # Errors
    ///
    /// See [`CloseError`]. The log can be opened again in any case.
    pub fn close(mut self) -> Result<(), CloseError> {
        self.end(Orders::close)
    }

    fn end(&mut self, order: impl FnOnce(&Orders)) -> Result<(), CloseError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        {
            // Under the lock, so that the writer cannot miss it on its way to sleep.
            let _view = self.reader.shared.lock();
            order(&self.orders);
        }
        self.reader.shared.work.notify_one();
        match writer.join() {
            Ok(result) => result,
            Err(_) => Err(CloseError::Stopped(self.reader.shared.stop(WalError::Panicked))),
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

/// What can be read.
impl<D: Disk> Deref for Wal<D> {
    type Target = Reader<D>;

    fn deref(&self) -> &Reader<D> {
        &self.reader
    }
}
