//! The thread that writes.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::keeper::Keeper;
use crate::disk::Disk;
use crate::error::{CloseError, WalError};
use crate::log::{Done, FlushError, Log, Step};
use crate::submit::{BatchSeq, Completion};
use crate::view::{Shared, View};

/// What others tell the writer. Written while the view is locked or followed by a look at it, so
/// that a writer that waits for the view to change does not miss it.
#[derive(Debug)]
pub(super) struct Orders<D: Disk> {
    end: AtomicU8,
    done: Mutex<Vec<Done<D>>>,
}

const GO_ON: u8 = 0;
const CLOSE: u8 = 1;
const STOP: u8 = 2;

impl<D: Disk> Default for Orders<D> {
    fn default() -> Self {
        Self { end: AtomicU8::new(GO_ON), done: Mutex::default() }
    }
}

impl<D: Disk> Orders<D> {
    /// Asks for an end after everything queued is durable.
    pub(super) fn close(&self) {
        self.end.store(CLOSE, Ordering::Release);
    }

    /// Asks for an end at once.
    pub(super) fn stop(&self) {
        self.end.store(STOP, Ordering::Release);
    }

    pub(super) fn done(&self, done: Done<D>) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }

    fn take_done(&self) -> Vec<Done<D>> {
        std::mem::take(&mut *self.done.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn has_done(&self) -> bool {
        !self.done.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn ending(&self) -> u8 {
        self.end.load(Ordering::Acquire)
    }
}

/// The state of the writer's thread.
pub(super) struct Writer<D: Disk, F> {
    log: Log<D>,
    orders: Arc<Orders<D>>,
    keeper: Keeper<D>,
    idle_marker_after: Duration,
    on_durable: F,
}

/// Why the loop ended.
enum Ended {
    Stopped(Arc<WalError>),
    Closing(Result<BatchSeq, FlushError>),
    Dropped,
}

impl<D: Disk, F: FnMut(Completion) + Send + 'static> Writer<D, F> {
    pub(super) const fn new(
        log: Log<D>,
        orders: Arc<Orders<D>>,
        keeper: Keeper<D>,
        idle_marker_after: Duration,
        on_durable: F,
    ) -> Self {
        Self { log, orders, keeper, idle_marker_after, on_durable }
    }

    pub(super) fn spawn(self) -> io::Result<JoinHandle<Result<(), CloseError>>> {
        std::thread::Builder::new().name("wal-writer".to_owned()).spawn(move || self.run())
    }

    fn run(mut self) -> Result<(), CloseError> {
        let shared = Arc::clone(self.log.shared());
        // Whatever happens on this thread, nobody waits for a completion that never comes.
        let ended = catch_unwind(AssertUnwindSafe(|| self.write_until_told()))
            .unwrap_or_else(|_| Ended::Stopped(shared.stop(WalError::Panicked)));
        let Self { log, keeper, mut on_durable, .. } = self;
        drop(keeper.chores);
        let kept = keeper.thread.join();
        if kept.is_err() {
            tracing::error!("the thread that prepares segments panicked");
        }
        match ended {
            Ended::Stopped(error) => {
                on_durable(Completion::Failed(Arc::clone(&error)));
                Err(CloseError::Stopped(error))
            }
            Ended::Closing(flushed) => log.finish(flushed),
            Ended::Dropped => Ok(()),
        }
    }

    fn write_until_told(&mut self) -> Ended {
        loop {
            for done in self.orders.take_done() {
                self.log.on_done(done);
            }
            if self.orders.ending() == STOP {
                return Ended::Dropped;
            }
            let step = match self.log.commit() {
                Ok(step) => step,
                Err(error) => return Ended::Stopped(error),
            };
            self.pass_on_chores();
            let next = match step {
                Step::Durable(seq) => {
                    (self.on_durable)(Completion::Durable { seq });
                    continue;
                }
                Step::Idle if self.orders.ending() == CLOSE => {
                    return Ended::Closing(Ok(self.log.shared().lock().last_seq()));
                }
                Step::Idle => self.idle(),
                Step::Starved => self.starve(),
            };
            match next {
                Ok(None) => {}
                Ok(Some(ended)) => return ended,
                Err(error) => return Ended::Stopped(error),
            }
        }
    }

    fn pass_on_chores(&mut self) {
        while let Some(chore) = self.log.take_chore() {
            if self.keeper.chores.send(chore).is_err() {
                // It panicked. The log goes on until it needs a segment, and then stops.
                tracing::error!("the thread that prepares segments is gone");
            }
        }
    }

    /// Waits for something to do. After a while writes a marker, then waits on.
    fn idle(&mut self) -> Result<Option<Ended>, Arc<WalError>> {
        let shared = Arc::clone(self.log.shared());
        let orders = Arc::clone(&self.orders);
        let nothing = |view: &mut View<D>| {
            let has_work = view.has_calls() || view.stopped.is_some() || orders.has_done();
            !has_work && orders.ending() == GO_ON
        };
        if !self.log.wants_idle_marker() {
            drop(wait(&shared, nothing));
            return Ok(None);
        }
        let view = shared.lock();
        let waited = shared.work.wait_timeout_while(view, self.idle_marker_after, nothing);
        let (view, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(view);
        if timeout.timed_out() {
            self.log.write_idle_marker()?;
        }
        Ok(None)
    }

    /// Waits for the next segment, or for a reason to look for space again.
    fn starve(&mut self) -> Result<Option<Ended>, Arc<WalError>> {
        let shared = Arc::clone(self.log.shared());
        if !self.log.is_out_of_space() {
            // A chore is preparing the segment.
            let orders = Arc::clone(&self.orders);
            drop(wait(&shared, |view| {
                view.stopped.is_none() && orders.ending() != STOP && !orders.has_done()
            }));
            return Ok(None);
        }
        if self.log.hoist_compactions()? {
            self.pass_on_chores();
        }
        let calls = shared.lock().calls().count();
        let orders = Arc::clone(&self.orders);
        let view = wait(&shared, |view| {
            let is_new = view.retry_space || view.calls().count() != calls;
            let has_news = is_new || view.stopped.is_some() || orders.has_done();
            !has_news && orders.ending() == GO_ON
        });
        let error = view.no_space.clone();
        let retry = view.retry_space || view.calls().count() != calls;
        drop(view);
        if retry {
            self.log.retry_space();
            self.pass_on_chores();
        } else if let Some(error) = error.filter(|_| self.orders.ending() == CLOSE) {
            return Ok(Some(Ended::Closing(Err(FlushError::NoSpace(error)))));
        }
        Ok(None)
    }
}

/// Waits while `condition` holds.
fn wait<'a, D: Disk>(
    shared: &'a Shared<D>,
    condition: impl FnMut(&mut View<D>) -> bool,
) -> std::sync::MutexGuard<'a, View<D>> {
    let view = shared.lock();
    shared.work.wait_while(view, condition).unwrap_or_else(PoisonError::into_inner)
}
