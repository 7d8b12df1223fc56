//! Nodes that know none of those who are members now.
#![cfg(all(feature = "quic", feature = "persistence"))]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use raft::quic::{ClusterCa, Security};
use raft::{Builder, ChangeError, ClusterId, Membership, MembershipChange, Metrics, Node, NodeId};
use tempfile::TempDir;

use crate::common::{List, PATIENCE, n};

const CLUSTER: ClusterId = ClusterId::new([7; 16]);

/// Nodes with certificates, and a directory each.
struct Cluster {
    ca: ClusterCa,
    root: TempDir,
    addresses: BTreeMap<NodeId, SocketAddr>,
    running: BTreeMap<NodeId, Node<List>>,
}

impl Cluster {
    async fn start(founders: u64, all: u64) -> Self {
        let sockets: BTreeMap<_, _> =
            (1..=all).map(|id| (n(id), UdpSocket::bind("127.0.0.1:0").unwrap())).collect();
        let addresses =
            sockets.iter().map(|(id, socket)| (*id, socket.local_addr().unwrap())).collect();
        drop(sockets);
        let (ca, root) = (ClusterCa::create(CLUSTER).unwrap(), TempDir::new().unwrap());
        let mut cluster = Self { ca, root, addresses, running: BTreeMap::new() };
        for id in 1..=founders {
            let builder = cluster.builder(id).bootstrap(cluster.voters(1..=founders));
            cluster.run(id, builder).await;
        }
        cluster
    }

    fn voters(&self, ids: impl IntoIterator<Item = u64>) -> Membership {
        let address = |id: u64| (n(id), self.addresses[&n(id)].to_string());
        Membership::of_voters(ids.into_iter().map(address)).unwrap()
    }

    fn builder(&self, id: u64) -> Builder {
        let identity = self.ca.issue(n(id)).unwrap().identity().unwrap();
        Node::<List>::builder(n(id))
            .cluster(CLUSTER)
            .data_dir(self.root.path().join(id.to_string()))
            .quic(self.addresses[&n(id)], Security::MutualTls(identity))
            .heartbeat_interval(Duration::from_millis(50))
            .election_timeout(Duration::from_millis(500))
            .request_timeout(PATIENCE)
    }

    async fn run(&mut self, id: u64, builder: Builder) {
        self.running.insert(n(id), builder.start(List::default()).await.unwrap());
    }

    async fn stop(&mut self, id: u64) {
        self.running.remove(&n(id)).unwrap().shutdown().await.unwrap();
    }

    /// Has whoever leads change the members, until that is done.
    async fn change(&self, change: MembershipChange) {
        loop {
            for node in self.running.values().filter(|node| node.is_leader()) {
                match node.change_membership(change.clone()).await {
                    Ok(_) | Err(ChangeError::Refused(raft_core::ChangeError::Unchanged)) => return,
                    Err(_) => {}
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_votes(&self, id: u64) {
        let votes = |metrics: &Metrics| metrics.status.membership.is_voter(n(id));
        let node = &self.running[&n(id)];
        drop(
            tokio::time::timeout(PATIENCE, node.metrics().wait_for(votes)).await.unwrap().unwrap(),
        );
    }

    async fn add(&self, id: u64) {
        let address = self.addresses[&n(id)].to_string();
        self.change(MembershipChange::new().add_voter(n(id), address)).await;
        self.until_votes(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_though_all_whom_it_was_told_of_are_gone() {
    let mut cluster = Cluster::start(1, 3).await;
    let founders = cluster.voters([1]);
    let joining = cluster.builder(2).join(founders.clone());
    cluster.run(2, joining).await;
    cluster.running[&n(1)].propose(7).await.unwrap();
    cluster.add(2).await;
    cluster.change(MembershipChange::new().remove(n(1))).await;
    cluster.stop(1).await;

    let joining = cluster.builder(3).join(founders);
    cluster.run(3, joining).await;
    cluster.add(3).await;

    assert_eq!(cluster.running[&n(3)].read(()).await.unwrap(), [7]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_was_away_hears_those_who_have_taken_the_place_of_all_it_knew() {
    let mut cluster = Cluster::start(3, 5).await;
    let founders = cluster.voters(1..=3);
    cluster.running[&n(1)].propose(7).await.unwrap();
    cluster.stop(3).await;
    for id in [4, 5] {
        let joining = cluster.builder(id).join(founders.clone());
        cluster.run(id, joining).await;
        cluster.add(id).await;
    }
    for id in [1, 2] {
        cluster.change(MembershipChange::new().remove(n(id))).await;
        cluster.stop(id).await;
    }

    let returning = cluster.builder(3).bootstrap(founders);
    cluster.run(3, returning).await;

    assert_eq!(cluster.running[&n(3)].read(()).await.unwrap(), [7]);
}
