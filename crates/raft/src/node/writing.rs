//! Writing a snapshot, beside everything else that a node does.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use raft_core::{NodeId, SnapshotMeta};
use raft_snapshot::TokenBucket;

use super::clock::Clock;
use super::inbox::{Happening, Inbox};
use super::pace::Pace;
use crate::snapshot::{Frozen, Kept, Shelf, SnapshotError, SnapshotWriter};
use crate::state_machine::StateMachine;

/// Bytes that gather before they are handed on, for those who write a few at a time.
const BUFFER_BYTES: usize = 64 << 10;

/// Writes the snapshots of a state machine.
pub(super) struct Scribe<S: StateMachine> {
    id: NodeId,
    shelf: Arc<dyn Shelf>,
    inbox: Arc<Inbox<S>>,
    tempo: Tempo,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl<S: StateMachine> Scribe<S> {
    pub(super) fn new(
        id: NodeId,
        shelf: Arc<dyn Shelf>,
        inbox: Arc<Inbox<S>>,
        tempo: Tempo,
    ) -> Self {
        Self { id, shelf, inbox, tempo, stop: Arc::default(), thread: None }
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
        let (tempo, stop) = (self.tempo.clone(), Arc::clone(&self.stop));
        let mut frozen = Some(frozen);
        let name = format!("raft-snapshot-{}", self.id);
        let spawned = std::thread::Builder::new().name(name).spawn(move || {
            let mut write = |to: &mut SnapshotWriter<'_>| match frozen.take() {
                Some(frozen) => Frozen::write(frozen, to),
                None => Ok(()),
            };
            let taken = write_to(&*shelf, meta, Some(&tempo), &stop, &mut write);
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

/// How fast snapshots are written: what the event loop tells of the log, a snapshot goes by.
#[derive(Clone, Debug)]
pub(super) struct Tempo {
    pace: Arc<Mutex<Pace>>,
    clock: Clock,
}

impl Tempo {
    pub(super) fn new(pace: Pace, clock: Clock) -> Self {
        Self { pace: Arc::new(Mutex::new(pace)), clock }
    }

    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a snapshot; a panic in the state machine's code is an error.
fn write_to(
    shelf: &dyn Shelf,
    meta: SnapshotMeta,
    tempo: Option<&Tempo>,
    stop: &AtomicBool,
    write: &mut dyn FnMut(&mut SnapshotWriter<'_>) -> io::Result<()>,
) -> Result<Kept, SnapshotError> {
    let mut fill = |to: &mut dyn Write| {
        let pacing = tempo.map(Pacing::begin);
        let paced = Paced { to, pacing, stop };
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
    /// Absent where everything waits for the snapshot anyway.
    pacing: Option<Pacing<'a>>,
    stop: &'a AtomicBool,
}

/// How fast one snapshot is written.
struct Pacing<'a> {
    tempo: &'a Tempo,
    bucket: TokenBucket,
    /// Bytes since the last sync that was asked for.
    unsynced: u64,
}

/// What a snapshot does next.
enum Step {
    Wait(Duration),
    Go,
}

impl<'a> Pacing<'a> {
    fn begin(tempo: &'a Tempo) -> Self {
        tempo.pace().begin_writing(tempo.clock.now());
        Self { tempo, bucket: TokenBucket::new(None), unsynced: 0 }
    }

    fn next(&mut self) -> Step {
        let now = self.tempo.clock.now();
        self.bucket.set_rate(self.tempo.pace().rate(now));
        if self.bucket.is_ready(now) {
            Step::Go
        } else {
            Step::Wait(self.bucket.ready_at().since(now))
        }
    }

    /// Takes note of bytes that were written; gives whether they are to be synced.
    fn on_written(&mut self, bytes: u64) -> bool {
        let now = self.tempo.clock.now();
        self.bucket.spend(now, bytes);
        let mut pace = self.tempo.pace();
        pace.on_moved(bytes);
        self.unsynced += bytes;
        let is_due = pace.sync_bytes(now).is_some_and(|most| self.unsynced >= most);
        if is_due {
            self.unsynced = 0;
        }
        is_due
    }
}

impl Drop for Pacing<'_> {
    fn drop(&mut self) {
        self.tempo.pace().end_writing(self.tempo.clock.now());
    }
}

impl Write for Paced<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        /// How soon a stop, and an idle log, are noticed.
        const STEP: Duration = Duration::from_millis(20);
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("the node is stopping"));
            }
            match self.pacing.as_mut().map_or(Step::Go, Pacing::next) {
                Step::Go => break,
                Step::Wait(time) => std::thread::sleep(time.min(STEP)),
            }
        }
        let written = self.to.write(bytes)?;
        let count = u64::try_from(written).unwrap_or(u64::MAX);
        if self.pacing.as_mut().is_some_and(|pacing| pacing.on_written(count)) {
            self.to.flush()?;
        }
        Ok(written)
    }

    /// Does nothing: when something is synced is not for the state machine to say.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
