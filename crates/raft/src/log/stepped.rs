//! A log kept by `raft-wal` whose owner decides when it writes.

use std::ops::RangeInclusive;

use raft_core::{Entry, GroupId, LogId, LogIndex, Restored, Write, WriteSeq};
use raft_wal::disk::Disk;
use raft_wal::{AppendError, Batch, BatchSeq, FlushError, Identity, Log, Options, Recovered};

use super::queue::{Engine, Queue};
use super::restore::restore;
use crate::log_store::LogError;

/// What a node's log store does, without threads: writes gather until [`SteppedLog::flush`].
///
/// It is the store behind [`Builder::data_dir`](crate::Builder::data_dir), with the WAL's engine in
/// the place of its threads. Dropping it is what a crash of the process would be.
#[derive(Debug)]
pub struct SteppedLog<D: Disk> {
    log: Log<D>,
    queue: Queue,
    segment_bytes: u64,
    /// Whether the engine has said that it has no space.
    is_full: bool,
}

impl<D: Disk> SteppedLog<D> {
    /// Opens the log on `disk`, or creates it; gives also what it holds, `None` if it is new, and
    /// how it was found. The newest entries are read back, about `tail_bytes_max` of them.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, with what to do about it.
    pub fn open(
        disk: D,
        identity: Identity,
        options: Options,
        tail_bytes_max: usize,
    ) -> Result<(Self, Option<Restored>, Recovered), LogError> {
        let segment_bytes = options.segment_bytes;
        let (log, recovered) = Log::open(disk, identity, options).map_err(LogError::new)?;
        let read = |range, bytes_max| log.entries(GroupId::FIRST, range, bytes_max);
        let restored = restore(&recovered, tail_bytes_max, read)?;
        let queue = Queue::default();
        Ok((Self { log, queue, segment_bytes, is_full: false }, restored, recovered))
    }

    /// Takes a write, which [`SteppedLog::entries`] sees from then on, unless it waits for space.
    ///
    /// # Errors
    ///
    /// If the log takes no more; the node stops then.
    pub fn submit(&mut self, write: Write) -> Result<(), LogError> {
        self.queue.submit(&mut self.log, write, self.segment_bytes).map_err(LogError::new)
    }

    /// Makes everything submitted durable; gives the newest write that has become so.
    ///
    /// # Errors
    ///
    /// See [`FlushError`]. With [`FlushError::NoSpace`] the rest waits for another flush.
    pub fn flush(&mut self) -> Result<Option<WriteSeq>, FlushError> {
        let flushed = self.log.flush();
        self.note(flushed.map(Some))
    }

    /// Makes the oldest of what was submitted durable, as much as the log writes at once; gives the
    /// newest write that has become so as a whole.
    ///
    /// # Errors
    ///
    /// As for [`SteppedLog::flush`].
    pub fn flush_flight(&mut self) -> Result<Option<WriteSeq>, FlushError> {
        let flushed = self.log.flush_flight();
        self.note(flushed)
    }

    fn note(
        &mut self,
        flushed: Result<Option<BatchSeq>, FlushError>,
    ) -> Result<Option<WriteSeq>, FlushError> {
        self.is_full =
            matches!(flushed, Err(FlushError::NoSpace(_))) || self.log.stats().out_of_space;
        Ok(flushed?.and_then(|durable| self.queue.report(durable.get())))
    }

    /// Whether something is accepted and not durable yet.
    #[must_use]
    pub fn is_flush_due(&self) -> bool {
        self.log.stats().queued_bytes > 0
    }

    /// Whether there is no room for entries: another flush looks for space again, and then
    /// [`SteppedLog::resume`] takes up what waits.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full || self.queue.is_stuck()
    }

    /// Takes up writes that wait for space, if there is some now.
    ///
    /// # Errors
    ///
    /// If the log takes no more; the node stops then.
    pub fn resume(&mut self) -> Result<(), LogError> {
        if self.is_full {
            return Ok(());
        }
        self.queue.hand_on(&mut self.log).map_err(LogError::new)
    }

    /// Reads entries that were submitted: as many as weigh `bytes_max`, but at least one.
    ///
    /// # Errors
    ///
    /// If they cannot be read.
    pub fn entries(
        &self,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.log.entries(GroupId::FIRST, range, bytes_max).map_err(LogError::new)
    }

    /// The engine.
    pub const fn log(&mut self) -> &mut Log<D> {
        &mut self.log
    }
}

impl<D: Disk> Engine for Log<D> {
    fn append(&mut self, batch: Batch) -> Result<(), AppendError> {
        Self::append(self, batch).map(drop)
    }

    fn compact(&mut self, upto: LogId) -> Result<(), AppendError> {
        self.compact_prefix(GroupId::FIRST, upto).map(drop)
    }

    fn holds(&self, entry: LogId) -> bool {
        self.term(GroupId::FIRST, entry.index) == Some(entry.term)
            && self.first_index(GroupId::FIRST) <= entry.index
    }
}
