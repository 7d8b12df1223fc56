//! Reads that ask for more or less than everything.

use std::time::Duration;

use raft::transport::MemoryNetwork;
use raft::{Applied, Builder, Lease, LogIndex, Membership, Node, NodeId, StateMachine};
use raft::{ReadError, ReadLevel};

const PATIENCE: Duration = Duration::from_secs(30);

/// The last number that it was given.
#[derive(Default)]
struct Register(u64);

impl StateMachine for Register {
    type Command = u64;
    type Response = ();
    type Query = ();
    type Answer = u64;

    fn apply(&mut self, entry: Applied<u64>) {
        self.0 = entry.command;
    }

    fn query(&self, (): ()) -> u64 {
        self.0
    }
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Two nodes, neither of which can do without the other.
async fn start(
    network: &MemoryNetwork,
    configure: impl Fn(Builder) -> Builder,
) -> [Node<Register>; 2] {
    let members = Membership::of_voters([1, 2].map(|id| (n(id), ""))).unwrap();
    let builder = |id| {
        let builder = Node::<Register>::builder(n(id)).in_memory().transport(network.clone());
        configure(builder.bootstrap(members.clone()).heartbeat_interval(Duration::from_millis(20)))
            .start(Register::default())
    };
    [builder(1).await.unwrap(), builder(2).await.unwrap()]
}

#[tokio::test]
async fn who_has_written_on_one_node_sees_it_on_another_without_a_leader() {
    let network = MemoryNetwork::new();
    let [one, two] = start(&network, |builder| builder.request_timeout(PATIENCE)).await;
    one.propose(7).await.unwrap();
    let written = one.applied();
    assert_eq!(two.read_with(ReadLevel::AtLeast(written), ()).await.unwrap(), 7);
    network.isolate(n(2));

    let read = two.read_with(ReadLevel::AtLeast(written), ()).await;

    assert_eq!(read.unwrap(), 7);
}

#[tokio::test]
async fn a_read_waits_for_the_index_that_it_must_see() {
    let [one, two] =
        start(&MemoryNetwork::new(), |builder| builder.request_timeout(PATIENCE)).await;
    one.propose(1).await.unwrap();
    let next = LogIndex::new(one.applied().get() + 1);
    let reader = two.clone();
    let read = tokio::spawn(async move { reader.read_with(ReadLevel::AtLeast(next), ()).await });

    one.propose(2).await.unwrap();

    assert_eq!(read.await.unwrap().unwrap(), 2);
}

#[tokio::test]
async fn an_index_that_never_comes_ends_in_time() {
    let [one, _two] =
        start(&MemoryNetwork::new(), |b| b.request_timeout(Duration::from_millis(50))).await;

    let read = one.read_with(ReadLevel::AtLeast(LogIndex::new(1 << 40)), ()).await;

    assert!(matches!(read, Err(ReadError::TimedOut)));
}

#[tokio::test]
async fn a_stale_read_needs_no_leader_as_long_as_it_is_stale_enough() {
    let network = MemoryNetwork::new();
    let [one, two] =
        start(&network, |builder| builder.request_timeout(Duration::from_secs(3))).await;
    one.propose(7).await.unwrap();
    assert_eq!(two.read(()).await.unwrap(), 7);
    network.isolate(n(2));

    let stale = two.read_with(ReadLevel::BoundedStale(Duration::from_secs(3600)), ()).await;
    let fresh = two.read_with(ReadLevel::BoundedStale(Duration::ZERO), ()).await;

    assert_eq!(stale.unwrap(), 7);
    assert!(matches!(fresh, Err(ReadError::TimedOut)), "{fresh:?}");
}

#[tokio::test]
async fn leases_need_a_word_about_clocks() {
    let [one, _two] = start(&MemoryNetwork::new(), |builder| builder).await;

    let refused = one.read_with(ReadLevel::Lease, ()).await;

    assert!(matches!(refused, Err(ReadError::LeasesOff)), "{refused:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_leader_with_a_lease_asks_nobody() {
    let lease = Lease { drift_ppm_max: 1_000, slack: Duration::from_millis(1) };
    let network = MemoryNetwork::new();
    let configure = |builder: Builder| {
        builder.lease(lease).election_timeout(Duration::from_secs(5)).request_timeout(PATIENCE)
    };
    let nodes = start(&network, configure).await;
    let [one, two] = &nodes;
    one.propose(7).await.unwrap();
    let leader = if one.is_leader() { one } else { two };
    assert_eq!(leader.read(()).await.unwrap(), 7);
    network.isolate(n(2));

    let read = leader.read_with(ReadLevel::Lease, ()).await;

    assert_eq!(read.unwrap(), 7);
    let other = if one.is_leader() { two } else { one };
    let asks = tokio::time::timeout(Duration::ZERO, other.read_with(ReadLevel::Lease, ())).await;
    assert!(asks.is_err());
}
