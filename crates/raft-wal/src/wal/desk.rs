//! Where the log is written: by one thread at a time, whichever comes first.
//!
//! The writer's thread comes for what was appended. A caller who waits for the disk anyway, and
//! finds nobody there, does the write and the sync itself: it hands nothing over and need not be
//! woken. Whoever comes while a sync runs waits, and one of them carries out the next. Nobody else is
//! woken before its batch is durable: a thread that looks in vain takes time from those that work. Those
//! who are woken wake each other, while the next write is on its way.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::waiting::{Awakened, News, Sleeper, Waiting};
use crate::disk::Disk;
use crate::error::WalError;
use crate::log::{Chore, Done, Log, Step};
use crate::submit::{BatchSeq, Completion};
use crate::view::Shared;

/// The log, and those who wait for it.
#[derive(Debug)]
pub(super) struct Desk<D: Disk> {
    shared: Arc<Shared<D>>,
    hall: Mutex<Hall<D>>,
    /// Signalled when the seat is free, for the log's own threads.
    free: Condvar,
}

/// What those who wait look at.
#[derive(Debug)]
struct Hall<D: Disk> {
    /// Absent while somebody writes, and when the log is closed.
    seat: Option<Box<Seat<D>>>,
    is_closed: bool,
    /// Nothing can be written until the writer's thread has found space.
    is_starved: bool,
    durable: BatchSeq,
    /// Why nothing more becomes durable.
    stopped: Option<Arc<WalError>>,
    waiting: Waiting,
}

/// Whoever has it writes.
pub(super) struct Seat<D: Disk> {
    pub(super) log: Log<D>,
    chores: Sender<Chore<D>>,
    on_durable: Box<dyn FnMut(Completion) + Send>,
    /// The program was told that there is no space.
    is_full: bool,
    /// Grows whenever something becomes durable.
    pub(super) flights: u64,
}

impl<D: Disk> std::fmt::Debug for Seat<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat").field("log", &self.log).finish_non_exhaustive()
    }
}

impl<D: Disk> Seat<D> {
    pub(super) fn new(
        log: Log<D>,
        chores: Sender<Chore<D>>,
        on_durable: Box<dyn FnMut(Completion) + Send>,
    ) -> Self {
        Self { log, chores, on_durable, is_full: false, flights: 0 }
    }

    /// Makes durable what has gathered.
    fn commit(&mut self) -> Result<Step, Arc<WalError>> {
        let step = self.log.commit()?;
        self.settle();
        if let Step::Durable(seq) = step {
            self.flights += 1;
            (self.on_durable)(Completion::Durable { seq });
        }
        Ok(step)
    }

    /// Passes on what the log wants done, and what the program wants to know.
    pub(super) fn settle(&mut self) {
        while let Some(chore) = self.log.take_chore() {
            if self.chores.send(chore).is_err() {
                // It panicked. The log goes on until it needs a segment, and then stops.
                tracing::error!("the thread that prepares segments is gone");
            }
        }
        let is_full = self.log.is_short();
        if is_full == self.is_full {
            return;
        }
        match self.log.shortage().cloned() {
            Some(error) => (self.on_durable)(Completion::Full(error)),
            None if is_full => return,
            None => (self.on_durable)(Completion::Available),
        }
        self.is_full = is_full;
    }

    /// Says for the last time what has happened.
    pub(super) fn say_why(&mut self, error: Arc<WalError>) {
        (self.on_durable)(Completion::Failed(error));
    }

    /// Lets go of all but the log. The keeper ends when it has done what it was given.
    pub(super) fn into_log(self) -> Log<D> {
        self.log
    }
}

impl<D: Disk> Desk<D> {
    pub(super) fn new(shared: Arc<Shared<D>>) -> Self {
        let hall = Hall {
            seat: None,
            is_closed: false,
            is_starved: false,
            durable: BatchSeq::default(),
            stopped: None,
            waiting: Waiting::default(),
        };
        Self { shared, hall: Mutex::new(hall), free: Condvar::new() }
    }

    fn hall(&self) -> MutexGuard<'_, Hall<D>> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the seat as soon as it is free; `None` if the log is closed.
    pub(super) fn take(&self) -> Option<Box<Seat<D>>> {
        let waiting = |hall: &mut Hall<D>| hall.seat.is_none() && !hall.is_closed;
        let mut hall =
            self.free.wait_while(self.hall(), waiting).unwrap_or_else(PoisonError::into_inner);
        hall.seat.take()
    }

    /// Gives the seat to whoever comes next, and has one of those who wait look for it.
    pub(super) fn leave(&self, seat: Box<Seat<D>>) {
        let mut hall = self.hall();
        hall.seat = Some(seat);
        let next = if hall.is_starved { None } else { hall.waiting.next_sleeper() };
        drop(hall);
        if let Some(next) = next {
            next.tell(News::Look);
        }
        self.free.notify_all();
    }

    /// Says that nobody will have the seat again, and why.
    pub(super) fn close(&self, why: WalError) {
        let mut hall = self.hall();
        hall.is_closed = true;
        hall.stopped.get_or_insert_with(|| Arc::new(why));
        let all = hall.waiting.all();
        drop(hall);
        self.wake(all);
        self.free.notify_all();
    }

    /// Makes durable what has gathered. A panic, perhaps of the program in its callback, stops the log:
    /// nobody shall wait for what never comes.
    pub(super) fn step(&self, seat: &mut Seat<D>) -> (Result<Step, Arc<WalError>>, Awakened) {
        let step = catch_unwind(AssertUnwindSafe(|| seat.commit()))
            .unwrap_or_else(|_| Err(self.shared.stop(WalError::Panicked)));
        let mut hall = self.hall();
        hall.is_starved = matches!(step, Ok(Step::Starved));
        let awakened = match &step {
            Ok(Step::Durable(seq)) => {
                hall.durable = *seq;
                hall.waiting.upto(*seq)
            }
            Ok(Step::Idle | Step::Starved) => Awakened::nobody(),
            Err(error) => {
                hall.stopped = Some(Arc::clone(error));
                hall.waiting.all()
            }
        };
        (step, awakened)
    }

    /// Notes that the log has stopped for another reason than a step.
    pub(super) fn stop(&self, error: &Arc<WalError>) {
        let mut hall = self.hall();
        hall.stopped = Some(Arc::clone(error));
        let all = hall.waiting.all();
        drop(hall);
        self.wake(all);
    }

    /// Wakes those whose wait is over. A task that panics there stops the log, on whichever thread.
    pub(super) fn wake(&self, awakened: Awakened) {
        if let Err(error) = awakened.wake() {
            self.stop(&self.shared.stop(error));
            self.nudge();
        }
    }

    /// Takes note of what became of a chore, and lets the writer's thread look again.
    pub(super) fn on_done(&self, done: Done<D>) {
        let Some(mut seat) = self.take() else { return };
        seat.log.on_done(done);
        let settled = catch_unwind(AssertUnwindSafe(|| seat.settle()));
        self.leave(seat);
        if settled.is_err() {
            self.stop(&self.shared.stop(WalError::Panicked));
        }
        self.nudge();
    }

    /// Lets the writer's thread look again.
    pub(super) fn nudge(&self) {
        self.shared.lock().is_nudged = true;
        self.shared.work.notify_one();
    }

    /// Waits until `seq` is durable, and does the work if nobody does.
    pub(super) fn wait(&self, seq: BatchSeq) -> Result<(), Arc<WalError>> {
        loop {
            let mut hall = self.hall();
            match hall.outcome(seq) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => {}
            }
            let seat = if hall.is_starved { None } else { hall.seat.take() };
            match seat {
                Some(seat) => {
                    drop(hall);
                    self.work(seat, seq);
                }
                None => {
                    let sleeper = Sleeper::new();
                    hall.waiting.add_sleeper(seq, Arc::clone(&sleeper));
                    drop(hall);
                    match sleeper.sleep() {
                        News::Durable => return Ok(()),
                        News::Look => {}
                    }
                }
            }
        }
    }

    /// Writes until `seq` is durable, or until that is the business of the writer's thread.
    fn work(&self, mut seat: Box<Seat<D>>, seq: BatchSeq) {
        loop {
            let (step, awakened) = self.step(&mut seat);
            let is_done = match step {
                Ok(Step::Durable(durable)) if durable < seq => {
                    self.wake(awakened);
                    continue;
                }
                Ok(Step::Durable(_)) => true,
                // The writer's thread knows what to do.
                Ok(Step::Idle | Step::Starved) | Err(_) => false,
            };
            // First the next one: the disk does nothing meanwhile.
            self.leave(seat);
            self.wake(awakened);
            // A writer's thread that is not watched sleeps until there is something to do. Now there
            // will be a marker.
            if !is_done || !self.shared.lock().is_watched {
                self.nudge();
            }
            return;
        }
    }

    /// Says whether `seq` is durable, or wakes the task when it is.
    pub(super) fn poll(&self, seq: BatchSeq, task: &Waker) -> Poll<Result<(), Arc<WalError>>> {
        let mut hall = self.hall();
        let outcome = hall.outcome(seq);
        if outcome.is_pending() {
            hall.waiting.add_task(seq, task);
        }
        outcome
    }
}

impl<D: Disk> Hall<D> {
    fn outcome(&self, seq: BatchSeq) -> Poll<Result<(), Arc<WalError>>> {
        if seq <= self.durable {
            return Poll::Ready(Ok(()));
        }
        match &self.stopped {
            Some(error) => Poll::Ready(Err(Arc::clone(error))),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use raft_core::{ClusterId, NodeId};

    use super::*;
    use crate::options::Options;
    use crate::sim::SimDisk;
    use crate::submit::Identity;

    #[test]
    fn who_leaves_wakes_one_of_those_who_wait_to_take_the_seat() {
        let node = NodeId::new(1).expect("it is not zero");
        let identity = Identity { cluster: ClusterId::new([1; 16]), node };
        let options = Options { segment_bytes: SimDisk::SEGMENT_BYTES_MIN, ..Options::default() };
        let (log, _) =
            Log::open(SimDisk::new(1), identity, options).expect("a disk without faults");
        let desk = Desk::new(Arc::clone(&log.reader.shared));
        let sleepers = [Sleeper::new(), Sleeper::new()];
        for sleeper in &sleepers {
            desk.hall().waiting.add_sleeper(BatchSeq::new(1), Arc::clone(sleeper));
        }

        desk.leave(Box::new(Seat::new(log, channel().0, Box::new(|_| {}))));

        assert_eq!(sleepers.each_ref().map(|sleeper| sleeper.news()), [Some(News::Look), None]);
    }
}
