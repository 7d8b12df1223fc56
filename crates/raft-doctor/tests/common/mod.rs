//! The program, and directories for it to look into.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use raft_core::{
    ClusterId, Entry, EntryPayload, GroupId, HardState, LogId, LogIndex, Membership, NodeId,
    SnapshotMeta, Term,
};
use raft_snapshot::disk::OsDisk;
use raft_snapshot::{Owner, Store};
use raft_wal::{Batch, Identity, Log, Options};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([7; 16]);
pub(crate) const HEIR: &str = "09090909090909090909090909090909";

/// What the program said, and how it ended.
pub(crate) struct Told {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn doctor(arguments: &[&str]) -> Told {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft-doctor"));
    let Output { status, stdout, stderr } = command.args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Told { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

pub(crate) fn on(command: &str, dir: &Path, more: &[&str]) -> Told {
    let mut arguments = vec![command, dir.to_str().unwrap()];
    arguments.extend(more);
    doctor(&arguments)
}

pub(crate) fn node(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(crate) fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

pub(crate) fn identity(of: u64) -> Identity {
    Identity { cluster: CLUSTER, node: node(of) }
}

pub(crate) fn options() -> Options {
    Options { segment_bytes: 1 << 20, ..Options::default() }
}

pub(crate) fn members() -> Membership {
    Membership::of_voters((1..=3).map(|id| (node(id), format!("host-{id}:7000")))).unwrap()
}

pub(crate) fn command(index: u64, term: u64) -> Entry {
    let text = format!("command number {index} of term {term}");
    Entry { id: id(index, term), payload: EntryPayload::Command(text.into()) }
}

/// Writes a directory as node `of` of three would have it: the founding, entries 2 to `last` in
/// terms 1 and 2 and in several segments, and a snapshot up to entry 5.
pub(crate) fn write_node(dir: &Path, of: u64, last: u64) {
    let founding = EntryPayload::Membership(Box::new(members()));
    let founding = Entry { id: id(1, 1), payload: founding };
    let hard_state = |term| Some(HardState { term: Term::new(term), vote: Some(node(of)) });
    let mut log = open(dir, of);
    append(&mut log, Batch { hard_state: hard_state(1), ..batch(vec![founding]) });
    for index in 2..=5 {
        append(&mut log, batch(vec![command(index, 1)]));
    }
    log.close().unwrap();
    let mut log = open(dir, of);
    let entries = (6..=last).map(|index| command(index, 2)).collect();
    append(&mut log, Batch { hard_state: hard_state(2), ..batch(entries) });
    log.close().unwrap();
    write_snapshot(&dir.join("snapshots"), 5);
}

pub(crate) fn open(dir: &Path, of: u64) -> Log<OsDisk> {
    Log::open(OsDisk::new(dir), identity(of), options()).unwrap().0
}

pub(crate) fn batch(entries: Vec<Entry>) -> Batch {
    Batch { entries, ..Batch::new(GroupId::FIRST) }
}

pub(crate) fn append(log: &mut Log<OsDisk>, batch: Batch) {
    log.append(batch).unwrap();
    log.flush().unwrap();
}

pub(crate) fn write_snapshot(dir: &Path, upto: u64) {
    use std::io::Write as _;
    let owner = Owner { cluster: CLUSTER, group: GroupId::FIRST };
    let (store, _) = Store::open(OsDisk::new(dir), owner, Default::default()).unwrap();
    let meta = SnapshotMeta { last: id(upto, 1), membership_id: id(1, 1), membership: members() };
    let mut writer = store.create(meta).unwrap();
    writer.write_all(&vec![5; 10_000]).unwrap();
    writer.finish().unwrap();
}

/// Everything in a directory and its folders.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            let content = std::fs::read(&path).unwrap();
            files.insert(path, content);
        }
    }
    files
}

pub(crate) fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:020}.seg"))
}

/// Flips a bit of a file.
pub(crate) fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Where `wanted` stands in a file.
pub(crate) fn find(path: &Path, wanted: &[u8]) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}
