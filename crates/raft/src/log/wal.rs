//! A log on disk, kept by `raft-wal`.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{ClusterId, Entry, GroupId, LogId, LogIndex, NodeId, Write, WriteSeq};
use raft_wal::disk::Disk;
use raft_wal::{AppendError, Batch, Completion, Identity, Wal};
use tracing::{info, warn};

use super::queue::{Engine, Queue};
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
    traffic: Arc<Mutex<Traffic>>,
}

/// What is on its way into the WAL, and what that has said.
#[derive(Debug, Default)]
struct Traffic {
    queue: Queue,
    /// The newest write that is durable.
    durable: Option<WriteSeq>,
    /// Whether the WAL has said that it has no space for entries.
    is_full: bool,
}

impl Traffic {
    /// Takes what the WAL says; gives what the node is to be told.
    fn hear(&mut self, completion: Completion) -> Option<Result<WriteSeq, LogError>> {
        match completion {
            Completion::Durable { seq } => {
                let newest = self.queue.report(seq.get())?;
                self.durable = Some(newest);
                Some(Ok(newest))
            }
            Completion::Full(error) => {
                warn!(%error, source = %error.source, "no space for the log; it takes no entries");
                self.is_full = true;
                self.durable.map(Ok)
            }
            Completion::Available => {
                info!("there is space for the log again");
                self.is_full = false;
                self.durable.map(Ok)
            }
            Completion::Failed(error) => Some(Err(LogError::new(error.to_string()))),
        }
    }
}

impl<D: Disk> OpenLog for OpenWal<D> {
    fn open(self: Box<Self>, mut durable: DurableCallback) -> Result<OpenedLog, LogError> {
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let identity = Identity { cluster: self.cluster, node: self.node };
        let hearing = Arc::clone(&traffic);
        let on_durable = move |completion| {
            let news = lock(&hearing).hear(completion);
            if let Some(news) = news {
                durable(news);
            }
        };
        let segment_bytes = self.options.segment_bytes;
        let (wal, recovered) =
            Wal::open_on(self.disk, identity, self.options, on_durable).map_err(LogError::new)?;
        let read = |range, bytes_max| wal.entries(GroupId::FIRST, range, bytes_max);
        let restored = restore(&recovered, self.tail_bytes_max, read)?;
        let damage = recovered.damage.into_iter().map(LogError::new).collect();
        Ok(OpenedLog {
            store: Arc::new(WalLog { wal, segment_bytes, traffic }),
            restored,
            damage,
            generation: recovered.generation,
        })
    }
}

impl<D: Disk> Engine for &Wal<D> {
    fn append(&mut self, batch: Batch) -> Result<(), AppendError> {
        Wal::append(self, batch).map(drop)
    }

    fn compact(&mut self, upto: LogId) -> Result<(), AppendError> {
        self.compact_prefix(GroupId::FIRST, upto).map(drop)
    }

    fn holds(&self, entry: LogId) -> bool {
        self.term(GroupId::FIRST, entry.index) == Some(entry.term)
            && self.first_index(GroupId::FIRST) <= entry.index
    }
}

impl<D: Disk> LogStore for WalLog<D> {
    fn submit(&self, write: Write) -> Result<(), LogError> {
        // Under the lock, so that the numbers here and there are of the same order.
        let queue = &mut lock(&self.traffic).queue;
        queue.submit(&mut &self.wal, write, self.segment_bytes).map_err(LogError::new)
    }

    fn resume(&self) -> Result<(), LogError> {
        let mut traffic = lock(&self.traffic);
        if traffic.is_full {
            return Ok(());
        }
        traffic.queue.hand_on(&mut &self.wal).map_err(LogError::new)
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
        let traffic = lock(&self.traffic);
        let is_full = traffic.is_full || traffic.queue.is_stuck();
        LogStats { syncs: stats.fdatasyncs, bytes_written: stats.bytes, is_full }
    }

    fn close(self: Arc<Self>) -> Result<(), LogError> {
        // Whoever else holds it reads from it still; then it closes as if the process had ended.
        match Arc::into_inner(self) {
            Some(log) => log.wal.close().map_err(LogError::new),
            None => Ok(()),
        }
    }
}

fn lock(traffic: &Mutex<Traffic>) -> MutexGuard<'_, Traffic> {
    traffic.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use bytes::Bytes;
    use raft_core::{EntryPayload, HardState, Term};
    use raft_wal::sim::SimDisk;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);
    const SEGMENT_BYTES: u64 = 64 << 10;

    type Reports = Receiver<Result<WriteSeq, LogError>>;

    fn open(disk: &SimDisk) -> (OpenedLog, Reports) {
        let (told, reports) = channel();
        let opened = Box::new(OpenWal {
            disk: disk.clone(),
            node: NodeId::new(1).unwrap(),
            cluster: ClusterId::new([7; 16]),
            options: raft_wal::Options {
                segment_bytes: SEGMENT_BYTES,
                ..raft_wal::Options::default()
            },
            tail_bytes_max: usize::MAX,
        });
        let opened = opened.open(Box::new(move |report| drop(told.send(report)))).unwrap();
        (opened, reports)
    }

    fn write(seq: u64) -> Write {
        let id = LogId::new(Term::new(1), LogIndex::new(seq));
        let payload = EntryPayload::Command(Bytes::from(vec![7; 4000]));
        let hard_state = (seq == 1).then_some(HardState { term: Term::new(1), vote: None });
        let append = [Entry { id, payload }].into();
        Write { seq: WriteSeq::new(seq), hard_state, append, ..Write::default() }
    }

    fn until_durable(reports: &Reports, wanted: u64) {
        while reports.recv_timeout(PATIENCE).unwrap().unwrap().get() < wanted {}
    }

    /// Writes until the log is full, and some more; gives the last of them.
    fn fill(log: &dyn LogStore, reports: &Reports) -> u64 {
        /// How long a report may take while it is looked whether there will be one.
        const LOOK: Duration = Duration::from_millis(5);
        let mut seq = 0;
        while !log.stats().is_full {
            seq += 1;
            log.submit(write(seq)).unwrap();
            let is_durable = |report: Result<WriteSeq, LogError>| report.unwrap().get() >= seq;
            while !log.stats().is_full && !reports.recv_timeout(LOOK).is_ok_and(is_durable) {}
        }
        for more in 1..=30 {
            log.submit(write(seq + more)).unwrap();
        }
        seq + 30
    }

    #[test]
    fn what_a_full_disk_does_not_take_waits_in_order_and_is_durable_when_there_is_space() {
        let disk = SimDisk::new(3);
        let (opened, reports) = open(&disk);
        disk.set_capacity(5 * SEGMENT_BYTES);
        let last = fill(&*opened.store, &reports);
        opened.store.submit(write(last + 1)).unwrap();
        opened.store.resume().unwrap();
        assert!(opened.store.stats().is_full);

        disk.set_capacity(100 * SEGMENT_BYTES);
        let log = Arc::clone(&opened.store);
        while log.stats().is_full {
            log.resume().unwrap();
            std::thread::yield_now();
        }

        until_durable(&reports, last + 1);
        log.submit(write(last + 2)).unwrap();
        until_durable(&reports, last + 2);
        drop((log, opened));
        let restored = open(&disk).0.restored.unwrap();
        assert_eq!(restored.last.index.get(), last + 2);
    }

    #[test]
    fn a_compaction_that_waits_behind_entries_makes_space_for_them() {
        let disk = SimDisk::new(3);
        let (opened, reports) = open(&disk);
        disk.set_capacity(10 * SEGMENT_BYTES);
        let log = &opened.store;
        let last = fill(&**log, &reports);

        let compact = Some(LogId::new(Term::new(1), LogIndex::new(last - 50)));
        let seq = WriteSeq::new(last + 1);
        log.submit(Write { seq, compact, ..Write::default() }).unwrap();
        while log.stats().is_full {
            log.resume().unwrap();
            std::thread::yield_now();
        }

        until_durable(&reports, last + 1);
    }
}
