//! The program that `cargo xtask powerloss` runs on file systems that lose power, fail or are full.
//!
//! `work DIR MARKS OPERATIONS` carries out a fixed sequence of operations, and after each that was
//! acknowledged writes `mark N` to MARKS. `check DIR MARK`, or `read` without writing, opens what is left and compares it with
//! what the first MARK operations, or some more, had made of the log. `noise FILE STOP` syncs
//! another file until STOP exists. `full DIR` fills the disk and goes on.
#![allow(clippy::print_stdout, reason = "it reports to the program that runs it")]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use bytes::Bytes;
use raft_core::{
    ClusterId, Entry, EntryPayload, GroupId, HardState, LogId, LogIndex, NodeId, Term,
};
use raft_wal::disk::OsDisk;
use raft_wal::{AppendError, Batch, Identity, Log, Options, Reader, Recovered, Wal, WriteError};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const GROUP: GroupId = GroupId::FIRST;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["work", dir, marks, operations] => work(Path::new(dir), marks, operations.parse()?),
        ["check", dir, mark] => {
            let (log, recovered) = Log::open(OsDisk::new(Path::new(dir)), identity()?, options())?;
            check(&log, &recovered, mark.parse()?)
        }
        ["read", dir, mark] => {
            let (reader, recovered) = Reader::open(Path::new(dir), identity()?, &options())?;
            check(&reader, &recovered, mark.parse()?)
        }
        ["noise", file, stop] => noise(file, Path::new(stop)),
        ["full", dir] => full(Path::new(dir)),
        _ => Err("work DIR MARKS OPERATIONS | check DIR MARK | noise FILE STOP | full DIR".into()),
    }
}

fn identity() -> Outcome<Identity> {
    let node = NodeId::new(1).ok_or("zero is no id")?;
    Ok(Identity { cluster: ClusterId::new([7; 16]), node })
}

fn options() -> Options {
    Options { segment_bytes: 1 << 20, ..Options::default() }
}

/// What one operation asks for.
enum Operation {
    Batch(Batch),
    Compact(LogId),
}

/// What the operations have made of the log.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Model {
    hard_state: HardState,
    base: LogId,
    /// Ids of the entries after it.
    entries: Vec<LogId>,
}

impl Model {
    fn last(&self) -> LogId {
        self.entries.last().copied().unwrap_or(self.base)
    }

    /// Operation number `n`, which depends on nothing but the number and what there is.
    fn operation(&self, n: u64) -> Operation {
        let last = self.last();
        let term = self.hard_state.term.get().max(1);
        let mut batch = Batch::new(GROUP);
        let entries = |from: LogIndex, count: u64, term: u64| {
            let first = from.get();
            (first..first + count)
                .map(move |i| entry(LogId::new(Term::new(term), LogIndex::new(i))))
        };
        if n % 37 == 36 {
            let keep = u64::try_from(self.entries.len()).unwrap_or(0) / 4;
            let nth = usize::try_from(keep * 3).unwrap_or(0);
            if let Some(upto) = self.entries.get(nth) {
                return Operation::Compact(*upto);
            }
        }
        if n % 11 == 10 {
            let state = HardState { term: Term::new(term + 1), vote: NodeId::new(n % 3 + 1) };
            batch.hard_state = Some(state);
            if n.is_multiple_of(2) && self.entries.len() > 3 {
                let from = LogIndex::new(last.index.get() - n % 3);
                batch.truncate_from = Some(from);
                batch.entries = entries(from, n % 4, term + 1).collect();
            }
            return Operation::Batch(batch);
        }
        batch.entries = entries(last.index.next(), n % 5 + 1, term).collect();
        Operation::Batch(batch)
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Compact(upto) => {
                self.entries.retain(|id| id.index > upto.index);
                self.base = *upto;
            }
            Operation::Batch(batch) => {
                self.hard_state = batch.hard_state.unwrap_or(self.hard_state);
                if let Some(from) = batch.truncate_from {
                    self.entries.retain(|id| id.index < from);
                }
                self.entries.extend(batch.entries.iter().map(|entry| entry.id));
            }
        }
    }
}

/// The entry with this id: its bytes follow from that.
fn entry(id: LogId) -> Entry {
    let (index, term) = (id.index.get(), id.term.get());
    let len = usize::try_from((index * 131 + term * 17) % 3000).unwrap_or(0);
    let byte = u8::try_from((index * 31 + term * 7) % 251).unwrap_or(0);
    Entry { id, payload: EntryPayload::Command(Bytes::from(vec![byte; len])) }
}

fn work(dir: &Path, marks: &str, operations: u64) -> Outcome<()> {
    let (wal, _) = Wal::open(dir, identity()?, options(), |_| {})?;
    let mut marks = OpenOptions::new().append(true).create(true).open(marks)?;
    let mut model = Model::default();
    for n in 0..operations {
        let operation = model.operation(n);
        model.apply(&operation);
        let written = match operation {
            Operation::Batch(batch) => wal.write(batch).map(drop),
            Operation::Compact(upto) => {
                let seq = wal.compact_prefix(GROUP, upto).map_err(WriteError::from);
                seq.and_then(|seq| Ok(wal.wait(seq)?))
            }
        };
        if let Err(error) = written {
            println!("STOPPED after {n}: {error}");
            return Ok(());
        }
        marks.write_all(format!("mark {}\n", n + 1).as_bytes())?;
    }
    println!("DONE {operations}");
    Ok(())
}

/// How many operations may have been carried out without a mark.
const UNMARKED_MAX: u64 = 4;

fn check(log: &Reader, recovered: &Recovered, mark: u64) -> Outcome<()> {
    let group = recovered.group(GROUP);
    let entries = if group.first <= group.last.index {
        log.entries(GROUP, group.first..=group.last.index, usize::MAX)?
    } else {
        Vec::new()
    };
    if let Some(wrong) = entries.iter().find(|found| **found != entry(found.id)) {
        return Err(format!("the entry {} has other bytes than were written", wrong.id).into());
    }
    let entries = entries.iter().map(|entry| entry.id).collect();
    let found = Model { hard_state: group.hard_state, base: group.base, entries };
    let mut model = Model::default();
    for n in 0..=mark + UNMARKED_MAX {
        if n >= mark && model == found {
            println!("OK {n} of {mark}, {:?}", recovered.tail);
            return Ok(());
        }
        let operation = model.operation(n);
        model.apply(&operation);
    }
    let (state, last) = (found.hard_state, found.last());
    Err(format!("LOST: {mark} were acknowledged; found {state:?}, {:?} to {last}", found.base)
        .into())
}

fn noise(file: &str, stop: &Path) -> Outcome<()> {
    let file = File::create(file)?;
    let mut n = 0;
    while !stop.exists() {
        file.set_len(n % 7 * 512)?;
        file.sync_all()?;
        n += 1;
    }
    Ok(())
}

fn full(dir: &Path) -> Outcome<()> {
    let (wal, _) = Wal::open(dir, identity()?, options(), |_| {})?;
    let mut index = LogIndex::ZERO.next();
    let mut append = |wal: &Wal| {
        let written = wal.write(Batch {
            entries: vec![Entry {
                id: LogId::new(Term::new(1), index),
                payload: EntryPayload::Command(vec![7; 60_000].into()),
            }],
            ..Batch::new(GROUP)
        });
        if written.is_ok() {
            index = index.next();
        }
        written
    };
    let refused = loop {
        if let Err(refused) = append(&wal) {
            break refused;
        }
    };
    if !matches!(refused, WriteError::Refused(AppendError::NoSpace(_))) {
        return Err(refused.into());
    }
    for term in 1..=50 {
        let state = HardState { term: Term::new(term), vote: NodeId::new(1) };
        wal.write(Batch { hard_state: Some(state), ..Batch::new(GROUP) })?;
    }
    let last = wal.last_index(GROUP);
    let upto = LogId::new(Term::new(1), last);
    wal.wait(wal.compact_prefix(GROUP, upto)?)?;
    while let Err(refused) = append(&wal) {
        if !matches!(refused, WriteError::Refused(AppendError::NoSpace(_))) {
            return Err(refused.into());
        }
        std::thread::yield_now();
    }
    wal.close()?;
    println!("OK full after {last}, went on after a compaction");
    Ok(())
}
