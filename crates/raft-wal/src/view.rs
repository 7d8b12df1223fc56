//! What appenders, readers and the writer share.
//!
//! A call changes the view at once, so that the next one can be checked against it and readers see
//! its entries, and joins a queue; the writer makes it durable later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use raft_core::{Entry, EntryKind, GroupId, HardState, LogId, LogIndex, Term};

use crate::disk::Disk;
use crate::error::{AppendError, DiskError, WalError};
use crate::format::record::Change;
use crate::group::{GroupLog, Ledger};
use crate::limits;
use crate::num::{narrow, wide};
use crate::options::{Options, ReadMode};
use crate::places::Places;
use crate::segment::Segment;
use crate::stats::Stats;
use crate::submit::{Batch, BatchSeq};
use crate::tail_cache::{TailCache, cached_bytes};

/// Sealed segments that are kept open for reading.
const READERS_MAX: usize = 64;

/// The view, and a way to wait for it to change.
#[derive(Debug)]
pub(crate) struct Shared<D: Disk> {
    view: Mutex<View<D>>,
    /// Signalled when there is something to do for the writer.
    pub(crate) work: Condvar,
    read_mode: ReadMode,
}

/// A call in the queue.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) seq: BatchSeq,
    pub(crate) group: GroupId,
    /// Bytes that it takes on disk, at most.
    pub(crate) cost: u64,
    pub(crate) request: Request,
}

/// Want of space.
#[derive(Debug)]
pub(crate) struct Shortage {
    /// Cost of what may still be accepted, with what is queued.
    pub(crate) room: u64,
    pub(crate) error: Arc<DiskError>,
}

/// What a call asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Append {
        hard_state: Option<HardState>,
        truncate_from: Option<LogIndex>,
        settles_doubt: bool,
        repairs: Vec<Entry>,
        entries: Vec<Entry>,
    },
    /// Drop the prefix; with `conflict`, what follows as well.
    Compact { upto: LogId, conflict: bool },
}

impl Call {
    pub(crate) fn has_entries(&self) -> bool {
        match &self.request {
            Request::Append { repairs, entries, .. } => !repairs.is_empty() || !entries.is_empty(),
            Request::Compact { .. } => false,
        }
    }

    /// Records that it takes, at most.
    pub(crate) fn records(&self) -> usize {
        match &self.request {
            Request::Append { repairs, entries, .. } => repairs.len() + entries.len() + 3,
            Request::Compact { .. } => 3,
        }
    }
}

/// One group as its latest accepted call left it.
#[derive(Debug, Default)]
pub(crate) struct GroupView {
    pub(crate) log: GroupLog,
    pub(crate) cache: TailCache,
}

/// What appenders, readers and the writer share.
#[derive(Debug)]
pub(crate) struct View<D: Disk> {
    groups: BTreeMap<GroupId, GroupView>,
    queue: VecDeque<Call>,
    last_seq: BatchSeq,
    segment_bytes: u64,
    queue_bytes_max: usize,
    cache_bytes_max: usize,
    /// Segments that hold batches, the active one included.
    pub(crate) segments: BTreeMap<u64, Arc<Segment<D>>>,
    pub(crate) places: Places,
    /// Segments with an open reader, the latest used last.
    readers: VecDeque<u64>,
    pub(crate) stats: Stats,
    /// Why the log has stopped.
    pub(crate) stopped: Option<Arc<WalError>>,
    /// Present while there is no space for another segment.
    pub(crate) shortage: Option<Shortage>,
    /// The writer's thread is to look again, whether or not there are calls.
    pub(crate) is_nudged: bool,
    /// The writer's thread looks again after a while.
    pub(crate) is_watched: bool,
    /// An append was refused for want of space since the writer looked for some.
    pub(crate) retry_space: bool,
}

impl<D: Disk> Shared<D> {
    pub(crate) fn new(view: View<D>, read_mode: ReadMode) -> Self {
        Self { view: Mutex::new(view), work: Condvar::new(), read_mode }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, View<D>> {
        // A panic elsewhere stops the log (see `Wal`); what can be read still can.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut View<D>) -> T) -> T {
        f(&mut self.lock())
    }

    pub(crate) const fn read_mode(&self) -> ReadMode {
        self.read_mode
    }

    pub(crate) fn term(&self, group: GroupId, index: LogIndex) -> Option<Term> {
        self.with(|view| match view.groups.get(&group) {
            Some(group) => group.log.term(index),
            None => GroupLog::default().term(index),
        })
    }

    pub(crate) fn first_index(&self, group: GroupId) -> LogIndex {
        self.with(|view| view.groups.get(&group).map_or(LogIndex::ZERO.next(), |g| g.log.first()))
    }

    pub(crate) fn last_index(&self, group: GroupId) -> LogIndex {
        self.with(|view| view.groups.get(&group).map_or(LogIndex::ZERO, |g| g.log.last().index))
    }

    pub(crate) fn hard_state(&self, group: GroupId) -> HardState {
        self.with(|view| view.groups.get(&group).map(|g| g.log.hard_state())).unwrap_or_default()
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats
    }

    /// Stops the log for good; the first cause stays.
    pub(crate) fn stop(&self, error: WalError) -> Arc<WalError> {
        Arc::clone(self.lock().stopped.get_or_insert_with(|| Arc::new(error)))
    }

    /// Notes that `segment` is being read, and closes the one that was not for longest.
    pub(crate) fn note_reader(&self, segment: &Segment<D>) {
        let number = segment.number;
        let closed = self.with(|view| {
            view.readers.retain(|known| *known != number);
            view.readers.push_back(number);
            if view.readers.len() <= READERS_MAX {
                return None;
            }
            view.readers.pop_front().and_then(|number| view.segments.get(&number).cloned())
        });
        // Unmapping takes a while: not under the lock.
        if let Some(segment) = closed {
            segment.close_reader();
        }
    }
}

impl<D: Disk> View<D> {
    pub(crate) fn new(
        ledger: &Ledger,
        places: Places,
        segments: BTreeMap<u64, Arc<Segment<D>>>,
        options: &Options,
    ) -> Self {
        let group = |(id, log): &(GroupId, GroupLog)| {
            (*id, GroupView { log: log.clone(), cache: TailCache::default() })
        };
        Self {
            groups: ledger.iter().map(group).collect(),
            queue: VecDeque::new(),
            last_seq: BatchSeq::default(),
            segment_bytes: options.segment_bytes,
            queue_bytes_max: options.queue_bytes_max,
            cache_bytes_max: options.tail_cache_bytes_max,
            segments,
            places,
            readers: VecDeque::new(),
            stats: Stats::default(),
            stopped: None,
            shortage: None,
            is_nudged: false,
            is_watched: false,
            retry_space: false,
        }
    }

    pub(crate) fn group(&self, group: GroupId) -> Option<&GroupView> {
        self.groups.get(&group)
    }

    pub(crate) fn last_seq(&self) -> BatchSeq {
        self.last_seq
    }

    pub(crate) fn payload_max(&self) -> usize {
        limits::payload_max(self.segment_bytes, self.groups.len() + 1)
    }

    /// Accepts a batch, or says why not.
    pub(crate) fn append(&mut self, batch: Batch) -> Result<BatchSeq, AppendError> {
        self.check_running()?;
        let cost = limits::batch_cost(&batch);
        self.check_limits(&batch, cost)?;
        self.check_space(&batch, cost)?;
        match self.groups.get(&batch.group) {
            Some(group) => group.log.check(&batch)?,
            None => GroupLog::default().check(&batch)?,
        }
        Ok(self.accept(batch, cost))
    }

    fn check_running(&self) -> Result<(), AppendError> {
        match &self.stopped {
            Some(error) => Err(AppendError::Stopped(Arc::clone(error))),
            None => Ok(()),
        }
    }

    fn check_limits(&self, batch: &Batch, bytes: u64) -> Result<(), AppendError> {
        let is_new = !self.groups.contains_key(&batch.group);
        if is_new && self.groups.len() >= Ledger::GROUPS_MAX {
            return Err(AppendError::TooManyGroups { max: Ledger::GROUPS_MAX });
        }
        let entries = batch.repairs.len() + batch.entries.len();
        if entries > limits::BATCH_ENTRIES_MAX {
            let max = limits::BATCH_ENTRIES_MAX;
            return Err(AppendError::TooManyEntries { entries, max });
        }
        let max = limits::batch_cost_max(self.segment_bytes, self.groups.len() + 1);
        if bytes > max {
            return Err(AppendError::TooLarge { bytes, max });
        }
        Ok(())
    }

    fn check_space(&mut self, batch: &Batch, cost: u64) -> Result<(), AppendError> {
        let has_entries = !batch.entries.is_empty() || !batch.repairs.is_empty();
        if let Some(Shortage { room, error }) = self.shortage.as_ref().filter(|_| has_entries)
            && self.stats.queued_bytes + cost > *room
        {
            self.retry_space = true;
            return Err(AppendError::NoSpace(Arc::clone(error)));
        }
        let queued = narrow(self.stats.queued_bytes);
        let max = self.queue_bytes_max;
        if queued > 0 && queued.saturating_add(narrow(cost)) > max {
            return Err(AppendError::Full { queued, max });
        }
        Ok(())
    }

    fn accept(&mut self, batch: Batch, cost: u64) -> BatchSeq {
        let seq = self.last_seq.next();
        let group = self.groups.entry(batch.group).or_default();
        if let Some(state) = batch.hard_state {
            group.log.apply(Change::HardState(state));
        }
        let mut freed = 0;
        if let Some(from) = batch.truncate_from {
            group.log.apply(Change::Truncate(from));
            freed = group.cache.truncate(from);
        }
        if batch.settles_doubt {
            group.log.settle_doubt();
        }
        for entry in &batch.repairs {
            group.log.expect_repair(entry.id, entry.payload.kind());
        }
        for entry in &batch.entries {
            group.log.apply(Change::Entry(entry.id, entry.payload.kind()));
            group.cache.push(entry.clone(), seq);
        }
        let added: usize = batch.entries.iter().map(cached_bytes).sum();
        self.stats.cached_bytes += wide(added);
        self.stats.cached_bytes -= wide(freed);
        let Batch { group, hard_state, truncate_from, settles_doubt, repairs, entries } = batch;
        let request =
            Request::Append { hard_state, truncate_from, settles_doubt, repairs, entries };
        self.enqueue(group, cost, request)
    }

    /// Accepts a compaction. One that is behind the log's beginning changes nothing.
    pub(crate) fn compact(&mut self, id: GroupId, upto: LogId) -> Result<BatchSeq, AppendError> {
        self.check_running()?;
        if !self.groups.contains_key(&id) && self.groups.len() >= Ledger::GROUPS_MAX {
            return Err(AppendError::TooManyGroups { max: Ledger::GROUPS_MAX });
        }
        let group = self.groups.entry(id).or_default();
        let held = group.log.term(upto.index);
        let ahead = upto.index > group.log.base().index;
        let conflict = ahead && held.is_some_and(|term| term != upto.term);
        let mut freed = 0;
        if ahead {
            if conflict {
                group.log.apply(Change::Truncate(upto.index.next()));
                freed += group.cache.truncate(upto.index.next());
            }
            group.log.apply(Change::Compact(upto));
            freed += group.cache.compact(upto.index);
        }
        self.stats.cached_bytes -= wide(freed);
        Ok(self.enqueue(id, limits::bare_cost(), Request::Compact { upto, conflict }))
    }

    fn enqueue(&mut self, group: GroupId, cost: u64, request: Request) -> BatchSeq {
        self.last_seq = self.last_seq.next();
        self.stats.queued_bytes += cost;
        self.queue.push_back(Call { seq: self.last_seq, group, cost, request });
        self.last_seq
    }

    pub(crate) fn has_calls(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The calls that wait, oldest first.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.queue.iter()
    }

    /// Takes the oldest calls into `calls`, up to a cost; at least one.
    pub(crate) fn gather(&mut self, calls: &mut Vec<Call>, cost_max: u64) {
        let mut cost = 0;
        let mut records = 0;
        while let Some(call) = self.queue.front() {
            cost += call.cost;
            records += call.records();
            let full = cost > cost_max || records > limits::FLIGHT_RECORDS_MAX;
            if full && !calls.is_empty() {
                break;
            }
            calls.extend(self.queue.pop_front());
        }
    }

    /// Notes where an entry stands that was written again: it can be read from there.
    pub(crate) fn on_repaired(&mut self, group: GroupId, id: LogId, kind: EntryKind) {
        // It may have been removed since, or replaced.
        if let Some(group) = self.groups.get_mut(&group)
            && group.log.faults().contains(id.index)
        {
            group.log.apply(Change::Repair(id, kind));
        }
    }

    /// Notes that `calls` are durable, and lets go of memory that held them.
    pub(crate) fn on_durable(&mut self, calls: &[Call]) {
        for call in calls {
            self.stats.batches += 1;
            self.stats.queued_bytes -= call.cost;
        }
        let Some(durable) = calls.last().map(|call| call.seq) else { return };
        let mut excess = narrow(self.stats.cached_bytes).saturating_sub(self.cache_bytes_max);
        let mut freed = 0;
        // The groups that were written to first: theirs is what grew.
        let written = calls.iter().map(|call| call.group);
        let mut groups: Vec<GroupId> = Vec::new();
        if excess > 0 {
            groups.extend(written);
            groups.dedup();
            groups.extend(self.groups.keys());
        }
        for group in groups {
            if excess == 0 {
                break;
            }
            let Some(group) = self.groups.get_mut(&group) else { continue };
            let evicted = group.cache.evict(excess, durable);
            excess = excess.saturating_sub(evicted);
            freed += evicted;
        }
        self.stats.cached_bytes -= wide(freed);
    }
}
