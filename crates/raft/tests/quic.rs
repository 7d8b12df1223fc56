//! Clusters of the facade over real QUIC on loopback.
#![cfg(feature = "quic")]

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use raft::quic::{ClusterCa, Security};
use raft::{
    Applied, ClusterId, Membership, MembershipChange, Metrics, Node, NodeId, Raw, StateMachine,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Counts the bytes it is given.
#[derive(Default)]
struct Length(usize);

impl StateMachine for Length {
    type Command = Raw;
    type Response = usize;
    type Query = ();
    type Answer = usize;

    fn apply(&mut self, entry: Applied<Raw>) -> usize {
        self.0 += entry.command.0.len();
        self.0
    }

    fn query(&self, (): ()) -> usize {
        self.0
    }
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Addresses on loopback that nobody listens at.
fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let sockets: Vec<_> = (0..count).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|socket| socket.local_addr().unwrap()).collect()
}

async fn start(security: impl Fn(NodeId) -> Security) -> Vec<Node<Length>> {
    let addresses = free_addresses(3);
    let members = (1..).map(n).zip(addresses.iter().map(ToString::to_string));
    let members = Membership::of_voters(members).unwrap();
    let mut nodes = Vec::new();
    for (id, address) in (1..).map(n).zip(addresses) {
        let node = Node::<Length>::builder(id)
            .cluster(ClusterId::new([7; 16]))
            .in_memory()
            .quic(address, security(id))
            .bootstrap(members.clone())
            .request_timeout(PATIENCE)
            .start(Length::default())
            .await
            .unwrap();
        nodes.push(node);
    }
    nodes
}

#[tokio::test]
async fn nodes_with_certificates_of_one_authority_form_a_cluster() {
    let ca = ClusterCa::create(ClusterId::new([7; 16])).unwrap();
    let nodes = start(|id| Security::MutualTls(ca.issue(id).unwrap().identity().unwrap())).await;

    for node in &nodes {
        node.propose(Raw(vec![0; 1 << 20].into())).await.unwrap();
    }
    for node in &nodes {
        assert_eq!(node.read(()).await.unwrap(), 3 << 20);
    }
    for node in &nodes {
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn without_certificates_they_do_so_only_when_told() {
    let nodes = start(|_| Security::Insecure).await;

    nodes.last().unwrap().propose(Raw(vec![0; 3].into())).await.unwrap();
    for node in &nodes {
        assert_eq!(node.read(()).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn members_that_come_later_are_connected_and_leadership_can_go_to_them() {
    let ca = ClusterCa::create(ClusterId::new([7; 16])).unwrap();
    let security = |id| Security::MutualTls(ca.issue(id).unwrap().identity().unwrap());
    let addresses = free_addresses(3);
    let [one, two, three] = [1, 2, 3].map(n);
    let [at_one, at_two, at_three] = addresses.try_into().unwrap();
    let builder = |id, address| {
        let builder = Node::<Length>::builder(id).cluster(ClusterId::new([7; 16])).in_memory();
        builder.quic(address, security(id)).request_timeout(PATIENCE)
    };
    let founders = || Membership::of_voters([(one, at_one.to_string())]).unwrap();
    let founder = builder(one, at_one).bootstrap(founders()).start(Length::default());
    let founder = founder.await.unwrap();
    founder.propose(Raw(vec![0; 5].into())).await.unwrap();
    let later = [
        builder(two, at_two).join(founders()).start(Length::default()).await.unwrap(),
        builder(three, at_three).join(founders()).start(Length::default()).await.unwrap(),
    ];

    let change = MembershipChange::new()
        .add_voter(two, at_two.to_string())
        .add_voter(three, at_three.to_string());
    founder.change_membership(change).await.unwrap();
    for node in &later {
        let votes = |metrics: &Metrics| metrics.status.membership.is_voter(three);
        drop(node.metrics().wait_for(votes).await.unwrap());
        assert_eq!(node.read(()).await.unwrap(), 5);
    }
    let [_, leader] = &later;
    // As long as the two have not connected to each other, nobody follows the new one without the
    // old one, and leadership goes back.
    while leader.status().membership.contains(one) {
        leader.wait_for_leader(PATIENCE).await.unwrap();
        drop(founder.transfer_leadership(three).await);
        drop(leader.remove(one).await);
    }

    for node in &later {
        node.propose(Raw(vec![0; 5].into())).await.unwrap();
    }
    assert_eq!(leader.read(()).await.unwrap(), 15);
    assert!(!leader.status().membership.contains(one));
}
