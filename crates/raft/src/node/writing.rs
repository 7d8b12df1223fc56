//! Writing a snapshot, beside everything else that a node does.

use std::io::{self, BufWriter, Write};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raft_core::{NodeId, SnapshotMeta, Timestamp};
use raft_snapshot::TokenBucket;

use super::inbox::{Happening, Inbox};
use crate::snapshot::{Frozen, Kept, Shelf, SnapshotError, SnapshotWriter};
use crate::state_machine::StateMachine;

/// Bytes that gather before they are handed on, for those who write a few at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes the snapshots of a state machine.
pub(super) struct Scribe<S: StateMachine> {
    id: NodeId,
    shelf: Arc<dyn Shelf>,
    inbox: Arc<Inbox<S>>,
    bytes_per_second: Option<NonZeroU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<S: StateMachine> Scribe<S> {
    pub(super) fn new(
        id: NodeId,
        shelf: Arc<dyn Shelf>,
        inbox: Arc<Inbox<S>>,
        bytes_per_second: Option<NonZeroU64>,
    ) -> Self {
        Self { id, shelf, inbox, bytes_per_second, stop: Arc::default(), thread: None }
    }

    /// What to set when no snapshot is worth waiting for any more.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(super) const fn shelf(&self) -> &Arc<dyn Shelf> {
        &self.shelf
    }

    /// Takes a snapshot of `state`, and reports it through the inbox: on a thread of its own and
    /// no faster than allowed, if the state can be frozen; here and at once, if not.
    pub(super) fn take(&mut self, meta: SnapshotMeta, state: &S) {
        let Some(frozen) = state.freeze() else {
            let mut write = |to: &mut SnapshotWriter<'_>| state.snapshot(to);
            let taken = write_to(&*self.shelf, meta, None, &self.stop, &mut write);
            return self.inbox.tell(Happening::Taken(taken));
        };
        if let Some(thread) = self.thread.take() {
            // It has reported, or the next one would not have been begun.
            drop(thread.join());
        }
        let (shelf, inbox) = (Arc::clone(&self.shelf), Arc::clone(&self.inbox));
        let (rate, stop) = (self.bytes_per_second, Arc::clone(&self.stop));
        let mut frozen = Some(frozen);
        let name = format!("raft-snapshot-{}", self.id);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let mut write = |to: &mut SnapshotWriter<'_>| match frozen.take() {
                Some(frozen) => Frozen::write(frozen, to),
                None => Ok(()),
            };
            let taken = write_to(&*shelf, meta, rate, &stop, &mut write);
            inbox.tell(Happening::Taken(taken));
        });
        match spawned {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => self.inbox.tell(Happening::Taken(Err(error.into()))),
        }
    }

    /// Gives up what is being written.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread {
            drop(thread.join());
        }
    }
}

/// Writes a snapshot; a panic in the state machine's code is an error.
fn write_to(
    shelf: &dyn Shelf,
    meta: SnapshotMeta,
    bytes_per_second: Option<NonZeroU64>,
    stop: &AtomicBool,
    write: &mut dyn FnMut(&mut SnapshotWriter<'_>) -> io::Result<()>,
) -> Result<Kept, SnapshotError> {
    let mut fill = |to: &mut dyn Write| {
        let bucket = TokenBucket::new(bytes_per_second);
        let paced = Paced { to, bucket, started: Instant::now(), stop };
        let mut buffered = BufWriter::with_capacity(BUFFER_BYTES, paced);
        write(&mut SnapshotWriter::new(&mut buffered))?;
        buffered.flush()
    };
    let run = || shelf.write(meta, &mut fill);
    let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    let panicked = |_| Err(io::Error::other("the state machine panicked while it was written"));
    written.unwrap_or_else(panicked).map_err(SnapshotError::from)
}

/// Hands bytes on no faster than allowed, and none when the node stops.
struct Paced<'a> {
    to: &'a mut dyn Write,
    bucket: TokenBucket,
    started: Instant,
    stop: &'a AtomicBool,
}

impl Paced<'_> {
    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.started.elapsed())
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// How soon a stop is noticed.
        const STEP: Duration = Duration::from_millis(20);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("the node is stopping"));
            }
            let now = self.now();
            if self.bucket.is_ready(now) {
                break;
            }
            std::thread::sleep(self.bucket.ready_at().since(now).min(STEP));
        }
        let written = self.to.write(bytes)?;
        let now = self.now();
        self.bucket.spend(now, u64::try_from(written).unwrap_or(u64::MAX));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
