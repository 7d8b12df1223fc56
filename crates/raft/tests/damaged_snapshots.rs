//! Nodes whose snapshots are damaged, or gone, while they are down: the others have what is lost.
#![cfg(feature = "persistence")]

use std::fs;
use std::path::PathBuf;

use raft::transport::MemoryNetwork;
use raft::{SnapshotPolicy, StartError};

use crate::common::nodes::*;

/// Takes a snapshot on these nodes, behind which their logs are forgotten, and stops them.
async fn snapshot(nodes: &Nodes, of: &[u64]) {
    let running = nodes.start_all().await;
    for node in &running {
        node.read(()).await.unwrap();
        if of.contains(&node.status().id.get()) {
            node.snapshot().await.unwrap();
        }
    }
    stop(running).await;
}

/// Writes more.
async fn go_on(nodes: &mut Nodes) {
    let running = nodes.start_all().await;
    for number in 200..210 {
        propose(&running, number, 50).await;
        nodes.acknowledged.push(number);
    }
    stop(running).await;
}

/// The files of node 3's snapshot.
fn snapshot_files(nodes: &Nodes) -> Vec<PathBuf> {
    let mut files = files(&nodes.dir(3).join("snapshots"));
    files.retain(|file| file.extension().is_some());
    assert_eq!(files.len(), 2, "{files:?}");
    files
}

/// The data of a node's newest snapshot.
fn newest(nodes: &Nodes, id: u64) -> PathBuf {
    let mut files = files(&nodes.dir(id).join("snapshots"));
    files.retain(|file| file.extension().is_some_and(|extension| extension == "data"));
    files.pop().unwrap()
}

/// What became of node 3 is there at its next start as well.
async fn assert_mended(nodes: &Nodes, what: &str) {
    assert_eq!(nodes.judge(3, what).await, None, "{what}");
    let network = MemoryNetwork::new();
    let node = nodes.builder(3, &network).start(List::default()).await.unwrap();
    let mut metrics = node.metrics();
    let has_one = metrics.wait_for(|metrics| metrics.snapshots.last.is_some());
    assert!(tokio::time::timeout(PATIENCE, has_one).await.is_ok(), "{what}");
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_damaged_snapshot_comes_back_from_another_node() {
    let mut nodes = Nodes::written(3).await;
    snapshot(&nodes, &[1, 2, 3]).await;
    go_on(&mut nodes).await;
    for file in snapshot_files(&nodes) {
        let (used, name) = (used(&file), file.strip_prefix(nodes.dir(3)).unwrap());
        let harms = [
            Harm::FlipBit(3),
            Harm::FlipBit(used / 2),
            Harm::FlipBit(used - 1),
            Harm::ZeroPage(0),
            Harm::CutAt(0),
            Harm::CutAt(used / 2),
            Harm::Remove,
            Harm::Directory,
        ];
        for harm in harms {
            let copy = nodes.copy();
            assert!(harm.to(&copy.dir(3).join(name)));
            assert_mended(&copy, &format!("{harm:?} of {}", name.display())).await;
        }
    }
}

#[tokio::test]
async fn snapshots_that_are_gone_come_back_from_another_node() {
    let mut nodes = Nodes::written(3).await;
    snapshot(&nodes, &[1, 2, 3]).await;
    go_on(&mut nodes).await;
    fs::remove_dir_all(nodes.dir(3).join("snapshots")).unwrap();

    assert_mended(&nodes, "no snapshots").await;
}

/// Nobody else has one that reaches as far.
#[tokio::test]
async fn a_snapshot_that_nobody_else_has_is_made_for_who_has_lost_it() {
    let mut nodes = Nodes::written(3).await;
    snapshot(&nodes, &[3]).await;
    go_on(&mut nodes).await;
    let data = newest(&nodes, 3);
    assert!(Harm::FlipBit(used(&data) / 2).to(&data));

    assert_mended(&nodes, "the only snapshot").await;
}

#[tokio::test]
async fn a_damaged_log_comes_back_as_a_snapshot_where_nobodys_log_reaches_back_so_far() {
    let nodes = Nodes::written(3).await;
    snapshot(&nodes, &[1, 2]).await;
    let segment = files(&nodes.dir(3)).into_iter().find(|file| is_segment(file)).unwrap();
    assert!(Harm::FlipBit(used(&segment) / 2).to(&segment));

    assert_mended(&nodes, "a log").await;
}

/// Without the one that is damaged: all that it has are its vote and its log.
#[tokio::test]
async fn a_node_without_its_snapshot_votes_and_waits_for_one_that_has() {
    let mut nodes = Nodes::written(3).await;
    snapshot(&nodes, &[1, 2, 3]).await;
    go_on(&mut nodes).await;
    fs::remove_dir_all(nodes.dir(3).join("snapshots")).unwrap();
    let network = MemoryNetwork::new();
    let stateless = nodes.builder(3, &network).start(List::default()).await.unwrap();
    let whole = nodes.builder(1, &network).start(List::default()).await.unwrap();

    let running = vec![whole, stateless];
    propose(&running, 300, 50).await;
    nodes.acknowledged.push(300);

    for node in &running {
        assert_eq!(node.read(()).await.unwrap(), nodes.acknowledged);
    }
    stop(running).await;
}

#[tokio::test]
async fn a_node_that_is_alone_is_refused_and_told_why() {
    let nodes = Nodes::written(1).await;
    let network = MemoryNetwork::new();
    let start = || nodes.builder(1, &network).start(List::default());
    let node = start().await.unwrap();
    node.read(()).await.unwrap();
    node.snapshot().await.unwrap();
    node.shutdown().await.unwrap();
    let data = newest(&nodes, 1);

    for harm in [Harm::FlipBit(used(&data) / 2), Harm::Directory] {
        assert!(harm.to(&data));
        for _ in 0..2 {
            let refused = start().await.unwrap_err();

            assert!(matches!(refused, StartError::SnapshotUnreadable { .. }), "{refused}");
            assert_helps(&refused.to_string(), &data, "a lonely snapshot");
        }
    }
}

#[tokio::test]
async fn an_older_snapshot_from_which_the_log_goes_on_needs_nobody() {
    let nodes = Nodes::written(1).await;
    let network = MemoryNetwork::new();
    let all = SnapshotPolicy {
        trailing_entries: u64::MAX,
        trailing_bytes: u64::MAX,
        ..SnapshotPolicy::default()
    };
    let start = || nodes.builder(1, &network).snapshot_policy(all).start(List::default());
    let node = start().await.unwrap();
    node.read(()).await.unwrap();
    node.snapshot().await.unwrap();
    node.propose(command(99, 10)).await.unwrap();
    node.snapshot().await.unwrap();
    node.shutdown().await.unwrap();
    let data = newest(&nodes, 1);
    assert!(Harm::FlipBit(used(&data) / 2).to(&data));

    let node = start().await.unwrap();

    assert_eq!(node.read(()).await.unwrap(), [&nodes.acknowledged[..], &[99]].concat());
}
