//! Leadership that is handed over.

use std::time::Duration;

use raft::transport::MemoryNetwork;
use raft::{Membership, Node, TransferError};

use crate::common::{List, PATIENCE, n};

/// Three nodes, of which the first leads.
async fn start(network: &MemoryNetwork) -> [Node<List>; 3] {
    let members = Membership::of_voters((1..=3).map(|id| (n(id), ""))).unwrap();
    let mut nodes = Vec::new();
    for id in 1..=3 {
        let node = Node::<List>::builder(n(id))
            .in_memory()
            .transport(network.clone())
            .bootstrap(members.clone())
            .heartbeat_interval(Duration::from_millis(20))
            .election_timeout(Duration::from_millis(200))
            .request_timeout(PATIENCE)
            .start(List::default())
            .await
            .unwrap();
        nodes.push(node);
    }
    let first = nodes.first().unwrap();
    while !first.is_leader() {
        let leader = first.wait_for_leader(PATIENCE).await.unwrap();
        let leader = nodes.iter().find(|node| node.status().id == leader).unwrap();
        drop(leader.transfer_leadership(n(1)).await);
    }
    nodes.try_into().ok().unwrap()
}

#[tokio::test]
async fn leadership_goes_round_while_everybody_writes_and_nothing_is_lost() {
    const EACH: u64 = 500;
    let nodes = start(&MemoryNetwork::new()).await;
    let write = |(node, first): (&Node<List>, u64)| {
        let node = node.clone();
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for number in first..first + EACH {
                match node.propose(number).await {
                    Ok(_) => acknowledged.push(number),
                    // Its leader changed before it answered.
                    Err(error) => assert!(!error.is_certainly_not_applied(), "{error}"),
                }
            }
            acknowledged
        })
    };
    let writers: Vec<_> = nodes.iter().zip([0, EACH, 2 * EACH]).map(write).collect();

    let mut handed_over = 0;
    for to in [2, 3, 1].into_iter().cycle() {
        if writers.iter().all(tokio::task::JoinHandle::is_finished) && handed_over >= 3 {
            break;
        }
        let leader = nodes.iter().find(|node| node.is_leader());
        match leader {
            Some(leader) if leader.status().id == n(to) => {}
            Some(leader) => {
                handed_over += u32::from(leader.transfer_leadership(n(to)).await.is_ok())
            }
            None => tokio::task::yield_now().await,
        }
    }

    let [first, ..] = &nodes;
    for writer in writers {
        let acknowledged = writer.await.unwrap();
        let read = first.read(()).await.unwrap();
        let count = |number: &u64| read.iter().filter(|&found| found == number).count();
        assert!(acknowledged.iter().all(|number| count(number) == 1));
        assert!(!acknowledged.is_empty());
    }
}

#[tokio::test]
async fn who_hands_over_knows_the_new_leader_and_is_none() {
    let [first, second, _third] = start(&MemoryNetwork::new()).await;

    first.transfer_leadership(n(2)).await.unwrap();

    assert!(!first.is_leader());
    assert_eq!(first.leader(), Some(n(2)));
    second.propose(1).await.unwrap();
    assert!(second.is_leader());
}

#[tokio::test]
async fn a_follower_names_the_leader_and_strangers_do_not_lead() {
    let [first, second, _third] = start(&MemoryNetwork::new()).await;
    second.propose(1).await.unwrap();

    let follower = second.transfer_leadership(n(3)).await;
    let stranger = first.transfer_leadership(n(9)).await;

    assert!(matches!(follower, Err(TransferError::NotLeader { leader: Some(id) }) if id == n(1)));
    assert!(matches!(stranger, Err(TransferError::Refused(_))), "{stranger:?}");
}

#[tokio::test]
async fn a_successor_that_cannot_be_reached_leaves_the_leader_in_office() {
    let network = MemoryNetwork::new();
    let [first, _second, _third] = start(&network).await;
    network.isolate(n(3));

    first.propose(1).await.unwrap();
    let outcome = first.transfer_leadership(n(3)).await;

    assert!(matches!(outcome, Err(TransferError::NotReady)), "{outcome:?}");
    first.propose(2).await.unwrap();
    assert!(first.is_leader());
}
