//! Nodes that keep their log on disk.
#![cfg(feature = "persistence")]

use std::path::Path;

use raft::transport::MemoryNetwork;
use raft::{Builder, ClusterId, Membership, Node, StartError};

use crate::common::{List, n};

fn members(ids: &[u64]) -> Membership {
    Membership::of_voters(ids.iter().map(|&id| (n(id), ""))).unwrap()
}

fn alone(id: u64, dir: &Path) -> Builder {
    Node::<List>::builder(n(id))
        .cluster(ClusterId::new([7; 16]))
        .data_dir(dir)
        .bootstrap(members(&[id]))
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let node = alone(1, dir.path()).start(List::default()).await.unwrap();
        for value in 0..50 {
            node.propose(round * 50 + value).await.unwrap();
        }
        node.shutdown().await.unwrap();
    }

    let node = alone(1, dir.path()).start(List::default()).await.unwrap();

    assert_eq!(node.read(()).await.unwrap(), (0..150).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_node_that_is_dropped_without_shutdown_loses_nothing_either() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(1, dir.path()).start(List::default()).await.unwrap();
    node.propose_batch((0..1000).collect()).await.into_iter().for_each(|r| {
        r.unwrap();
    });
    let mut stopped = node.metrics();
    drop(node);
    // The last word of a node that is gone.
    while stopped.changed().await.is_ok() {}

    let node = loop {
        match alone(1, dir.path()).start(List::default()).await {
            Ok(node) => break node,
            // Its thread is about to let go of the directory.
            Err(StartError::Log(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };

    assert_eq!(node.read(()).await.unwrap(), (0..1000).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_directory_is_not_shared() {
    let dir = tempfile::tempdir().unwrap();
    let _node = alone(1, dir.path()).start(List::default()).await.unwrap();

    let second = alone(1, dir.path()).start(List::default()).await;

    assert!(matches!(second, Err(StartError::Log(_))));
}

#[tokio::test]
async fn the_directory_of_another_node_or_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(1, dir.path()).start(List::default()).await.unwrap();
    node.shutdown().await.unwrap();

    let other_node = alone(2, dir.path()).start(List::default()).await;
    let other_cluster =
        alone(1, dir.path()).cluster(ClusterId::new([8; 16])).start(List::default()).await;

    assert!(matches!(other_node, Err(StartError::Log(_))));
    assert!(matches!(other_cluster, Err(StartError::Log(_))));
    alone(1, dir.path()).start(List::default()).await.unwrap();
}

#[tokio::test]
async fn other_members_than_the_log_names_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(1, dir.path()).start(List::default()).await.unwrap();
    node.shutdown().await.unwrap();

    let refused = alone(1, dir.path())
        .transport(MemoryNetwork::new())
        .bootstrap(members(&[1, 2, 3]))
        .start(List::default())
        .await;

    assert!(matches!(refused, Err(StartError::OtherMembers { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_start_that_cannot_work_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let start = |builder: Builder| builder.start(List::default());

    let without_log = Node::<List>::builder(n(1)).bootstrap(members(&[1]));
    assert!(matches!(start(without_log).await, Err(StartError::NoLog)));

    let without_members = Node::<List>::builder(n(1)).data_dir(dir.path().join("a"));
    assert!(matches!(start(without_members).await, Err(StartError::NotBootstrapped)));

    let not_a_member = alone(1, &dir.path().join("b")).bootstrap(members(&[2]));
    assert!(matches!(start(not_a_member).await, Err(StartError::NotAMember { .. })));

    let without_transport = alone(1, &dir.path().join("c")).bootstrap(members(&[1, 2, 3]));
    assert!(matches!(start(without_transport).await, Err(StartError::NoTransport { members: 3 })));
}
