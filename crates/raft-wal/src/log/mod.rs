//! The log without threads: whoever owns it decides when to write.
//!
//! ```text
//! append ──► view, queue ──► flush: gather ─► make room ─► encode ─► write ─► sync ─► places
//!                                                │
//!                                             chores: prepare the next segment, seal, delete
//! ```
//!
//! [`Wal`](crate::Wal) runs the same code on two threads, one that writes and one for chores.

mod chore;
mod flight;
mod room;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::Arc;

use raft_core::{ClusterId, GroupId, LogId, LogIndex};

pub(crate) use self::chore::{Chore, Done, delete_segment};
use crate::disk::Disk;
use crate::error::{AppendError, CloseError, DiskError, OpenError, WalError};
use crate::format::batch::Counts;
use crate::format::ident::LogUuid;
use crate::format::record::{Change, Record, Slot};
use crate::group::Ledger;
use crate::limits::Fill;
use crate::options::Options;
use crate::reader::Reader;
use crate::recovered::{OpenProgress, Recovered};
use crate::segment::{SealPlan, Segment};
use crate::submit::{Batch, BatchSeq, Identity};
use crate::view::{Call, Shared};

/// A log without threads: appends gather in memory until [`flush`](Self::flush) writes them.
///
/// For programs that bring their own scheduling, and for simulation. Dropping it without
/// [`close`](Self::close) is what a crash of the process would be.
#[derive(Debug)]
pub struct Log<D: Disk> {
    disk: D,
    uuid: LogUuid,
    options: Options,
    pub(crate) reader: Reader<D>,
    /// The groups as of the last batch written.
    ledger: Ledger,
    active: Active<D>,
    chain: Chain,
    spares: Spares<D>,
    /// The full segment before the active one, until something in that is durable.
    full: Option<(Arc<Segment<D>>, SealPlan)>,
    chores: VecDeque<Chore<D>>,
    /// Segments that could not be deleted yet, ascending.
    undeleted: Vec<u64>,
    /// There is no space for another segment.
    is_short: bool,
    /// A chore is deleting others.
    deleting: bool,
    flight: Flight,
    /// Released last.
    lock: Arc<D::Lock>,
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Active<D: Disk> {
    pub(crate) segment: Arc<Segment<D>>,
    /// Where the next batch goes.
    pub(crate) end: u64,
    /// Sequence number of the first batch in it.
    pub(crate) first_seq: u64,
    pub(crate) index_bytes: u64,
    /// The pin of the segment before, until the first batch has carried it.
    pub(crate) pin: Option<crate::format::checkpoint::Pin>,
}

/// The end of the chain of batches.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chain {
    /// The last batch written.
    pub(crate) seq: u64,
    /// Checksum of its header.
    pub(crate) crc: u32,
    /// The last batch known durable.
    pub(crate) durable_seq: u64,
    /// What there is before the next batch.
    pub(crate) counts: Counts,
    /// Whether the last batch is a marker that says that all before it is durable.
    pub(crate) marked: bool,
}

/// Segments prepared for later.
#[derive(Debug)]
struct Spares<D: Disk> {
    ready: BTreeMap<u64, Segment<D>>,
    /// A chore is preparing one.
    preparing: bool,
    /// Why the latest attempt failed.
    error: Option<Arc<DiskError>>,
    /// Calls are held up for want of one.
    starved: bool,
}

/// Buffers of the write path, kept to be used again.
#[derive(Debug, Default)]
struct Flight {
    calls: Vec<Call>,
    records: Vec<Record>,
    changes: Vec<(GroupId, Slot, Change)>,
    /// Groups whose term or vote changes.
    voters: Vec<Slot>,
    buffer: Vec<u8>,
}

impl Flight {
    /// Whether any of the calls carries entries.
    fn has_entries(&self) -> bool {
        self.calls.iter().any(Call::has_entries)
    }
}

/// What one step of the writer achieved.
#[derive(Debug)]
pub(crate) enum Step {
    /// Nothing was queued.
    Idle,
    /// Everything up to here is durable.
    Durable(BatchSeq),
    /// There is no room, and no next segment yet. Nothing was written.
    Starved,
}

/// What recovery hands over.
pub(crate) struct Parts<D: Disk> {
    pub(crate) disk: D,
    pub(crate) lock: D::Lock,
    pub(crate) uuid: LogUuid,
    pub(crate) options: Options,
    pub(crate) shared: Arc<Shared<D>>,
    pub(crate) ledger: Ledger,
    pub(crate) active: Active<D>,
    pub(crate) chain: Chain,
    pub(crate) spares: BTreeMap<u64, Segment<D>>,
}

/// Why accepted calls could not be made durable.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlushError {
    /// The log has stopped.
    #[error(transparent)]
    Stopped(Arc<WalError>),
    /// There is no space for another segment. What was accepted is kept; try again after
    /// compacting or freeing space.
    #[error("no space for another segment; compact the log or free space")]
    NoSpace(#[source] Arc<DiskError>),
}

impl<D: Disk> Log<D> {
    /// Opens the log on `disk`, or creates it, and recovers from however it ended.
    ///
    /// Everything in the answer is durable.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. If the log cannot be trusted, nothing on disk has been modified.
    pub fn open(
        disk: D,
        identity: Identity,
        options: Options,
    ) -> Result<(Self, Recovered), OpenError> {
        Self::open_with_progress(disk, identity, options, |_| {})
    }

    /// Opens the log as [`open`](Self::open) does, and tells how far that has come.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. If the log cannot be trusted, nothing on disk has been modified.
    pub fn open_with_progress(
        disk: D,
        identity: Identity,
        options: Options,
        mut progress: impl FnMut(OpenProgress),
    ) -> Result<(Self, Recovered), OpenError> {
        let (parts, recovered) = crate::recovery::open(disk, identity, options, &mut progress)?;
        Ok((Self::from_parts(parts), recovered))
    }

    /// Gives a log that is `identity`'s, and not open, to another cluster: from then on it opens
    /// under the identity returned, and under the old one no more. Entries, term and vote stay.
    ///
    /// For a cluster that begins anew with what one of its members has: under a new cluster id
    /// nobody who was not there takes part. Atomic and durable; after a crash it is one or the other.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. With [`OpenError::Disk`] the log is the one's or the other's.
    pub fn give_to(
        disk: &D,
        identity: Identity,
        cluster: ClusterId,
    ) -> Result<Identity, OpenError> {
        crate::recovery::give_to(disk, identity, cluster)
    }

    fn from_parts(parts: Parts<D>) -> Self {
        let mut log = Self {
            disk: parts.disk,
            uuid: parts.uuid,
            options: parts.options,
            reader: Reader::new(parts.shared),
            ledger: parts.ledger,
            active: parts.active,
            chain: parts.chain,
            spares: Spares { ready: parts.spares, preparing: false, error: None, starved: false },
            full: None,
            chores: VecDeque::new(),
            undeleted: Vec::new(),
            is_short: false,
            deleting: false,
            flight: Flight::default(),
            lock: Arc::new(parts.lock),
        };
        log.prepare_spare();
        log
    }

    /// Accepts a batch: readers see it from now on, and the next [`flush`](Self::flush) makes it
    /// durable.
    ///
    /// # Errors
    ///
    /// See [`AppendError`]. Nothing has changed then.
    pub fn append(&mut self, batch: Batch) -> Result<BatchSeq, AppendError> {
        self.reader.shared.lock().append(batch)
    }

    /// Drops all entries up to and including `upto`, which a snapshot covers.
    ///
    /// If the log does not reach `upto`, or holds an entry of another term there, it is empty
    /// afterwards and continues after `upto` (paper §7). Segments without entries are deleted after
    /// the next [`flush`](Self::flush). A compaction behind the log's beginning changes nothing.
    ///
    /// # Errors
    ///
    /// [`AppendError::Stopped`] or [`AppendError::TooManyGroups`].
    pub fn compact_prefix(&mut self, group: GroupId, upto: LogId) -> Result<BatchSeq, AppendError> {
        self.reader.shared.lock().compact(group, upto)
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
        &mut self,
        group: GroupId,
        index: LogIndex,
    ) -> Result<BatchSeq, AppendError> {
        self.append(Batch { truncate_from: Some(index), ..Batch::new(group) })
    }

    /// Makes everything accepted durable, and does the chores. Returns the newest call.
    ///
    /// # Errors
    ///
    /// [`FlushError::NoSpace`] leaves the rest of the queue for the next attempt; after
    /// [`FlushError::Stopped`] there is none.
    pub fn flush(&mut self) -> Result<BatchSeq, FlushError> {
        while self.flush_flight()?.is_some() {}
        Ok(self.reader.shared.lock().last_seq())
    }

    /// Makes the oldest of what was accepted durable, with one write and one sync, as much as
    /// [`Options::flight_bytes_max`] says, and does the chores. Returns the newest call that has
    /// become durable; `None` if everything was.
    ///
    /// # Errors
    ///
    /// As for [`flush`](Self::flush).
    pub fn flush_flight(&mut self) -> Result<Option<BatchSeq>, FlushError> {
        self.retry_space();
        loop {
            let step = self.commit().map_err(FlushError::Stopped)?;
            self.run_chores().map_err(FlushError::Stopped)?;
            match step {
                Step::Idle => return Ok(None),
                Step::Durable(upto) => return Ok(Some(upto)),
                Step::Starved => self.make_space()?,
            }
        }
    }

    fn make_space(&mut self) -> Result<(), FlushError> {
        let Some(error) = self.spares.error.clone().filter(|_| !self.has_reserve()) else {
            return Ok(());
        };
        if self.hoist_compactions().map_err(FlushError::Stopped)? {
            self.run_chores().map_err(FlushError::Stopped)?;
            self.retry_space();
            return Ok(());
        }
        Err(FlushError::NoSpace(error))
    }

    /// Notes on disk, without a sync, that everything written is durable. To be called when
    /// nothing has been written for a while; see
    /// [`Options::idle_marker_after`](crate::Options::idle_marker_after).
    ///
    /// # Errors
    ///
    /// If the write fails the log has stopped.
    pub fn mark_idle(&mut self) -> Result<(), Arc<WalError>> {
        self.write_idle_marker()
    }

    /// Writes everything accepted and notes on disk that nothing follows.
    ///
    /// # Errors
    ///
    /// See [`CloseError`]. The log can be opened again in any case.
    pub fn close(mut self) -> Result<(), CloseError> {
        let flushed = self.flush();
        self.finish(flushed)
    }

    pub(crate) fn finish(
        mut self,
        flushed: Result<BatchSeq, FlushError>,
    ) -> Result<(), CloseError> {
        match flushed {
            Ok(_) => self.write_close_marker().map_err(CloseError::Stopped),
            Err(FlushError::Stopped(error)) => Err(CloseError::Stopped(error)),
            Err(FlushError::NoSpace(error)) => Err(CloseError::NoSpace(error)),
        }
    }

    fn fill(&self) -> Fill {
        Fill {
            segment_bytes: self.active.segment.bytes,
            end: self.active.end,
            index_bytes: self.active.index_bytes,
        }
    }

    /// Keeps the directory locked for those who do chores.
    pub(crate) fn lock(&self) -> Arc<D::Lock> {
        Arc::clone(&self.lock)
    }

    /// Stops the log for good.
    fn fail(&self, error: DiskError) -> Arc<WalError> {
        tracing::error!(%error, source = %error.source, "the write-ahead log stops");
        self.reader.shared.stop(WalError::Disk(error))
    }
}

/// What can be read.
impl<D: Disk> Deref for Log<D> {
    type Target = Reader<D>;

    fn deref(&self) -> &Reader<D> {
        &self.reader
    }
}
