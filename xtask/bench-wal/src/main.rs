//! `bench-wal DIR [ROUNDS]`: durable appends, sequential reads and recovery, of raft-wal, raft-engine
//! and wal-db, beside what the disk and the memory give.
//!
//! Payloads are noise: raft-engine compresses batches of more than 8 KiB, and would write next to
//! nothing of what repeats itself.
//!
//! The contenders alternate within each round, so that a busy machine disturbs all alike; medians
//! of the rounds are printed, of rates and of the ratios within a round. Entries are of one group for
//! each writer.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use protobuf::well_known_types::BytesValue;
use raft_core::{ClusterId, Entry, EntryPayload, GroupId, LogId, LogIndex, NodeId, Term};
use raft_engine::{Config, Engine, LogBatch, MessageExt};
use raft_wal::disk::OsDisk;
use raft_wal::{Batch, Identity, Log, Options, Wal};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ROUND: Duration = Duration::from_millis(100);
/// A writer that has appended so much forgets what came before.
const KEPT_BYTES: u64 = 8 << 20;

/// Entry size, entries in a batch, writers.
const CASES: [(usize, u64, u64); 11] = [
    (64, 1, 1),
    (256, 1, 1),
    (1024, 1, 1),
    (65_536, 1, 1),
    (64, 16, 1),
    (256, 16, 1),
    (1024, 16, 1),
    (64, 256, 1),
    (256, 256, 1),
    (1024, 256, 1),
    (256, 1, 64),
];

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().ok_or("bench-wal DIR [ROUNDS]")?);
    let rounds: usize = args.next().map_or(Ok(11), |n| n.parse())?;
    std::fs::create_dir_all(&dir)?;
    println!("memory: {:.1} GB/s copied", memory_rate());
    let ours = Ours::open(&dir.join("raft-wal"))?;
    let engine = Rival::open(&dir.join("raft-engine"))?;
    let waldb = Plain::open(&dir.join("wal-db"))?;
    let bare = Bare::open(&dir.join("bare"))?;
    println!("durable entries per second (medians of {rounds}), and ratios");
    println!(
        "{:>6} {:>6} {:>8} {:>12} {:>12} {:>12} {:>12} {:>9} {:>12} {:>8}",
        "bytes",
        "batch",
        "writers",
        "fdatasync",
        "raft-wal",
        "raft-engine",
        "wal-db",
        "of sync",
        "of engine",
        "of wal-db"
    );
    for (len, count, writers) in CASES {
        let mut rates = [const { Vec::new() }; 4];
        for _ in 0..rounds {
            rates[0].push(bare.rate(len, count)?);
            rates[1].push(race(&ours, len, count, writers)?);
            rates[2].push(race(&engine, len, count, writers)?);
            rates[3].push(race(&waldb, len, count, writers)?);
        }
        let [of_sync, _, of_engine, of_waldb] =
            [0, 1, 2, 3].map(|n| median(ratios(&rates[1], &rates[n])));
        let [sync, a, b, c] = rates.map(median);
        println!(
            "{len:>6} {count:>6} {writers:>8} {sync:>12.0} {a:>12.0} {b:>12.0} {c:>12.0} {of_sync:>9.2} {of_engine:>12.2} {of_waldb:>8.2}",
        );
    }
    drop((ours, engine, waldb, bare));
    /// Each takes seconds.
    const READ_ROUNDS: usize = 3;
    reading(&dir, 1 << 30, READ_ROUNDS)
}

fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

fn memory_rate() -> f64 {
    let from = vec![1u8; 256 << 20];
    let mut to = vec![0u8; 256 << 20];
    let start = Instant::now();
    for _ in 0..4 {
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
    }
    1.073_741_824 / start.elapsed().as_secs_f64()
}

/// A log that makes a batch durable before it returns.
trait Contender: Sync {
    /// Appends `count` entries to the log of `writer`, numbered from `first`.
    fn append(&self, writer: u64, first: u64, count: u64, noise: &Noise) -> Outcome<()>;
    /// Forgets the entries of `writer` up to `upto`.
    fn forget(&self, writer: u64, upto: u64) -> Outcome<()>;
    /// The next index of `writer`.
    fn next(&self, writer: u64) -> &AtomicU64;
}

/// Payloads that cannot be compressed.
struct Noise {
    pool: Bytes,
    len: usize,
}

impl Noise {
    const POOL: usize = 1 << 20;

    fn new(len: usize) -> Self {
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x.to_le_bytes()
        };
        let pool: Vec<u8> = (0..(Self::POOL + len).div_ceil(8)).flat_map(|_| next()).collect();
        Self { pool: Bytes::from(pool), len }
    }

    /// The payload of entry `n`; neighbours have nothing in common.
    fn payload(&self, n: u64) -> Bytes {
        let from = (n as usize).wrapping_mul(4099) % Self::POOL;
        self.pool.slice(from..from + self.len)
    }
}

fn race(contender: &impl Contender, len: usize, count: u64, writers: u64) -> Outcome<f64> {
    let noise = Noise::new(len);
    let total = AtomicU64::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let run = |writer: u64| -> Outcome<()> {
            let next = contender.next(writer);
            let mut bytes = 0;
            while start.elapsed() < ROUND {
                let first = next.fetch_add(count, Ordering::Relaxed);
                contender.append(writer, first, count, &noise)?;
                total.fetch_add(count, Ordering::Relaxed);
                bytes += count * len as u64;
                if bytes > KEPT_BYTES {
                    contender.forget(writer, first)?;
                    bytes = 0;
                }
            }
            contender.forget(writer, next.load(Ordering::Relaxed) - 1)
        };
        let threads: Vec<_> = (1..=writers).map(|n| scope.spawn(move || run(n))).collect();
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| "a writer panicked")?)
    })?;
    Ok(total.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

fn counters() -> Vec<AtomicU64> {
    (0..=64).map(|_| AtomicU64::new(1)).collect()
}

fn identity() -> Outcome<Identity> {
    let node = NodeId::new(1).ok_or("zero is no id")?;
    Ok(Identity { cluster: ClusterId::new([7; 16]), node })
}

fn id(index: u64) -> LogId {
    LogId::new(Term::new(1), LogIndex::new(index))
}

struct Ours(Wal, Vec<AtomicU64>);

impl Ours {
    fn open(dir: &Path) -> Outcome<Self> {
        Ok(Self(Wal::open(dir, identity()?, Options::default(), |_| {})?.0, counters()))
    }
}

impl Contender for Ours {
    fn append(&self, writer: u64, first: u64, count: u64, noise: &Noise) -> Outcome<()> {
        let entry = |n| Entry { id: id(n), payload: EntryPayload::Command(noise.payload(n)) };
        let group = GroupId::new(writer).ok_or("zero is no id")?;
        let entries = (first..first + count).map(entry).collect();
        self.0.write(Batch { entries, ..Batch::new(group) })?;
        Ok(())
    }

    fn forget(&self, writer: u64, upto: u64) -> Outcome<()> {
        let group = GroupId::new(writer).ok_or("zero is no id")?;
        self.0.compact_prefix(group, id(upto))?;
        Ok(())
    }

    fn next(&self, writer: u64) -> &AtomicU64 {
        &self.1[writer as usize]
    }
}

struct Rival(Engine, Vec<AtomicU64>);

#[derive(Clone)]
struct Indexed;

impl MessageExt for Indexed {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        let (head, _) = entry.value.split_first_chunk().expect("every entry begins with its index");
        u64::from_le_bytes(*head)
    }
}

fn indexed(n: u64, payload: &[u8]) -> BytesValue {
    let mut value = BytesValue::new();
    value.value = [&n.to_le_bytes()[..], payload].concat();
    value
}

impl Rival {
    fn open(dir: &Path) -> Outcome<Self> {
        let dir = dir.to_string_lossy().into_owned();
        Ok(Self(Engine::open(Config { dir, ..Config::default() })?, counters()))
    }
}

impl Contender for Rival {
    fn append(&self, writer: u64, first: u64, count: u64, noise: &Noise) -> Outcome<()> {
        let entries: Vec<_> =
            (first..first + count).map(|n| indexed(n, &noise.payload(n))).collect();
        let mut batch = LogBatch::with_capacity(1);
        batch.add_entries::<Indexed>(writer, &entries)?;
        self.0.write(&mut batch, true)?;
        Ok(())
    }

    fn forget(&self, writer: u64, upto: u64) -> Outcome<()> {
        self.0.compact_to(writer, upto);
        if writer == 1 {
            self.0.purge_expired_files()?;
        }
        Ok(())
    }

    fn next(&self, writer: u64) -> &AtomicU64 {
        &self.1[writer as usize]
    }
}

struct Plain(wal_db::Wal, Vec<AtomicU64>);

impl Plain {
    fn open(dir: &Path) -> Outcome<Self> {
        Ok(Self(wal_db::Wal::open(dir)?, counters()))
    }
}

impl Contender for Plain {
    fn append(&self, _writer: u64, first: u64, count: u64, noise: &Noise) -> Outcome<()> {
        for n in first..first + count {
            let _ = self.0.append(&noise.payload(n))?;
        }
        self.0.sync()?;
        Ok(())
    }

    fn forget(&self, _writer: u64, _upto: u64) -> Outcome<()> {
        Ok(())
    }

    fn next(&self, writer: u64) -> &AtomicU64 {
        &self.1[writer as usize]
    }
}

/// Writes of the same length over blocks that hold zeros, and a sync each.
struct Bare(File);

impl Bare {
    const BYTES: u64 = 128 << 20;

    fn open(path: &Path) -> Outcome<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
        for n in 0..Self::BYTES >> 20 {
            file.write_all_at(&vec![0; 1 << 20], n << 20)?;
        }
        file.sync_all()?;
        Ok(Self(file))
    }

    /// Entries per second.
    fn rate(&self, len: usize, count: u64) -> Outcome<f64> {
        let record = 64 + count * (32 + len as u64).next_multiple_of(8);
        let block = vec![7; (record + 8192) as usize];
        let (mut offset, mut syncs) = (0, 0u64);
        let start = Instant::now();
        while start.elapsed() < ROUND {
            let end = (offset + record).next_multiple_of(4096);
            self.0.write_all_at(&block[..(end - offset) as usize], offset)?;
            self.0.sync_data()?;
            offset = if offset + 2 * record > Self::BYTES { 0 } else { (offset + record) & !7 };
            syncs += 1;
        }
        Ok((syncs * count) as f64 / start.elapsed().as_secs_f64())
    }
}

/// Writes logs of so many bytes, opens them again and reads them from the first entry to the last,
/// twice, in turn.
fn reading(dir: &Path, bytes: u64, rounds: usize) -> Outcome<()> {
    println!("{} MiB of entries of 256 bytes (medians of {rounds}), and ratios", bytes >> 20);
    let count = bytes / 256;
    let (ours, theirs) = (dir.join("read-raft-wal"), dir.join("read-raft-engine"));
    fill_ours(&ours, count)?;
    fill_engine(&theirs, count)?;
    let mut all = [const { Vec::new() }; 2];
    for _ in 0..rounds {
        all[0].push(read_ours(&ours, count)?);
        all[1].push(read_engine(&theirs, count)?);
    }
    std::fs::remove_dir_all(&ours)?;
    std::fs::remove_dir_all(&theirs)?;
    let of = |nth: usize, what: fn(&Reading) -> f64| all[nth].iter().map(what).collect::<Vec<_>>();
    let columns: [(&str, fn(&Reading) -> f64); 3] = [
        ("opened, s", |reading| reading.opened.as_secs_f64()),
        ("first read, GB/s", |reading| reading.first),
        ("second read, GB/s", |reading| reading.second),
    ];
    println!("{:>18} {:>12} {:>12} {:>9}", "", "raft-wal", "raft-engine", "ratio");
    for (name, what) in columns {
        let (ours, theirs) = (of(0, what), of(1, what));
        let ratio = median(ratios(&ours, &theirs));
        println!("{name:>18} {:>12.3} {:>12.3} {ratio:>9.2}", median(ours), median(theirs));
    }
    println!("raft-wal verifies every byte when it opens, and again at every read");
    Ok(())
}

struct Reading {
    opened: Duration,
    /// GB/s.
    first: f64,
    second: f64,
}

/// How many entries of the logs to be read are written at a time.
const FILL_BATCH: u64 = 4096;

fn fill_ours(path: &Path, count: u64) -> Outcome<()> {
    let noise = Noise::new(256);
    let (mut log, _) = Log::open(OsDisk::new(path), identity()?, Options::default())?;
    for first in (1..=count).step_by(FILL_BATCH as usize) {
        let entry = |n| Entry { id: id(n), payload: EntryPayload::Command(noise.payload(n)) };
        let entries = (first..first + FILL_BATCH).map(entry).collect();
        log.append(Batch { entries, ..Batch::new(GroupId::FIRST) })?;
        log.flush()?;
    }
    Ok(log.close()?)
}

fn fill_engine(path: &Path, count: u64) -> Outcome<()> {
    let noise = Noise::new(256);
    let engine = Rival::open(path)?;
    for first in (1..=count).step_by(FILL_BATCH as usize) {
        engine.append(1, first, FILL_BATCH, &noise)?;
    }
    Ok(())
}

fn read_ours(path: &Path, count: u64) -> Outcome<Reading> {
    let start = Instant::now();
    let (log, _) = Log::open(OsDisk::new(path), identity()?, Options::default())?;
    let opened = start.elapsed();
    let read = |first, upto| {
        let range = LogIndex::new(first)..=LogIndex::new(upto);
        Ok(log.entries(GroupId::FIRST, range, usize::MAX)?.len())
    };
    let reading =
        Reading { opened, first: read_rate(count, read)?, second: read_rate(count, read)? };
    log.close()?;
    Ok(reading)
}

fn read_engine(path: &Path, count: u64) -> Outcome<Reading> {
    let start = Instant::now();
    let engine = Rival::open(path)?;
    let opened = start.elapsed();
    let read = |first, upto| {
        let mut entries = Vec::new();
        engine.0.fetch_entries_to::<Indexed>(1, first, upto + 1, None, &mut entries)?;
        Ok(entries.len())
    };
    Ok(Reading { opened, first: read_rate(count, read)?, second: read_rate(count, read)? })
}

fn read_rate(count: u64, read: impl Fn(u64, u64) -> Outcome<usize>) -> Outcome<f64> {
    let start = Instant::now();
    let mut found = 0;
    for first in (1..=count).step_by(1024) {
        found += read(first, (first + 1023).min(count))?;
    }
    if found as u64 != count {
        return Err(format!("{found} of {count} entries were read").into());
    }
    Ok((count * 256) as f64 / start.elapsed().as_secs_f64() / 1e9)
}
