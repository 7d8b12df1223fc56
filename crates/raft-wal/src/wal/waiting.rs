//! Who waits for a batch to be durable: tasks, and threads that sleep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Waker;
use std::thread::Thread;

use crate::error::WalError;
use crate::submit::BatchSeq;

/// Those who wait, about in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiting(Vec<(BatchSeq, Waiter)>);

#[derive(Debug)]
enum Waiter {
    Task(Waker),
    Thread(Arc<Sleeper>),
}

/// Whose wait is over, and what they are to be told.
#[derive(Debug, Default)]
#[must_use]
pub(super) struct Awakened(Vec<(Waiter, News)>);

/// What a thread is woken for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum News {
    /// Its batch is durable.
    Durable,
    /// The seat may be free, or the log has stopped.
    Look,
}

/// A thread that sleeps until there is news.
#[derive(Debug)]
pub(super) struct Sleeper {
    thread: Thread,
    news: AtomicU8,
}

const NO_NEWS: u8 = 0;
const DURABLE: u8 = 1;
const LOOK: u8 = 2;

impl Sleeper {
    /// This thread.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { thread: std::thread::current(), news: AtomicU8::new(NO_NEWS) })
    }

    pub(super) fn tell(&self, news: News) {
        let news = match news {
            News::Durable => DURABLE,
            News::Look => LOOK,
        };
        self.news.store(news, Ordering::Release);
        self.thread.unpark();
    }

    /// What it has been told.
    pub(super) fn news(&self) -> Option<News> {
        match self.news.load(Ordering::Acquire) {
            NO_NEWS => None,
            DURABLE => Some(News::Durable),
            _ => Some(News::Look),
        }
    }

    /// Returns once there is news; whoever else unparks the thread does not matter.
    pub(super) fn sleep(&self) -> News {
        loop {
            if let Some(news) = self.news() {
                return news;
            }
            std::thread::park();
        }
    }
}

impl Waiting {
    pub(super) fn add_sleeper(&mut self, seq: BatchSeq, sleeper: Arc<Sleeper>) {
        self.0.push((seq, Waiter::Thread(sleeper)));
    }

    /// Adds a task, unless it waits for this batch already. It may wait for others as well.
    pub(super) fn add_task(&mut self, seq: BatchSeq, task: &Waker) {
        let is_same =
            |known: &Waiter| matches!(known, Waiter::Task(known) if known.will_wake(task));
        if !self.0.iter().any(|(known_seq, known)| *known_seq == seq && is_same(known)) {
            self.0.push((seq, Waiter::Task(task.clone())));
        }
    }

    /// A thread that can carry out the next write; it waits no longer.
    pub(super) fn next_sleeper(&mut self) -> Option<Arc<Sleeper>> {
        let at = self.0.iter().position(|(_, waiter)| matches!(waiter, Waiter::Thread(_)))?;
        match self.0.remove(at).1 {
            Waiter::Thread(sleeper) => Some(sleeper),
            Waiter::Task(_) => None,
        }
    }

    /// Those who wait for `durable` or what came before it.
    pub(super) fn upto(&mut self, durable: BatchSeq) -> Awakened {
        let over = self.0.extract_if(.., |(seq, _)| *seq <= durable);
        Awakened(over.map(|(_, waiter)| (waiter, News::Durable)).collect())
    }

    /// Everybody: nothing more becomes durable.
    pub(super) fn all(&mut self) -> Awakened {
        Awakened(self.0.drain(..).map(|(_, waiter)| (waiter, News::Look)).collect())
    }
}

impl Awakened {
    /// Wakes all of them.
    ///
    /// # Errors
    ///
    /// If a task panicked. The others have been woken.
    pub(super) fn wake(self) -> Result<(), WalError> {
        let mut outcome = Ok(());
        for (waiter, news) in self.0 {
            match waiter {
                Waiter::Task(task) => {
                    if catch_unwind(AssertUnwindSafe(|| task.wake())).is_err() {
                        outcome = Err(WalError::Panicked);
                    }
                }
                Waiter::Thread(sleeper) => sleeper.tell(news),
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_are_woken_whose_batch_is_durable_and_one_to_write_the_next() {
        let mut waiting = Waiting::default();
        let sleepers = [1, 2, 3, 4].map(|seq| {
            let sleeper = Sleeper::new();
            waiting.add_sleeper(BatchSeq::new(seq), Arc::clone(&sleeper));
            sleeper
        });
        let news = || sleepers.each_ref().map(|sleeper| sleeper.news());
        let (durable, look) = (Some(News::Durable), Some(News::Look));

        waiting.upto(BatchSeq::new(2)).wake().expect("no task is there to panic");
        assert_eq!(news(), [durable, durable, None, None]);

        waiting.next_sleeper().expect("two are left").tell(News::Look);
        assert_eq!(news(), [durable, durable, look, None]);

        waiting.all().wake().expect("no task is there to panic");
        assert_eq!(news(), [durable, durable, look, look]);
        assert!(waiting.next_sleeper().is_none());
    }

    #[test]
    fn a_task_that_waits_for_two_batches_is_woken_for_each_and_writes_nothing() {
        let mut waiting = Waiting::default();
        for seq in [1, 2, 1, 2] {
            waiting.add_task(BatchSeq::new(seq), Waker::noop());
        }

        assert!(waiting.next_sleeper().is_none());
        assert_eq!(waiting.upto(BatchSeq::new(1)).0.len(), 1);
        assert_eq!(waiting.upto(BatchSeq::new(2)).0.len(), 1);
    }
}
