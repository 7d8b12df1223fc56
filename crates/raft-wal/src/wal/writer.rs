//! The thread that writes what nobody waits for, and looks after the log while nothing happens.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::desk::{Desk, Seat};
use crate::disk::Disk;
use crate::error::{CloseError, WalError};
use crate::log::{FlushError, Step};
use crate::submit::BatchSeq;
use crate::view::{Shared, View};

/// How long the log waits before it looks for space again, if nobody frees or asks for any.
const SPACE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How the log shall end. Written while the view is locked, so that a writer on its way to sleep
/// does not miss it.
#[derive(Debug, Default)]
pub(super) struct Orders {
    end: AtomicU8,
}

const GO_ON: u8 = 0;
const CLOSE: u8 = 1;
const STOP: u8 = 2;

impl Orders {
    /// Asks for an end after everything queued is durable.
    pub(super) fn close(&self) {
        self.end.store(CLOSE, Ordering::Release);
    }

    /// Asks for an end at once.
    pub(super) fn stop(&self) {
        self.end.store(STOP, Ordering::Release);
    }

    fn ending(&self) -> u8 {
        self.end.load(Ordering::Acquire)
    }
}

/// The state of the writer's thread.
pub(super) struct Writer<D: Disk> {
    pub(super) shared: Arc<Shared<D>>,
    pub(super) desk: Arc<Desk<D>>,
    pub(super) orders: Arc<Orders>,
    pub(super) keeper: JoinHandle<()>,
    pub(super) idle_marker_after: Duration,
}

/// What is left to do when the seat is given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    /// Nothing, until somebody appends.
    Nothing,
    /// A marker, if there are no more flights than so many.
    Marker { flights: u64 },
    /// The rest of the queue waits for the next segment.
    Starved { seen: BatchSeq, is_out_of_space: bool },
}

/// Why the loop ended.
enum Ended {
    Stopped(Arc<WalError>),
    Closing(Result<BatchSeq, FlushError>),
    Dropped,
}

/// Why the writer is up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Woken {
    ByOthers,
    ByTime,
}

impl<D: Disk> Writer<D> {
    pub(super) fn spawn(self) -> io::Result<JoinHandle<Result<(), CloseError>>> {
        std::thread::Builder::new().name("wal-writer".to_owned()).spawn(move || self.run())
    }

    fn run(self) -> Result<(), CloseError> {
        let (ended, seat) = self.write_until_told();
        if let Ended::Stopped(error) = &ended {
            self.desk.stop(error);
        }
        self.desk.close(WalError::Closed);
        let Some(seat) = seat else {
            return Err(CloseError::Stopped(self.shared.stop(WalError::Panicked)));
        };
        let mut seat = *seat;
        if let Ended::Stopped(error) = &ended
            && catch_unwind(AssertUnwindSafe(|| seat.say_why(Arc::clone(error)))).is_err()
        {
            tracing::error!("the program panicked when it was told that the log stopped");
        }
        let log = seat.into_log();
        if self.keeper.join().is_err() {
            tracing::error!("the thread that prepares segments panicked");
        }
        match ended {
            Ended::Stopped(error) => Err(CloseError::Stopped(error)),
            Ended::Closing(flushed) => log.finish(flushed),
            Ended::Dropped => Ok(()),
        }
    }

    /// Returns with the seat.
    fn write_until_told(&self) -> (Ended, Option<Box<Seat<D>>>) {
        let mut rest = Rest::Nothing;
        let mut woken = Woken::ByOthers;
        loop {
            let Some(mut seat) = self.desk.take() else { return (Ended::Dropped, None) };
            let looked = catch_unwind(AssertUnwindSafe(|| self.look_after(&mut seat, rest, woken)))
                .unwrap_or_else(|_| Err(self.shared.stop(WalError::Panicked)));
            match looked {
                Ok(Ok(next)) => rest = next,
                Ok(Err(ended)) => return (ended, Some(seat)),
                Err(error) => return (Ended::Stopped(error), Some(seat)),
            }
            self.desk.leave(seat);
            woken = self.sleep(rest);
        }
    }

    /// Does what there is to be done on the seat.
    fn look_after(
        &self,
        seat: &mut Seat<D>,
        rest: Rest,
        woken: Woken,
    ) -> Result<Result<Rest, Ended>, Arc<WalError>> {
        self.look_for_space(seat, woken);
        if rest == (Rest::Marker { flights: seat.flights }) && woken == Woken::ByTime {
            seat.log.write_idle_marker()?;
        }
        loop {
            if self.orders.ending() == STOP {
                return Ok(Err(Ended::Dropped));
            }
            let (step, awakened) = self.desk.step(seat);
            self.desk.wake(awakened);
            match step? {
                Step::Durable(_) => {}
                Step::Idle if self.orders.ending() == CLOSE => {
                    return Ok(Err(Ended::Closing(Ok(self.shared.lock().last_seq()))));
                }
                Step::Idle => {
                    let flights = seat.flights;
                    let wants_marker = seat.log.wants_idle_marker();
                    return Ok(Ok(if wants_marker {
                        Rest::Marker { flights }
                    } else {
                        Rest::Nothing
                    }));
                }
                Step::Starved => return self.starve(seat),
            }
        }
    }

    fn look_for_space(&self, seat: &mut Seat<D>, woken: Woken) {
        let is_asked = self.shared.with(|view| std::mem::take(&mut view.retry_space));
        let is_asked = is_asked || woken == Woken::ByTime;
        if is_asked && seat.log.is_short() {
            seat.log.retry_space();
            seat.settle();
        }
    }

    fn starve(&self, seat: &mut Seat<D>) -> Result<Result<Rest, Ended>, Arc<WalError>> {
        let is_out_of_space = seat.log.is_out_of_space();
        if is_out_of_space {
            if seat.log.hoist_compactions()? {
                seat.settle();
            }
            let error = seat.log.shortage().cloned();
            if let Some(error) = error.filter(|_| self.orders.ending() == CLOSE) {
                return Ok(Err(Ended::Closing(Err(FlushError::NoSpace(error)))));
            }
        }
        let seen = self.shared.lock().last_seq();
        Ok(Ok(Rest::Starved { seen, is_out_of_space }))
    }

    /// Waits for something to do.
    fn sleep(&self, rest: Rest) -> Woken {
        let mut view = self.shared.lock();
        let is_short = view.shortage.is_some();
        let timeout = match rest {
            Rest::Marker { .. } => Some(self.idle_marker_after),
            Rest::Nothing | Rest::Starved { .. } => is_short.then_some(SPACE_RETRY_AFTER),
        };
        view.is_watched = timeout.is_some();
        let nothing = |view: &mut View<D>| {
            let has_work = match rest {
                Rest::Starved { seen, is_out_of_space } => {
                    is_out_of_space && view.last_seq() != seen
                }
                Rest::Nothing | Rest::Marker { .. } => view.has_calls(),
            };
            let is_called = has_work || view.is_nudged || view.retry_space;
            !is_called && view.stopped.is_none() && self.orders.ending() == GO_ON
        };
        let (mut view, woken) = match timeout {
            None => {
                let view = self.shared.work.wait_while(view, nothing);
                (view.unwrap_or_else(PoisonError::into_inner), Woken::ByOthers)
            }
            Some(timeout) => {
                let waited = self.shared.work.wait_timeout_while(view, timeout, nothing);
                let (view, result) = waited.unwrap_or_else(PoisonError::into_inner);
                (view, if result.timed_out() { Woken::ByTime } else { Woken::ByOthers })
            }
        };
        view.is_nudged = false;
        woken
    }
}
