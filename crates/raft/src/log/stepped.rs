//! A log kept by `raft-wal` whose owner decides when it writes.

use std::ops::RangeInclusive;

use raft_core::{Entry, GroupId, LogIndex, Restored, Write, WriteSeq};
use raft_wal::disk::Disk;
use raft_wal::{FlushError, Identity, Log, Options, Recovered};

use super::batches::{Call, UnderWay, calls};
use super::restore::restore;
use crate::log_store::LogError;

/// What a node's log store does, without threads: writes gather until [`SteppedLog::flush`].
///
/// It is the store behind [`Builder::data_dir`](crate::Builder::data_dir), with the WAL's engine in
/// the place of its threads. Dropping it is what a crash of the process would be.
#[derive(Debug)]
pub struct SteppedLog<D: Disk> {
    log: Log<D>,
    under_way: UnderWay,
    segment_bytes: u64,
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
        Ok((Self { log, under_way: UnderWay::default(), segment_bytes }, restored, recovered))
    }

    /// Takes a write, which [`SteppedLog::entries`] sees from then on.
    ///
    /// # Errors
    ///
    /// If the log takes no more; the node stops then.
    pub fn submit(&mut self, write: Write) -> Result<(), LogError> {
        for (call, completes) in calls(write, self.segment_bytes) {
            self.under_way.push(completes);
            match call {
                Call::Append(batch) => self.log.append(batch),
                Call::Compact(upto) => self.log.compact_prefix(GroupId::FIRST, upto),
            }
            .map_err(LogError::new)?;
        }
        Ok(())
    }

    /// Makes everything submitted durable; gives the newest write that has become so.
    ///
    /// # Errors
    ///
    /// See [`FlushError`]. With [`FlushError::NoSpace`] the rest waits for another flush.
    pub fn flush(&mut self) -> Result<Option<WriteSeq>, FlushError> {
        let durable = self.log.flush()?;
        Ok(self.under_way.report(durable.get()))
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
