//! Nodes on real directories that are damaged while they are down, and what becomes of them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use raft::transport::MemoryNetwork;
use raft::{
    Applied, Builder, ClusterId, Membership, Node, NodeId, Raw, SnapshotPolicy, SnapshotReader,
    SnapshotWriter, StateMachine,
};
use tempfile::TempDir;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const PAGE: usize = 4096;
pub(crate) const SECTOR: usize = 512;

/// The numbers that the commands begin with.
#[derive(Clone, Default)]
pub(crate) struct List(pub(crate) Vec<u64>);

impl StateMachine for List {
    type Command = Raw;
    type Response = ();
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, entry: Applied<Raw>) {
        self.0.push(u64::from_le_bytes(entry.command.0[..8].try_into().unwrap()));
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
        self.0.iter().try_for_each(|number| io::Write::write_all(to, &number.to_le_bytes()))
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(from, &mut bytes)?;
        let (numbers, _) = bytes.as_chunks::<8>();
        self.0 = numbers.iter().map(|number| u64::from_le_bytes(*number)).collect();
        Ok(())
    }
}

pub(crate) fn command(number: u64, len: usize) -> Raw {
    let mut bytes = number.to_le_bytes().to_vec();
    // No two sectors are the same.
    bytes.extend((0..len).map(|at| (number as u8).wrapping_mul(31) ^ (at / SECTOR) as u8));
    Raw(Bytes::from(bytes))
}

pub(crate) fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Directories of nodes that are down, and what was acknowledged.
pub(crate) struct Nodes {
    pub(crate) dirs: TempDir,
    pub(crate) count: u64,
    pub(crate) acknowledged: Vec<u64>,
}

impl Nodes {
    /// Has `count` nodes write more than one file each, stop, write some more and stop again.
    pub(crate) async fn written(count: u64) -> Self {
        let mut nodes =
            Self { dirs: tempfile::tempdir().unwrap(), count, acknowledged: Vec::new() };
        for batch in [0..40, 40..60] {
            let running = nodes.start_all().await;
            for number in batch {
                let len = if number % 3 == 0 { 90_000 } else { 50 };
                propose(&running, number, len).await;
                nodes.acknowledged.push(number);
            }
            stop(running).await;
        }
        nodes
    }

    pub(crate) fn dir(&self, id: u64) -> PathBuf {
        self.dirs.path().join(id.to_string())
    }

    pub(crate) fn builder(&self, id: u64, network: &MemoryNetwork) -> Builder {
        let members = Membership::of_voters((1..=self.count).map(|id| (n(id), ""))).unwrap();
        Node::<List>::builder(n(id))
            .cluster(ClusterId::new([7; 16]))
            .data_dir(self.dir(id))
            .log_segment_bytes(MIB)
            .command_bytes_max(128 << 10)
            .transport(network.clone())
            .bootstrap(members)
            .snapshot_policy(SnapshotPolicy {
                trailing_entries: 0,
                trailing_bytes: 0,
                ..SnapshotPolicy::default()
            })
            .heartbeat_interval(Duration::from_millis(20))
            .election_timeout(Duration::from_millis(200))
            .request_timeout(PATIENCE)
    }

    pub(crate) async fn start_all(&self) -> Vec<Node<List>> {
        let network = MemoryNetwork::new();
        let mut running = Vec::new();
        for id in 1..=self.count {
            let node = self.builder(id, &network).start(List::default()).await;
            running.push(node.unwrap());
        }
        running
    }

    pub(crate) fn copy(&self) -> Self {
        let dirs = tempfile::tempdir().unwrap();
        for id in 1..=self.count {
            copy_dir(&self.dir(id), &dirs.path().join(id.to_string()));
        }
        Self { dirs, count: self.count, acknowledged: self.acknowledged.clone() }
    }

    /// Starts all nodes, of which `victim` is damaged. Gives what it says if it does not start.
    pub(crate) async fn judge(&self, victim: u64, what: &str) -> Option<String> {
        let network = MemoryNetwork::new();
        let started = self.builder(victim, &network).start(List::default()).await;
        let mut running = Vec::new();
        for id in (1..=self.count).filter(|id| *id != victim) {
            let node = self.builder(id, &network).start(List::default()).await;
            running.push(node.unwrap_or_else(|error| panic!("{what}: node {id}: {error}")));
        }
        let mut expected = self.acknowledged.clone();
        for number in 1000..1003 {
            propose(&running, number, 50).await;
            expected.push(number);
        }
        let complaint = match started {
            Ok(node) => {
                running.push(node);
                None
            }
            Err(error) => Some(error.to_string()),
        };
        for node in &running {
            let read = node.read(()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            let is_victim = node.status().id == n(victim);
            assert_eq!(read, expected, "{what}, read on the damaged node: {is_victim}");
        }
        stop(running).await;
        complaint
    }
}

/// Has it done by whoever can.
pub(crate) async fn propose(nodes: &[Node<List>], number: u64, len: usize) {
    for node in nodes.iter().cycle() {
        match node.propose(command(number, len)).await {
            Ok(()) => return,
            Err(error) => assert!(error.is_certainly_not_applied(), "{error}"),
        }
    }
}

pub(crate) async fn stop(nodes: Vec<Node<List>>) {
    for node in nodes {
        node.shutdown().await.unwrap();
    }
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy_dir(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

/// Files of a directory and those below it, in order.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_dir() {
            found.extend(files(&file.path()));
        } else {
            found.push(file.path());
        }
    }
    found.sort();
    found
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Harm {
    FlipBit(usize),
    ZeroPage(usize),
    CutAt(usize),
    SwapSectors(usize, usize),
    Remove,
    /// A directory in its place, which cannot be read as a file.
    Directory,
}

impl Harm {
    /// Does it; false if nothing would be different.
    pub(crate) fn to(self, file: &Path) -> bool {
        let before = fs::read(file).unwrap();
        let mut bytes = before.clone();
        match self {
            Self::FlipBit(at) => bytes[at] ^= 1 << (at % 8),
            Self::ZeroPage(at) => {
                let start = at - at % PAGE;
                let end = bytes.len().min(start + PAGE);
                bytes[start..end].fill(0);
            }
            Self::SwapSectors(a, b) => {
                let (a, b) = (a - a % SECTOR, b - b % SECTOR);
                if a.max(b) + SECTOR > bytes.len() {
                    return false;
                }
                let first = bytes[a..a + SECTOR].to_vec();
                bytes.copy_within(b..b + SECTOR, a);
                bytes[b..b + SECTOR].copy_from_slice(&first);
            }
            Self::CutAt(at) => bytes.truncate(at),
            Self::Remove => {
                fs::remove_file(file).unwrap();
                return true;
            }
            Self::Directory => {
                fs::remove_file(file).unwrap();
                fs::create_dir(file).unwrap();
                return true;
            }
        }
        if bytes == before {
            return false;
        }
        fs::write(file, bytes).unwrap();
        true
    }
}

/// Draws, from a seed.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// Harm to the part of a file that is used.
    pub(crate) fn harm(&mut self, used: usize) -> Harm {
        let at = self.below(used);
        match self.below(3) {
            0 => Harm::FlipBit(at),
            1 => Harm::ZeroPage(at),
            _ => Harm::SwapSectors(at, self.below(used)),
        }
    }
}

/// Bytes up to the last one that is not zero.
pub(crate) fn used(file: &Path) -> usize {
    let bytes = fs::read(file).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// One sentence that says where, or what is lost, and what to do about it.
pub(crate) fn assert_helps(complaint: &str, file: &Path, what: &str) {
    let names = complaint.contains(&*file.file_name().unwrap().to_string_lossy())
        || complaint.contains("IDENT");
    let says_what = [" at byte ", "missing", "damaged", "no IDENT"];
    let advises = ["restore", "give this"];
    assert!(names, "{what}: {complaint}");
    assert!(says_what.iter().any(|word| complaint.contains(word)), "{what}: {complaint}");
    assert!(advises.iter().any(|word| complaint.contains(word)), "{what}: {complaint}");
    assert!(!complaint.contains('\n'), "{what}: {complaint}");
}

/// What became of cases of damage.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) mended: usize,
    pub(crate) refused: usize,
}

pub(crate) async fn try_harm(nodes: &Nodes, file: &Path, harm: Harm, tally: &mut Tally) {
    let copy = nodes.copy();
    let file = copy.dir(3).join(file);
    if !harm.to(&file) {
        return;
    }
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let what = format!("{harm:?} of {name}");
    match copy.judge(3, &what).await {
        None => tally.mended += 1,
        Some(complaint) => {
            assert_helps(&complaint, &file, &what);
            tally.refused += 1;
        }
    }
}

/// Files of node 3 below its directory, without those that hold nothing.
pub(crate) fn used_files(nodes: &Nodes) -> Vec<(PathBuf, usize)> {
    let dir = nodes.dir(3);
    let relative = |file: PathBuf| file.strip_prefix(&dir).unwrap().to_path_buf();
    let files = files(&dir).into_iter().map(|file| (relative(file.clone()), used(&file)));
    files.filter(|(_, used)| *used > PAGE).collect()
}

pub(crate) fn is_segment(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "seg")
}
