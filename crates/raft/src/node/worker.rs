//! The thread on which the state machine lives.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use raft_core::{Entry, LogIndex, NodeId, SnapshotMeta};
use raft_snapshot::SnapshotId;
use tokio::sync::watch;

use super::callers::Caller;
use super::inbox::{Happening, Inbox, Reader};
use super::writing::Scribe;
use crate::driver::{Entries, Job};
use crate::error::StopReason;
use crate::log_store::LogStore;
use crate::machine::{Machine, Undecodable};
use crate::state_machine::StateMachine;
use crate::status::Metrics;

/// Bytes of entries that are read from the log at a time.
const READ_BYTES: usize = 4 << 20;

type Jobs<S> = Vec<Job<Caller<S>, Reader<S>>>;

/// The event loop's end of the thread.
pub(super) struct Worker<S: StateMachine> {
    jobs: Sender<Jobs<S>>,
    progress: Arc<Progress>,
    /// Set when no snapshot is worth waiting for.
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// How far the state machine is.
#[derive(Debug, Default)]
struct Progress {
    applied: AtomicU64,
    /// Whether the event loop wants to be told when that changes.
    awaited: AtomicBool,
}

impl<S: StateMachine> Worker<S> {
    pub(super) fn start(
        id: NodeId,
        machine: Machine<S>,
        log: Arc<dyn LogStore>,
        scribe: Scribe<S>,
        inbox: Arc<Inbox<S>>,
        metrics: Arc<watch::Sender<Metrics>>,
    ) -> std::io::Result<Self> {
        let (jobs, receiver) = channel();
        let progress = Arc::new(Progress::default());
        progress.applied.store(machine.applied().get(), Ordering::SeqCst);
        let (shared, stop) = (Arc::clone(&progress), scribe.stop_flag());
        let rig = Rig { machine, log, scribe, inbox, progress: shared, metrics };
        let thread = std::thread::Builder::new()
            .name(format!("raft-apply-{id}"))
            .spawn(move || rig.run(&receiver))?;
        Ok(Self { jobs, progress, stop, thread })
    }

    pub(super) fn submit(&self, jobs: Jobs<S>) {
        // If it is gone, it has told the inbox why; the callers are dropped with the jobs.
        drop(self.jobs.send(jobs));
    }

    pub(super) fn applied(&self) -> LogIndex {
        LogIndex::new(self.progress.applied.load(Ordering::Acquire))
    }

    /// Asks for [`Happening::Applied`] when there is progress past what [`Worker::applied`] said.
    pub(super) fn await_progress(&self) {
        self.progress.awaited.store(true, Ordering::SeqCst);
    }

    /// Ends the thread once it has done what it was given; snapshots are given up.
    pub(super) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.jobs);
        // A panic of the state machine was caught, and reported.
        drop(self.thread.join());
    }
}

/// The thread's end.
struct Rig<S: StateMachine> {
    machine: Machine<S>,
    log: Arc<dyn LogStore>,
    scribe: Scribe<S>,
    inbox: Arc<Inbox<S>>,
    progress: Arc<Progress>,
    metrics: Arc<watch::Sender<Metrics>>,
}

/// Responses to be given, once all entries of a job are applied.
type Responses<S> = Vec<(Caller<S>, <S as StateMachine>::Response)>;

impl<S: StateMachine> Rig<S> {
    fn run(mut self, jobs: &Receiver<Jobs<S>>) {
        while let Ok(batch) = jobs.recv() {
            for job in batch {
                // The state machine is not used after a panic.
                let done = catch_unwind(AssertUnwindSafe(|| self.carry_out(job)));
                let reason = match done {
                    Ok(Ok(())) => continue,
                    Ok(Err(reason)) => reason,
                    Err(_) => StopReason::StateMachinePanicked,
                };
                self.inbox.tell(Happening::Stop(reason));
                return self.scribe.stop();
            }
        }
        self.scribe.stop();
    }

    fn carry_out(&mut self, job: Job<Caller<S>, Reader<S>>) -> Result<(), StopReason> {
        match job {
            Job::Apply { entries: Entries::Here(entries), mut callers } => {
                self.apply(entries, &mut callers)
            }
            Job::Apply { entries: Entries::InLog { first, last }, mut callers } => {
                self.apply_from_log(first, last, &mut callers)
            }
            Job::Snapshot { meta } => {
                self.scribe.take(meta, self.machine.state_machine());
                Ok(())
            }
            Job::Restore { id, meta } => self.restore(id, meta),
            Job::Read { callers } => {
                for Reader { query, reply } in callers {
                    // Nobody waits any more: the answer is of no use.
                    drop(reply.send(Ok(self.machine.state_machine().query(query))));
                }
                Ok(())
            }
        }
    }

    fn restore(&mut self, id: SnapshotId, meta: SnapshotMeta) -> Result<(), StopReason> {
        let last = meta.last.index;
        let read = self.scribe.shelf().read(id);
        let restored = read.and_then(|mut from| self.machine.restore(last, &mut *from));
        restored.map_err(|error| StopReason::Snapshot(Arc::new(error)))?;
        self.on_progress();
        self.inbox.tell(Happening::Restored(meta));
        Ok(())
    }

    /// Lets everybody know how far the state machine is.
    fn on_progress(&self) {
        let applied = self.machine.applied();
        self.progress.applied.store(applied.get(), Ordering::SeqCst);
        self.metrics.send_modify(|metrics| metrics.status.applied = applied);
    }

    fn apply_from_log(
        &mut self,
        first: LogIndex,
        last: LogIndex,
        callers: &mut VecDeque<(LogIndex, Caller<S>)>,
    ) -> Result<(), StopReason> {
        let mut next = first;
        while next <= last {
            let entries = self
                .log
                .entries(next..=last, READ_BYTES)
                .map_err(|error| StopReason::Log(Arc::new(error)))?;
            let Some(end) = entries.last().map(|entry| entry.id.index) else {
                let error = format!("entry {next} is committed, but cannot be found in the log");
                return Err(StopReason::Log(Arc::new(crate::log_store::LogError::new(error))));
            };
            self.apply(entries, callers)?;
            next = end.next();
        }
        Ok(())
    }

    fn apply(
        &mut self,
        entries: Vec<Entry>,
        callers: &mut VecDeque<(LogIndex, Caller<S>)>,
    ) -> Result<(), StopReason> {
        let mut responses: Responses<S> = Vec::new();
        let respond = |index, response| {
            if let Some((_, caller)) = callers.pop_front_if(|(at, _)| *at == index) {
                responses.push((caller, response));
            }
        };
        let done = self.machine.apply(entries, respond);
        done.map_err(|Undecodable { index, error }| StopReason::Undecodable {
            index: index.get(),
            error,
        })?;
        // Before the callers know: what they ask next must not seem to come from the past.
        self.on_progress();
        // The last first: one who waits for many, in order, wakes when all are there.
        for (caller, response) in responses.into_iter().rev() {
            caller.respond(response);
        }
        if self.progress.awaited.swap(false, Ordering::SeqCst) {
            self.inbox.tell(Happening::Applied);
        }
        Ok(())
    }
}
