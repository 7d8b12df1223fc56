//! Who waits for a batch to be durable: tasks, and threads that sleep.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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
#[derive(Debug)]
#[must_use]
pub(super) struct Awakened {
    news: News,
    tasks: Vec<Waker>,
    threads: Vec<Arc<Sleeper>>,
}

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
    told: Mutex<Option<Told>>,
}

/// News, and those to whom a thread passes them on before it goes its way.
#[derive(Debug)]
struct Told {
    news: News,
    others: Vec<Arc<Sleeper>>,
}

impl Sleeper {
    /// This thread.
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { thread: std::thread::current(), told: Mutex::new(None) })
    }

    /// Wakes it, and nobody else.
    pub(super) fn tell(&self, news: News) {
        self.pass(news, Vec::new());
    }

    fn pass(&self, news: News, others: Vec<Arc<Self>>) {
        *self.told() = Some(Told { news, others });
        self.thread.unpark();
    }

    fn told(&self) -> MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has been told, and does not know yet.
    #[cfg(test)]
    pub(super) fn news(&self) -> Option<News> {
        self.told().as_ref().map(|told| told.news)
    }

    /// Returns once there is news and others have it from here; whoever else unparks the thread does
    /// not matter.
    pub(super) fn sleep(&self) -> News {
        loop {
            let told = self.told().take();
            if let Some(Told { news, others }) = told {
                Self::tell_all(news, others);
                return news;
            }
            std::thread::park();
        }
    }

    /// Wakes two of them, each of which wakes its half of the others.
    ///
    /// To wake a thread takes long. Who has the seat would leave the disk idle until it has woken them all,
    /// and by then they would all wait again: for one another's sync.
    fn tell_all(news: News, mut threads: Vec<Arc<Self>>) {
        let half = threads.split_off(threads.len().div_ceil(2));
        for mut threads in [threads, half] {
            if let Some(first) = threads.pop() {
                first.pass(news, threads);
            }
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
        Awakened::new(News::Durable, self.0.extract_if(.., |(seq, _)| *seq <= durable))
    }

    /// Everybody: nothing more becomes durable.
    pub(super) fn all(&mut self) -> Awakened {
        Awakened::new(News::Look, self.0.drain(..))
    }
}

impl Awakened {
    pub(super) fn nobody() -> Self {
        Self::new(News::Look, [])
    }

    fn new(news: News, over: impl IntoIterator<Item = (BatchSeq, Waiter)>) -> Self {
        let (mut tasks, mut threads) = (Vec::new(), Vec::new());
        for (_, waiter) in over {
            match waiter {
                Waiter::Task(task) => tasks.push(task),
                Waiter::Thread(sleeper) => threads.push(sleeper),
            }
        }
        Self { news, tasks, threads }
    }

    /// Wakes the tasks, and the threads through one another.
    ///
    /// # Errors
    ///
    /// If a task panicked. The others have been woken.
    pub(super) fn wake(self) -> Result<(), WalError> {
        Sleeper::tell_all(self.news, self.threads);
        let mut outcome = Ok(());
        for task in self.tasks {
            if catch_unwind(AssertUnwindSafe(|| task.wake())).is_err() {
                outcome = Err(WalError::Panicked);
            }
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleepers<const N: usize>(waiting: &mut Waiting, seqs: [u64; N]) -> [Arc<Sleeper>; N] {
        seqs.map(|seq| {
            let sleeper = Sleeper::new();
            waiting.add_sleeper(BatchSeq::new(seq), Arc::clone(&sleeper));
            sleeper
        })
    }

    #[test]
    fn only_those_are_woken_whose_batch_is_durable_and_one_to_write_the_next() {
        let mut waiting = Waiting::default();
        let sleepers = sleepers(&mut waiting, [1, 2, 3, 4]);
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
    fn who_has_the_seat_wakes_two_threads_and_they_the_others() {
        let mut waiting = Waiting::default();
        let mut asleep = sleepers(&mut waiting, [1; 64]).to_vec();

        waiting.upto(BatchSeq::new(1)).wake().expect("no task is there to panic");
        for told in [2, 4, 8, 16, 32, 2] {
            let (awake, rest) = asleep.into_iter().partition(|sleeper| sleeper.news().is_some());
            let awake: Vec<Arc<Sleeper>> = awake;
            assert_eq!(awake.len(), told);
            assert!(awake.iter().all(|sleeper| sleeper.sleep() == News::Durable));
            asleep = rest;
        }
        assert!(asleep.is_empty());
    }

    #[test]
    fn a_task_that_waits_for_two_batches_is_woken_for_each_and_writes_nothing() {
        let mut waiting = Waiting::default();
        for seq in [1, 2, 1, 2] {
            waiting.add_task(BatchSeq::new(seq), Waker::noop());
        }

        assert!(waiting.next_sleeper().is_none());
        assert_eq!(waiting.upto(BatchSeq::new(1)).tasks.len(), 1);
        assert_eq!(waiting.upto(BatchSeq::new(2)).tasks.len(), 1);
    }
}
