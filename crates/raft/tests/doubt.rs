//! A node whose newest write is damaged, after a crash: it may have acknowledged that, and waits for
//! those who have it.
#![cfg(feature = "persistence")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use raft::transport::MemoryNetwork;
use raft::{
    Applied, Builder, ClusterId, Membership, Node, NodeId, ProposeError, Raw, ReadError,
    StateMachine,
};
use raft_core::{Entry, EntryPayload, GroupId, HardState, LogId, LogIndex, Term};
use raft_wal::disk::OsDisk;
use raft_wal::{Batch, Identity, Log, Options};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(30);
const SEGMENT_BYTES: u64 = 1 << 20;
const CLUSTER: ClusterId = ClusterId::new([7; 16]);
/// It is acknowledged by a majority, of which one loses it.
const NEWEST: &[u8] = b"the newest command, acknowledged by nodes 1 and 2";

/// The commands.
#[derive(Clone, Default)]
struct List(Vec<Bytes>);

impl StateMachine for List {
    type Command = Raw;
    type Response = ();
    type Query = ();
    type Answer = Vec<Bytes>;

    fn apply(&mut self, entry: Applied<Raw>) {
        self.0.push(entry.command.0);
    }

    fn query(&self, (): ()) -> Vec<Bytes> {
        self.0.clone()
    }
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

struct Nodes {
    dirs: TempDir,
    network: MemoryNetwork,
}

impl Nodes {
    fn dir(&self, id: u64) -> PathBuf {
        self.dirs.path().join(id.to_string())
    }

    fn builder(&self, id: u64) -> Builder {
        let members = Membership::of_voters((1..=3).map(|id| (n(id), ""))).unwrap();
        Node::<List>::builder(n(id))
            .cluster(CLUSTER)
            .data_dir(self.dir(id))
            .log_segment_bytes(SEGMENT_BYTES)
            .command_bytes_max(64 << 10)
            .transport(self.network.clone())
            .bootstrap(members)
            .heartbeat_interval(Duration::from_millis(20))
            .election_timeout(Duration::from_millis(200))
    }

    async fn start(&self, id: u64, patience: Duration) -> Node<List> {
        let builder = self.builder(id).request_timeout(patience);
        builder.start(List::default()).await.unwrap()
    }

    /// Three nodes that are down. All have one command, 1 and 2 another one; but on 2 that is damaged,
    /// as if all had crashed as soon as it was acknowledged.
    async fn crashed() -> Self {
        let nodes = Self { dirs: tempfile::tempdir().unwrap(), network: MemoryNetwork::new() };
        for id in 1..=3 {
            nodes.start(id, PATIENCE).await.shutdown().await.unwrap();
            let mut log = nodes.log(id);
            let hard_state = Some(HardState { term: Term::new(2), vote: Some(n(1)) });
            let first = Batch { hard_state, ..batch(2, b"first") };
            log.append(first).unwrap();
            log.flush().unwrap();
            if id < 3 {
                log.append(batch(3, NEWEST)).unwrap();
                log.flush().unwrap();
            }
        }
        assert!(flip_a_bit_of(NEWEST, &nodes.dir(2)));
        nodes
    }

    fn log(&self, id: u64) -> Log<OsDisk> {
        let identity = Identity { cluster: CLUSTER, node: n(id) };
        let options = Options { segment_bytes: SEGMENT_BYTES, ..Options::default() };
        Log::open(OsDisk::new(&self.dir(id)), identity, options).unwrap().0
    }
}

fn batch(index: u64, command: &'static [u8]) -> Batch {
    let id = LogId::new(Term::new(2), LogIndex::new(index));
    let payload = EntryPayload::Command(Bytes::from_static(command));
    Batch { entries: vec![Entry { id, payload }], ..Batch::new(GroupId::FIRST) }
}

/// Damages `bytes` in a file of `dir`; false if they stand in none.
fn flip_a_bit_of(bytes: &[u8], dir: &Path) -> bool {
    let flip = |path: &Path| -> io::Result<bool> {
        let mut content = fs::read(path)?;
        let Some(at) = content.windows(bytes.len()).position(|window| window == bytes) else {
            return Ok(false);
        };
        content[at + 3] ^= 1;
        fs::write(path, content)?;
        Ok(true)
    };
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).any(|path| flip(&path).unwrap())
}

#[tokio::test]
async fn a_node_that_may_have_lost_its_newest_write_makes_no_majority_with_one_that_never_had_it() {
    let nodes = Nodes::crashed().await;

    let two = nodes.start(2, Duration::from_secs(2)).await;
    let three = nodes.start(3, Duration::from_secs(2)).await;
    assert!(two.status().is_in_doubt);
    let refused = two.propose(Raw(Bytes::from_static(b"too early"))).await.unwrap_err();
    assert!(matches!(refused, ProposeError::NoLeader), "{refused}");
    let refused = three.read(()).await.unwrap_err();
    assert!(matches!(refused, ReadError::TimedOut), "{refused}");

    let one = nodes.start(1, PATIENCE).await;
    one.propose(Raw(Bytes::from_static(b"last"))).await.unwrap();
    for node in [&one, &two, &three] {
        let read = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Ok(read) = node.read(()).await {
                    return read;
                }
            }
        });
        assert_eq!(read.await.unwrap(), [&b"first"[..], NEWEST, b"last"]);
    }
    let mut metrics = two.metrics();
    let settled = metrics.wait_for(|metrics| !metrics.status.is_in_doubt);
    drop(tokio::time::timeout(PATIENCE, settled).await.unwrap().unwrap());
    for node in [one, two, three] {
        node.shutdown().await.unwrap();
    }

    let settled = nodes.start(2, PATIENCE).await;
    assert!(!settled.status().is_in_doubt);
    settled.shutdown().await.unwrap();
}
