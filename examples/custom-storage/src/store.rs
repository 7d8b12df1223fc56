//! A log in `redb`: two tables, one transaction for all that has gathered while the last one was
//! made durable.
//!
//! ```text
//! submit --> channel --> writer's thread: one transaction, committed with a sync --> callback
//!    |
//!    +--> tail: entries that are not in the database yet, so that they can be read at once
//! ```

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use raft::{
    DurableCallback, Entry, LogError, LogId, LogIndex, LogStore, OpenLog, OpenedLog, Restored,
    Term, Write, WriteSeq,
};
use raft_core::{EntryKind, EntryPayload, HardState, NodeId, OnLoss};
use redb::{
    Database, ReadableDatabase as _, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction,
};

/// Index of an entry: its term (8 bytes), its kind (1), its bytes.
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");

/// Numbers by name.
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

const TERM: &str = "term";
const VOTE: &str = "vote";
const BASE_INDEX: &str = "base index";
const BASE_TERM: &str = "base term";
const GENERATION: &str = "generation";

/// Bytes of the newest entries that the core is handed when it starts.
const TAIL_BYTES_MAX: usize = 1 << 20;

/// Says where the database is.
#[derive(Debug)]
pub(crate) enum OpenRedb {
    File(PathBuf),
    /// On something else than a file.
    Backend(Box<dyn Backend>),
}

/// A backend that can be boxed.
pub(crate) trait Backend: std::fmt::Debug + Send {
    fn create(self: Box<Self>) -> Result<Database, redb::Error>;
}

impl<B: StorageBackend> Backend for B {
    fn create(self: Box<Self>) -> Result<Database, redb::Error> {
        Ok(Database::builder().create_with_backend(*self)?)
    }
}

impl OpenRedb {
    pub(crate) fn file(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl OpenLog for OpenRedb {
    fn open(self: Box<Self>, durable: DurableCallback) -> Result<OpenedLog, LogError> {
        let database = match *self {
            Self::File(path) => Database::create(path).map_err(LogError::new)?,
            Self::Backend(backend) => backend.create().map_err(LogError::new)?,
        };
        let generation = begin(&database).map_err(LogError::new)?;
        let restored = restore(&database)?;
        let database = Arc::new(database);
        let tail = Arc::new(Mutex::new(Tail::default()));
        let (writes, received) = channel();
        let writer = Writer { database: Arc::clone(&database), tail: Arc::clone(&tail), durable };
        let thread = std::thread::Builder::new()
            .name("redb-writer".to_owned())
            .spawn(move || writer.run(&received))
            .map_err(LogError::new)?;
        let writer = Mutex::new(Some(Running { writes, thread }));
        let store = RedbLog { database, tail, writer };
        // The database finds damage itself, and then does not open.
        Ok(OpenedLog { store: Arc::new(store), restored, damage: Vec::new(), generation })
    }
}

/// Counts the starts, so that peers can tell the runs of a node apart.
fn begin(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    let mut numbers = transaction.open_table(NUMBERS)?;
    let generation = number(&numbers, GENERATION)? + 1;
    numbers.insert(GENERATION, generation)?;
    drop(numbers);
    transaction.commit()?;
    Ok(generation)
}

fn number(
    numbers: &impl ReadableTable<&'static str, u64>,
    name: &'static str,
) -> Result<u64, redb::Error> {
    Ok(numbers.get(name)?.map_or(0, |value| value.value()))
}

struct RedbLog {
    database: Arc<Database>,
    tail: Arc<Mutex<Tail>>,
    /// Gone once the store is closed.
    writer: Mutex<Option<Running>>,
}

/// The writer's thread, and the way to it.
struct Running {
    writes: Sender<Write>,
    thread: JoinHandle<Result<(), LogError>>,
}

/// What was submitted and is not in the database yet.
#[derive(Debug, Default)]
struct Tail {
    /// Writes that are under way.
    pending: usize,
    /// Where `entries` begin, if any write is under way that changes the end of the log: what the
    /// database holds from there on does not count.
    first: Option<LogIndex>,
    entries: VecDeque<Entry>,
}

impl Tail {
    /// Takes note of a write, in the order in which it changes the log.
    fn push(&mut self, write: &Write) {
        self.pending += 1;
        if let Some(base) = write.reset {
            self.cut(LogIndex::ZERO);
            self.first = Some(base.index.next());
        }
        if let Some(from) = write.truncate {
            self.cut(from);
        }
        if let Some(entry) = write.append.first() {
            self.cut(entry.id.index);
        }
        self.entries.extend(write.append.iter().cloned());
    }

    /// Forgets `from` and all behind it.
    fn cut(&mut self, from: LogIndex) {
        while self.entries.pop_back_if(|entry| entry.id.index >= from).is_some() {}
        self.first = Some(self.first.map_or(from, |first| first.min(from)));
    }

    /// Takes note that so many writes are in the database.
    fn pop(&mut self, writes: usize) {
        self.pending -= writes;
        if self.pending == 0 {
            *self = Self::default();
        }
    }
}

impl LogStore for RedbLog {
    fn submit(&self, write: Write) -> Result<(), LogError> {
        const STOPPED: &str = "the log has stopped";
        let writer = lock(&self.writer);
        let running = writer.as_ref().ok_or_else(|| LogError::new(STOPPED))?;
        lock(&self.tail).push(&write);
        running.writes.send(write).map_err(|_| LogError::new(STOPPED))
    }

    fn entries(
        &self,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let (first, newer) = {
            let tail = lock(&self.tail);
            let within = |entry: &&Entry| range.contains(&entry.id.index);
            (tail.first, tail.entries.iter().filter(within).cloned().collect::<Vec<_>>())
        };
        let mut taken = Budget { weight_max: bytes_max, weight: 0, entries: Vec::new() };
        let end = range.end().next();
        let stored = range.start().get()..first.unwrap_or(end).min(end).get();
        if self.read_stored(stored, &mut taken).map_err(LogError::new)? == Room::Left {
            newer.into_iter().all(|entry| taken.push(entry) == Room::Left);
        }
        match taken.entries.is_empty() {
            false => Ok(taken.entries),
            true => Err(LogError::new(format!("there is no entry {}", range.start()))),
        }
    }

    fn close(self: Arc<Self>) -> Result<(), LogError> {
        self.stop()
    }
}

impl RedbLog {
    fn read_stored(
        &self,
        range: std::ops::Range<u64>,
        taken: &mut Budget,
    ) -> Result<Room, redb::Error> {
        if range.is_empty() {
            return Ok(Room::Left);
        }
        let table = self.database.begin_read()?.open_table(ENTRIES)?;
        for row in table.range(range)? {
            let (index, bytes) = row?;
            let Some(entry) = decode(index.value(), bytes.value()) else {
                return Err(redb::Error::Corrupted(format!("entry {} is no entry", index.value())));
            };
            if taken.push(entry) == Room::Full {
                return Ok(Room::Full);
            }
        }
        Ok(Room::Left)
    }

    /// Has the writer finish what was submitted, and end.
    fn stop(&self) -> Result<(), LogError> {
        let Some(Running { writes, thread }) = lock(&self.writer).take() else { return Ok(()) };
        drop(writes);
        thread.join().unwrap_or_else(|_| Err(LogError::new("the writer's thread panicked")))
    }
}

impl Drop for RedbLog {
    fn drop(&mut self) {
        // The database is free for the next who opens it. A failure was told by the callback.
        drop(self.stop());
    }
}

/// As many entries as weigh so much, but at least one.
struct Budget {
    weight_max: usize,
    weight: usize,
    entries: Vec<Entry>,
}

/// Whether more may be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Left,
    Full,
}

impl Budget {
    /// Takes the entry, unless it is too much.
    fn push(&mut self, entry: Entry) -> Room {
        let weight = self.weight.saturating_add(entry.payload.command_len());
        if weight > self.weight_max && !self.entries.is_empty() {
            return Room::Full;
        }
        self.weight = weight;
        self.entries.push(entry);
        Room::Left
    }
}

struct Writer {
    database: Arc<Database>,
    tail: Arc<Mutex<Tail>>,
    durable: DurableCallback,
}

impl Writer {
    /// Writes until there is nobody left who could submit anything.
    fn run(mut self, received: &Receiver<Write>) -> Result<(), LogError> {
        while let Ok(first) = received.recv() {
            let writes: Vec<_> = std::iter::once(first).chain(received.try_iter()).collect();
            let Some(newest) = writes.last().map(|write| write.seq) else { continue };
            if let Err(error) = self.write(writes.iter()) {
                // Never tried again: nobody knows what of it is on the disk.
                (self.durable)(Err(LogError::new(error.to_string())));
                return Err(LogError::new(error));
            }
            lock(&self.tail).pop(writes.len());
            self.tell(newest);
        }
        Ok(())
    }

    fn tell(&mut self, newest: WriteSeq) {
        (self.durable)(Ok(newest));
    }

    /// All of them or none: a crash in between leaves the database as it was.
    fn write<'a>(&self, writes: impl Iterator<Item = &'a Write>) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        for write in writes {
            apply(&transaction, write)?;
        }
        // By default, a commit returns when it would survive a loss of power.
        Ok(transaction.commit()?)
    }
}

/// Carries out a write in the order that [`Write`] asks for.
fn apply(transaction: &WriteTransaction, write: &Write) -> Result<(), redb::Error> {
    let mut numbers = transaction.open_table(NUMBERS)?;
    let mut entries = transaction.open_table(ENTRIES)?;
    if let Some(HardState { term, vote }) = write.hard_state {
        numbers.insert(TERM, term.get())?;
        numbers.insert(VOTE, vote.map_or(0, NodeId::get))?;
    }
    if let Some(base) = write.reset {
        entries.retain(|_, _| false)?;
        numbers.insert(BASE_INDEX, base.index.get())?;
        numbers.insert(BASE_TERM, base.term.get())?;
    }
    if let Some(upto) = write.compact {
        entries.retain_in(..=upto.index.get(), |_, _| false)?;
        numbers.insert(BASE_INDEX, upto.index.get())?;
        numbers.insert(BASE_TERM, upto.term.get())?;
    }
    if let Some(from) = write.truncate {
        entries.retain_in(from.get().., |_, _| false)?;
    }
    for entry in write.repair.iter().chain(&write.append) {
        entries.insert(entry.id.index.get(), encode(entry).as_slice())?;
    }
    Ok(())
}

fn encode(entry: &Entry) -> Vec<u8> {
    let payload = entry.payload.to_bytes();
    let mut bytes = Vec::with_capacity(payload.len() + 9);
    bytes.extend(entry.id.term.get().to_le_bytes());
    bytes.push(entry.payload.kind().code());
    bytes.extend(&payload);
    bytes
}

fn decode(index: u64, bytes: &[u8]) -> Option<Entry> {
    let (term, rest) = bytes.split_first_chunk::<8>()?;
    let (kind, payload) = rest.split_first()?;
    let kind = EntryKind::from_code(*kind).ok()?;
    let payload = EntryPayload::from_bytes(kind, payload.to_vec().into()).ok()?;
    let id = LogId::new(Term::new(u64::from_le_bytes(*term)), LogIndex::new(index));
    Some(Entry { id, payload })
}

/// What the database holds; `None` if it is new.
fn restore(database: &Database) -> Result<Option<Restored>, LogError> {
    let read = || -> Result<_, redb::Error> {
        let transaction = database.begin_read()?;
        let numbers = transaction.open_table(NUMBERS)?;
        let (term, vote) = (number(&numbers, TERM)?, number(&numbers, VOTE)?);
        let base = (number(&numbers, BASE_TERM)?, number(&numbers, BASE_INDEX)?);
        let hard_state = HardState { term: Term::new(term), vote: NodeId::new(vote) };
        let base = LogId::new(Term::new(base.0), LogIndex::new(base.1));
        let mut entries = Vec::new();
        for row in transaction.open_table(ENTRIES)?.iter()? {
            let (index, bytes) = row?;
            entries.push(decode(index.value(), bytes.value()));
        }
        Ok((hard_state, base, entries))
    };
    let (hard_state, base, entries) = read().map_err(LogError::new)?;
    if hard_state == HardState::default() && entries.is_empty() && base == LogId::ZERO {
        return Ok(None);
    }
    let mut restored = Restored {
        hard_state,
        snapshot: None,
        base,
        term_starts: Vec::new(),
        last: base,
        tail: Vec::new(),
        memberships: Vec::new(),
        faulty: Vec::new(),
        is_in_doubt: false,
        on_loss: OnLoss::Refuse,
    };
    let mut tail = VecDeque::new();
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.ok_or_else(|| LogError::new("the database holds what is no entry"))?;
        let last = restored.last;
        if last == base || last.term != entry.id.term {
            restored.term_starts.push(entry.id);
        }
        if let EntryPayload::Membership(membership) = &entry.payload {
            restored.memberships.push((entry.id, (**membership).clone()));
        }
        restored.last = entry.id;
        bytes += entry.payload.command_len();
        tail.push_back(entry);
        while bytes > TAIL_BYTES_MAX
            && let Some(oldest) = tail.pop_front()
        {
            bytes -= oldest.payload.command_len();
        }
    }
    restored.tail = tail.into();
    Ok(Some(restored))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a thread that panicked has left is not used: its store stops.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
