//! What was promised to the writers, and when.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::watch;

use super::narrator::Narrator;

/// Shared by the writers and the story.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    book: Arc<Mutex<Book>>,
    progress: Arc<watch::Sender<Progress>>,
    narrator: Narrator,
}

#[derive(Debug)]
struct Book {
    started: Instant,
    /// By number of the key.
    acknowledged: Vec<bool>,
    latencies_us: Histogram<u64>,
    killed: Option<Kill>,
}

/// The death of the leader.
#[derive(Clone, Copy, Debug)]
struct Kill {
    signal_sent: Instant,
    /// A write that is sent from here on meets a dead leader.
    reaped: Instant,
    acknowledged_before: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    acknowledged: usize,
    failover: Option<Duration>,
}

/// The demo in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    pub(super) ops_per_second: u64,
    pub(super) p50: Duration,
    pub(super) p99: Duration,
    pub(super) failover: Option<Duration>,
    pub(super) elapsed: Duration,
    pub(super) acknowledged: usize,
}

const LATENCY_US_MAX: u64 = 120_000_000;

impl Ledger {
    pub(super) fn new(ops: u32, narrator: Narrator) -> anyhow::Result<Self> {
        let book = Book {
            started: Instant::now(),
            acknowledged: vec![false; usize::try_from(ops)?],
            latencies_us: Histogram::new_with_max(LATENCY_US_MAX, 3)?,
            killed: None,
        };
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        Ok(Self { book: Arc::new(Mutex::new(book)), progress, narrator })
    }

    /// A write was acknowledged: from here on it may not be lost.
    pub(super) fn acknowledge(&self, key: usize, first_sent: Instant, last_sent: Instant) {
        let now = Instant::now();
        let mut book = self.book();
        if let Some(acknowledged) = book.acknowledged.get_mut(key) {
            *acknowledged = true;
        }
        let latency = u64::try_from((now - first_sent).as_micros()).unwrap_or(LATENCY_US_MAX);
        book.latencies_us.saturating_record(latency);
        let after_kill = book.killed.filter(|kill| last_sent >= kill.reaped);
        drop(book);
        self.progress.send_modify(|progress| {
            progress.acknowledged += 1;
            if let (Some(kill), None) = (after_kill, progress.failover) {
                progress.failover = Some(now - kill.signal_sent);
            }
        });
        self.narrator.progress(self.progress.borrow().acknowledged);
    }

    /// The leader is dead, by a signal sent at that time.
    pub(super) fn leader_killed(&self, signal_sent: Instant) {
        let acknowledged_before = self.progress.borrow().acknowledged;
        let kill = Kill { signal_sent, reaped: Instant::now(), acknowledged_before };
        self.book().killed = Some(kill);
    }

    /// Waits until half of the writes are acknowledged.
    pub(super) async fn midway(&self) {
        let half = self.book().acknowledged.len() / 2;
        self.wait_for(|progress| progress.acknowledged >= half).await;
    }

    /// Waits until a write is acknowledged that was sent after the leader had died; the time
    /// since. `None` if there was no such write.
    pub(super) async fn recovered(&self) -> Option<Duration> {
        let all = self.book().acknowledged.len();
        let done =
            |progress: &Progress| progress.failover.is_some() || progress.acknowledged == all;
        self.wait_for(done).await.failover
    }

    async fn wait_for(&self, condition: impl FnMut(&Progress) -> bool) -> Progress {
        let mut progress = self.progress.subscribe();
        // The ledger holds the sender, so the channel does not close meanwhile.
        progress.wait_for(condition).await.map_or_else(|_| Progress::default(), |now| *now)
    }

    /// Which writes were acknowledged, by number of the key.
    pub(super) fn acknowledged(&self) -> Vec<bool> {
        self.book().acknowledged.clone()
    }

    pub(super) fn summary(&self, ended: Instant) -> Summary {
        let book = self.book();
        let progress = *self.progress.borrow();
        let microseconds =
            |quantile| Duration::from_micros(book.latencies_us.value_at_quantile(quantile));
        Summary {
            ops_per_second: book.killed.map_or(0, |kill| rate(&kill, book.started)),
            p50: microseconds(0.5),
            p99: microseconds(0.99),
            failover: progress.failover,
            elapsed: ended - book.started,
            acknowledged: progress.acknowledged,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a second until the kill.
fn rate(kill: &Kill, started: Instant) -> u64 {
    let milliseconds = u64::try_from((kill.signal_sent - started).as_millis()).unwrap_or(u64::MAX);
    let acknowledged = u64::try_from(kill.acknowledged_before).unwrap_or(u64::MAX);
    acknowledged.saturating_mul(1_000) / milliseconds.max(1)
}
