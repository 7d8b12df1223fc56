//! Nodes whose disk is full. Needs a file system of its own, and so to be root; is skipped otherwise.
#![cfg(all(feature = "persistence", target_os = "linux"))]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use raft::transport::MemoryNetwork;
use raft::{Applied, Builder, Membership, Metrics, Node, NodeId, ProposeError, Raw, StateMachine};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;

/// The numbers that the commands begin with.
#[derive(Default)]
struct List(Vec<u64>);

impl StateMachine for List {
    type Command = Raw;
    type Response = ();
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, entry: Applied<Raw>) {
        let (number, _) = entry.command.0.split_first_chunk().unwrap();
        self.0.push(u64::from_le_bytes(*number));
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }
}

/// A small file system of its own.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Of 16 MiB, of which a file takes six.
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"])
            .arg(dir.path())
            .output();
        if !mount.is_ok_and(|mount| mount.status.success()) {
            eprintln!("SKIP: cannot mount a file system");
            return None;
        }
        let disk = Self(dir);
        std::fs::write(disk.ballast(), vec![1; 6 << 20]).unwrap();
        Some(disk)
    }

    fn ballast(&self) -> PathBuf {
        self.0.path().join("ballast")
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn free_space(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a node may be about to close its files.
        drop(Command::new("umount").arg("-l").arg(self.0.path()).output());
    }
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn builder(id: u64, count: u64, data: &Path, network: &MemoryNetwork) -> Builder {
    Node::<List>::builder(n(id))
        .data_dir(data)
        .log_segment_bytes(MIB)
        .command_bytes_max(128 << 10)
        .transport(network.clone())
        .bootstrap(Membership::of_voters((1..=count).map(|id| (n(id), ""))).unwrap())
        .heartbeat_interval(Duration::from_millis(20))
        .election_timeout(Duration::from_millis(300))
        .request_timeout(PATIENCE)
}

fn command(number: u64) -> Raw {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(50_000, 7);
    Raw(Bytes::from(bytes))
}

async fn until(node: &Node<List>, wanted: impl FnMut(&Metrics) -> bool) {
    let mut metrics = node.metrics();
    let reached = tokio::time::timeout(PATIENCE, metrics.wait_for(wanted)).await;
    drop(reached.expect("it should have come to that").unwrap());
}

#[tokio::test]
async fn a_node_that_is_alone_refuses_commands_until_there_is_space_and_loses_none() {
    let Some(disk) = SmallDisk::mount() else { return };
    let network = MemoryNetwork::new();
    let start = || builder(1, 1, &disk.data(), &network).start(List::default());
    let node = start().await.unwrap();
    let mut acknowledged = Vec::new();
    let mut refused = 0;

    for number in 0.. {
        assert!(number < 1000, "the disk is never full");
        match node.propose(command(number)).await {
            Ok(()) => acknowledged.push(number),
            Err(ProposeError::StorageFull) => refused += 1,
            Err(error) => panic!("{error}"),
        }
        if refused == 5 {
            break;
        }
    }
    disk.free_space();
    until(&node, |metrics| !metrics.log.is_full).await;
    node.propose(command(1000)).await.unwrap();
    acknowledged.push(1000);

    assert_eq!(node.read(()).await.unwrap(), acknowledged);
    node.shutdown().await.unwrap();
    assert_eq!(start().await.unwrap().read(()).await.unwrap(), acknowledged);
}

#[tokio::test]
async fn a_leader_whose_disk_is_full_hands_over_votes_and_catches_up_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else { return };
    let others = tempfile::tempdir().unwrap();
    let network = MemoryNetwork::new();
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let data = if id == 1 { disk.data() } else { others.path().join(id.to_string()) };
        nodes.push(builder(id, 3, &data, &network).start(List::default()).await.unwrap());
    }
    let [full, second, third] = nodes.try_into().ok().unwrap();
    while !full.is_leader() {
        full.wait_for_leader(PATIENCE).await.unwrap();
        for node in [&second, &third] {
            drop(node.transfer_leadership(n(1)).await);
        }
    }

    let mut certain = Vec::new();
    for number in 0..300 {
        match second.propose(command(number)).await {
            Ok(()) => certain.push(number),
            Err(error) => assert!(!matches!(error, ProposeError::Stopped(_)), "{error}"),
        }
        if full.status().leader.is_some_and(|leader| leader != n(1)) && number > 250 {
            break;
        }
    }
    assert!(full.metrics().borrow().log.is_full);
    assert!(!full.is_leader());
    let matched = full.status().last;
    assert!(second.status().commit > matched, "the others go on");

    // One of the others is cut off: the other one is elected by the vote of the full one.
    let (leader, other) = if second.is_leader() { (&second, &third) } else { (&third, &second) };
    let term = leader.status().term;
    network.isolate(leader.status().id);
    until(other, |metrics| metrics.status.role == raft::RoleKind::Leader).await;
    assert!(other.status().term > term);
    network.heal();

    disk.free_space();
    until(&full, |metrics| !metrics.log.is_full).await;
    while second.propose(command(1000)).await.is_err() {}
    let read = full.read(()).await.unwrap();
    assert!(certain.iter().all(|number| read.contains(number)));
    assert_eq!(read, third.read(()).await.unwrap());
    full.shutdown().await.unwrap();
}
