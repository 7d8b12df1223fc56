//! A log on disk, kept by `raft-wal`.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{ClusterId, Entry, GroupId, LogIndex, NodeId, Write};
use raft_wal::disk::Disk;
use raft_wal::{Completion, Identity, Wal};

use super::batches::{Call, UnderWay, calls};
use super::restore::restore;
use crate::log_store::{DurableCallback, LogError, LogStats, LogStore, OpenLog, OpenedLog};

/// Opens the log on a disk.
#[derive(Debug)]
pub(crate) struct OpenWal<D> {
    pub(crate) disk: D,
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) options: raft_wal::Options,
    /// Bytes of the newest entries that are read back at the start.
    pub(crate) tail_bytes_max: usize,
}

struct WalLog<D: Disk> {
    wal: Wal<D>,
    segment_bytes: u64,
    under_way: Arc<Mutex<UnderWay>>,
}

impl<D: Disk> OpenLog for OpenWal<D> {
    fn open(self: Box<Self>, mut durable: DurableCallback) -> Result<OpenedLog, LogError> {
        let under_way = Arc::new(Mutex::new(UnderWay::default()));
        let identity = Identity { cluster: self.cluster, node: self.node };
        let reported = Arc::clone(&under_way);
        let on_durable = move |completion: Completion| match completion {
            Completion::Durable { seq } => {
                if let Some(write) = lock(&reported).report(seq.get()) {
                    durable(Ok(write));
                }
            }
            // What is refused for want of space says so itself.
            Completion::Full(_) | Completion::Available => {}
            Completion::Failed(error) => durable(Err(LogError::new(error.to_string()))),
        };
        let segment_bytes = self.options.segment_bytes;
        let (wal, recovered) =
            Wal::open_on(self.disk, identity, self.options, on_durable).map_err(LogError::new)?;
        let read = |range, bytes_max| wal.entries(GroupId::FIRST, range, bytes_max);
        let restored = restore(&recovered, self.tail_bytes_max, read)?;
        let damage = recovered.damage.into_iter().map(LogError::new).collect();
        Ok(OpenedLog {
            store: Arc::new(WalLog { wal, segment_bytes, under_way }),
            restored,
            damage,
            generation: recovered.generation,
        })
    }
}

impl<D: Disk> LogStore for WalLog<D> {
    fn submit(&self, write: Write) -> Result<(), LogError> {
        // Under the lock, so that the numbers here and there are of the same order.
        let mut under_way = lock(&self.under_way);
        for (call, completes) in calls(write, self.segment_bytes) {
            under_way.push(completes);
            match call {
                Call::Append(batch) => self.wal.append(batch),
                Call::Compact(upto) => self.wal.compact_prefix(GroupId::FIRST, upto),
            }
            .map_err(LogError::new)?;
        }
        Ok(())
    }

    fn entries(
        &self,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        self.wal.entries(GroupId::FIRST, range, bytes_max).map_err(LogError::new)
    }

    fn stats(&self) -> LogStats {
        let stats = self.wal.stats();
        LogStats { syncs: stats.fdatasyncs, bytes_written: stats.bytes }
    }

    fn close(self: Arc<Self>) -> Result<(), LogError> {
        // Whoever else holds it reads from it still; then it closes as if the process had ended.
        match Arc::into_inner(self) {
            Some(log) => log.wal.close().map_err(LogError::new),
            None => Ok(()),
        }
    }
}

fn lock(under_way: &Mutex<UnderWay>) -> MutexGuard<'_, UnderWay> {
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}
