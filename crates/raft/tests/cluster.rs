//! Clusters of the facade in one process, over a network that can be cut.

use std::collections::BTreeMap;
use std::time::Duration;

use raft::transport::MemoryNetwork;
use raft::{
    Applied, Membership, Node, NodeId, ProposeError, StateMachine, StopReason, UnknownReason,
};
use serde::{Deserialize, Serialize};

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Store(BTreeMap<String, u64>);

#[derive(Serialize, Deserialize)]
enum Command {
    Set(String, u64),
    Panic,
}

impl StateMachine for Store {
    type Command = Command;
    type Response = Option<u64>;
    type Query = String;
    type Answer = Option<u64>;

    fn apply(&mut self, entry: Applied<Command>) -> Option<u64> {
        match entry.command {
            Command::Set(key, value) => self.0.insert(key, value),
            Command::Panic => panic!("as it was told"),
        }
    }

    fn query(&self, key: String) -> Option<u64> {
        self.0.get(&key).copied()
    }
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn set(key: &str, value: u64) -> Command {
    Command::Set(key.to_owned(), value)
}

struct Cluster {
    network: MemoryNetwork,
    nodes: Vec<Node<Store>>,
}

impl Cluster {
    async fn start(count: u64) -> Self {
        let network = MemoryNetwork::new();
        let members = Membership::of_voters((1..=count).map(|id| (n(id), ""))).unwrap();
        let mut nodes = Vec::new();
        for id in 1..=count {
            let node = Node::<Store>::builder(n(id))
                .in_memory()
                .transport(network.clone())
                .bootstrap(members.clone())
                .heartbeat_interval(Duration::from_millis(20))
                .election_timeout(Duration::from_millis(200))
                .request_timeout(PATIENCE)
                .start(Store::default())
                .await
                .unwrap();
            nodes.push(node);
        }
        Self { network, nodes }
    }

    fn node(&self, id: NodeId) -> &Node<Store> {
        self.nodes.iter().find(|node| node.status().id == id).unwrap()
    }

    async fn leader(&self) -> NodeId {
        self.nodes[0].wait_for_leader(PATIENCE).await.unwrap()
    }

    /// Someone other than `id`.
    fn other(&self, id: NodeId) -> &Node<Store> {
        self.nodes.iter().find(|node| node.status().id != id).unwrap()
    }
}

#[tokio::test]
async fn a_cluster_of_one_needs_no_network_and_elects_itself() {
    let node = Node::<Store>::builder(n(1))
        .in_memory()
        .bootstrap(Membership::of_voters([(n(1), "")]).unwrap())
        .start(Store::default())
        .await
        .unwrap();

    assert_eq!(node.propose(set("a", 1)).await.unwrap(), None);
    assert_eq!(node.propose(set("a", 2)).await.unwrap(), Some(1));
    assert_eq!(node.status().applied, node.status().last);
    assert_eq!(node.read("a".to_owned()).await.unwrap(), Some(2));
    assert!(node.is_leader());
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn any_node_takes_commands_and_reads_what_any_other_has_acknowledged() {
    let cluster = Cluster::start(3).await;

    for (round, writer) in cluster.nodes.iter().enumerate() {
        let value = u64::try_from(round).unwrap();
        writer.propose(set("a", value)).await.unwrap();
        for reader in &cluster.nodes {
            assert_eq!(reader.read("a".to_owned()).await.unwrap(), Some(value));
        }
    }
}

#[tokio::test]
async fn the_responses_of_a_batch_are_those_of_its_commands_in_order() {
    let cluster = Cluster::start(3).await;

    for node in &cluster.nodes {
        node.propose(set("a", 0)).await.unwrap();
        let batch = (1..=100).map(|value| set("a", value)).collect();
        let responses = node.propose_batch(batch).await;

        let responses: Vec<_> = responses.into_iter().map(Result::unwrap).collect();
        assert_eq!(responses, (0..100).map(Some).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_leader_that_is_cut_off_says_that_the_outcome_is_unknown_and_serves_no_read() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    cluster.node(leader).propose(set("a", 1)).await.unwrap();
    cluster.network.isolate(leader);

    let outcome = cluster.node(leader).propose(set("a", 2)).await;

    let unknown = ProposeError::is_certainly_not_applied;
    assert!(matches!(&outcome, Err(error) if !unknown(error)), "{outcome:?}");
    assert!(matches!(outcome, Err(ProposeError::Unknown(UnknownReason::QuorumLost))));
}

#[tokio::test]
async fn the_others_go_on_without_the_leader_and_it_catches_up_when_it_is_back() {
    let cluster = Cluster::start(3).await;
    let old = cluster.leader().await;
    cluster.node(old).propose(set("a", 1)).await.unwrap();
    cluster.network.isolate(old);

    let other = cluster.other(old);
    let new = |leader: Option<NodeId>| leader.is_some_and(|leader| leader != old);
    other.metrics().wait_for(|metrics| new(metrics.status.leader)).await.unwrap();
    other.propose(set("a", 2)).await.unwrap();
    cluster.network.heal();

    assert_eq!(cluster.node(old).read("a".to_owned()).await.unwrap(), Some(2));
}

#[tokio::test]
async fn whoever_waits_is_told_when_the_node_stops() {
    let cluster = Cluster::start(3).await;
    let node = cluster.nodes[0].clone();
    cluster.network.isolate(n(1));
    let waiting = node.clone();
    let waiting = tokio::spawn(async move { waiting.read("a".to_owned()).await });
    tokio::task::yield_now().await;

    node.shutdown().await.unwrap();

    assert!(matches!(waiting.await.unwrap(), Err(raft::ReadError::Stopped(_))));
    let refused = node.propose(set("a", 1)).await;
    assert!(matches!(refused, Err(ProposeError::Stopped(StopReason::Shutdown))));
}

#[tokio::test]
async fn a_state_machine_that_panics_stops_its_node_and_nobody_waits_for_ever() {
    let cluster = Cluster::start(1).await;
    let node = &cluster.nodes[0];

    let outcome = node.propose(Command::Panic).await;

    assert!(matches!(outcome, Err(ProposeError::Unknown(_))), "{outcome:?}");
    assert!(matches!(node.stopped().await, StopReason::StateMachinePanicked));
}

#[tokio::test]
async fn a_command_that_is_too_long_is_refused_before_it_goes_anywhere() {
    let cluster = Cluster::start(1).await;

    let refused = cluster.nodes[0].propose(set(&"k".repeat(5 << 20), 1)).await;

    assert!(matches!(refused, Err(ProposeError::TooLarge { .. })));
}

#[tokio::test]
async fn a_node_without_leader_refuses_after_the_request_timeout() {
    let node = Node::<Store>::builder(n(1))
        .in_memory()
        .transport(MemoryNetwork::new())
        .bootstrap(Membership::of_voters([(n(1), ""), (n(2), "")]).unwrap())
        .request_timeout(Duration::from_millis(50))
        .start(Store::default())
        .await
        .unwrap();

    let refused = node.propose(set("a", 1)).await;

    assert!(matches!(&refused, Err(ProposeError::NoLeader)), "{refused:?}");
    assert!(refused.unwrap_err().is_certainly_not_applied());
    assert!(matches!(node.read("a".to_owned()).await, Err(raft::ReadError::TimedOut)));
}
