//! Measures appends per second against the rate of bare fdatasync over zero-written blocks.
//!
//! `cargo run --release -p raft-wal --example fsync_rate -- DIR [ROUNDS]`
//!
//! `Log` writes on the thread that appends; `Wal` hands over to its own thread and is waited for,
//! which adds two wake-ups to each append of a lone writer. The contenders alternate in each round,
//! so that a busy machine disturbs all of them alike.
#![allow(clippy::print_stdout, clippy::float_arithmetic, reason = "it is a measuring program")]

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use raft_core::{ClusterId, Entry, EntryPayload, GroupId, LogId, LogIndex, NodeId, Term};
use raft_wal::disk::OsDisk;
use raft_wal::{Batch, BatchSeq, Completion, Identity, Log, Options, Wal};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ENTRY_BYTES: usize = 256;
/// What one such entry takes on disk: header, descriptor and payload.
const RECORD_BYTES: usize = 64 + 32 + ENTRY_BYTES;
const ROUND: Duration = Duration::from_millis(400);

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("name a directory")?);
    let rounds: u32 = args.next().map_or(Ok(5), |n| n.parse())?;
    std::fs::create_dir_all(&dir)?;
    let bare = bare_file(&dir.join("bare"))?;
    let disk = OsDisk::new(&dir.join("log"));
    let (mut log, _) = Log::open(disk, identity()?, Options::default())?;
    let bench = Bench::open(&dir.join("wal"))?;
    println!("per second:   fdatasync    Log (ratio)    Wal (ratio)   Wal, 64 writers (per sync)");
    let mut ratios = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let raw = bare_rate(&bare)?;
        let plain = log_rate(&mut log)?;
        let told = bench.rate(1, true)?.appends;
        let one = bench.rate(1, false)?.appends;
        let Rate { appends, per_sync } = bench.rate(64, false)?;
        let (of_log, of_wal) = (plain / raw, one / raw);
        println!(
            "{raw:22.0} {plain:8.0} ({of_log:.2}) told {:.2} {one:8.0} ({of_wal:.2}) {appends:17.0} ({per_sync:.0})",
            told / raw
        );
        ratios.0.push(of_log);
        ratios.1.push(of_wal);
    }
    println!("medians of the ratios: Log {:.3}, Wal {:.3}", median(ratios.0)?, median(ratios.1)?);
    Ok(())
}

fn median(mut numbers: Vec<f64>) -> Outcome<f64> {
    numbers.sort_by(f64::total_cmp);
    Ok(*numbers.get(numbers.len() / 2).ok_or("no rounds")?)
}

fn identity() -> Outcome<Identity> {
    let node = NodeId::new(1).ok_or("zero is no id")?;
    Ok(Identity { cluster: ClusterId::new([7; 16]), node })
}

fn entry(index: LogIndex) -> Entry {
    let payload = EntryPayload::Command(Bytes::from_static(&[7; ENTRY_BYTES]));
    Entry { id: LogId::new(Term::new(1), index), payload }
}

/// Appends one entry after the other on this thread.
fn log_rate(log: &mut Log<OsDisk>) -> Outcome<f64> {
    let start = Instant::now();
    let mut count = 0u32;
    while start.elapsed() < ROUND {
        let entries = vec![entry(log.last_index(GroupId::FIRST).next())];
        log.append(Batch { entries, ..Batch::new(GroupId::FIRST) })?;
        log.flush()?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    let last = log.last_index(GroupId::FIRST);
    log.compact_prefix(GroupId::FIRST, LogId::new(Term::new(1), last))?;
    log.flush()?;
    Ok(rate)
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
        let identity = identity()?;
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
    fn rate(&self, writers: u64, by_callback: bool) -> Outcome<Rate> {
        let before = self.wal.stats();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                (1..=writers).map(|n| scope.spawn(move || self.write(n, by_callback))).collect();
            threads
                .into_iter()
                .try_for_each(|thread| thread.join().map_err(|_| "a writer panicked")?)
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let after = self.wal.stats();
        let appends = f64::from(u32::try_from(after.entries - before.entries)?);
        let syncs = f64::from(u32::try_from(after.fdatasyncs - before.fdatasyncs)?);
        Ok(Rate { appends: appends / seconds, per_sync: appends / syncs })
    }

    fn write(&self, group: u64, by_callback: bool) -> Outcome<()> {
        let group = GroupId::new(group).ok_or("zero is no id")?;
        let start = Instant::now();
        while start.elapsed() < ROUND {
            let entry = entry(self.wal.last_index(group).next());
            let id = entry.id;
            let entries = vec![entry];
            let batch = Batch { entries, ..Batch::new(group) };
            if by_callback {
                let seq = self.wal.append(batch)?;
                let durable = self.durable.0.lock().map_err(|_| "a thread panicked")?;
                drop(self.durable.1.wait_while(durable, |durable| *durable < seq));
            } else {
                self.wal.write(batch)?;
            }
            if id.index.get().is_multiple_of(10_000) {
                self.wal.compact_prefix(group, id)?;
            }
        }
        Ok(())
    }
}
