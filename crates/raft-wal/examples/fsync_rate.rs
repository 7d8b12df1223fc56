//! Measures appends per second against the rate of bare fdatasync over zero-written blocks.
//!
//! `cargo run --release -p raft-wal --example fsync_rate -- DIR [ROUNDS]`
//!
//! The contenders alternate in each round, so that a busy machine disturbs all of them alike.
#![allow(clippy::print_stdout, clippy::float_arithmetic, reason = "it is a measuring program")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use raft_core::{ClusterId, Entry, EntryPayload, GroupId, LogId, LogIndex, NodeId, Term};
use raft_wal::{Batch, BatchSeq, Completion, Identity, Options, Wal};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ENTRY_BYTES: usize = 256;
/// What one such entry takes on disk: header, descriptor and payload.
const RECORD_BYTES: usize = 64 + 32 + ENTRY_BYTES;
const ROUND: Duration = Duration::from_millis(1500);

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("name a directory")?);
    let rounds: u32 = args.next().map_or(Ok(5), |n| n.parse())?;
    std::fs::create_dir_all(&dir)?;
    let bare = bare_file(&dir.join("bare"))?;
    let bench = Bench::open(&dir.join("wal"))?;
    println!("{:>12} {:>12} {:>8} {:>14} {:>12}", "fdatasync/s", "1 writer/s", "ratio", "64 writers/s", "per sync");
    for _ in 0..rounds {
        let raw = bare_rate(&bare)?;
        let one = bench.rate(1)?.appends;
        let many = bench.rate(64)?;
        let ratio = one / raw;
        println!("{raw:12.0} {one:12.0} {ratio:8.3} {:14.0} {:12.1}", many.appends, many.per_sync);
    }
    Ok(())
}

fn bare_file(path: &Path) -> Outcome<File> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all_at(&vec![0; 64 << 20], 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Writes what one append writes, rounded to blocks as the log does, and syncs.
fn bare_rate(file: &File) -> Outcome<f64> {
    let start = Instant::now();
    let (mut count, mut offset) = (0u32, 0u64);
    let block = vec![7; 8192];
    while start.elapsed() < ROUND {
        let end = offset + u64::try_from(RECORD_BYTES)?;
        let len = usize::try_from(end.next_multiple_of(4096) - offset)?;
        file.write_all_at(block.get(..len).ok_or("a short block")?, offset)?;
        file.sync_data()?;
        offset = if end > 60 << 20 { 0 } else { end };
        count += 1;
    }
    Ok(f64::from(count) / start.elapsed().as_secs_f64())
}

struct Rate {
    appends: f64,
    per_sync: f64,
}

struct Bench {
    wal: Wal,
    durable: Arc<(Mutex<BatchSeq>, Condvar)>,
}

impl Bench {
    fn open(dir: &Path) -> Outcome<Self> {
        let durable = Arc::new((Mutex::new(BatchSeq::default()), Condvar::new()));
        let told = Arc::clone(&durable);
        let identity = Identity {
            cluster: ClusterId::new([7; 16]),
            node: NodeId::new(1).ok_or("zero is no id")?,
        };
        let start = Instant::now();
        let (wal, recovered) = Wal::open(dir, identity, Options::default(), move |completion| {
            if let Completion::Durable { seq } = completion
                && let Ok(mut durable) = told.0.lock()
            {
                *durable = seq;
                drop(durable);
                told.1.notify_all();
            }
        })?;
        println!("opened in {:?}, created: {}", start.elapsed(), recovered.created);
        Ok(Self { wal, durable })
    }

    /// Each writer appends one entry to a group of its own and waits until it is durable.
    fn rate(&self, writers: u64) -> Outcome<Rate> {
        let before = self.wal.stats();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=writers).map(|n| scope.spawn(move || self.write(n))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let after = self.wal.stats();
        let appends = f64::from(u32::try_from(after.entries - before.entries)?);
        let syncs = f64::from(u32::try_from(after.fdatasyncs - before.fdatasyncs)?);
        Ok(Rate { appends: appends / seconds, per_sync: appends / syncs })
    }

    fn write(&self, group: u64) -> Outcome<()> {
        let group = GroupId::new(group).ok_or("zero is no id")?;
        let payload = EntryPayload::Command(vec![7; ENTRY_BYTES].into());
        let start = Instant::now();
        while start.elapsed() < ROUND {
            let id = LogId::new(Term::new(1), self.wal.last_index(group).next());
            let entries = vec![Entry { id, payload: payload.clone() }];
            let seq = self.wal.append(Batch { entries, ..Batch::new(group) })?;
            let durable = self.durable.0.lock().map_err(|_| "a thread panicked")?;
            drop(self.durable.1.wait_while(durable, |durable| *durable < seq));
            if id.index >= LogIndex::new(10_000) && id.index.get() % 10_000 == 0 {
                self.wal.compact_prefix(group, id)?;
            }
        }
        Ok(())
    }
}
