//! Clusters whose members change while they are in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use raft::transport::MemoryNetwork;
use raft::{
    Builder, ChangeError, Membership, MembershipChange, Metrics, Node, ReadError, StartError,
};

use crate::common::{List, PATIENCE, n};

fn voters(ids: impl IntoIterator<Item = u64>) -> Membership {
    Membership::of_voters(ids.into_iter().map(|id| (n(id), ""))).unwrap()
}

fn add_voters(ids: impl IntoIterator<Item = u64>) -> MembershipChange {
    ids.into_iter().fold(MembershipChange::new(), |change, id| change.add_voter(n(id), ""))
}

struct Cluster {
    network: MemoryNetwork,
    nodes: Vec<Node<List>>,
}

impl Cluster {
    async fn start(ids: impl IntoIterator<Item = u64>) -> Self {
        let mut cluster = Self { network: MemoryNetwork::new(), nodes: Vec::new() };
        let ids: Vec<_> = ids.into_iter().collect();
        for &id in &ids {
            let node = cluster.builder(id).bootstrap(voters(ids.clone()));
            cluster.nodes.push(node.start(List::default()).await.unwrap());
        }
        cluster.nodes.first().unwrap().wait_for_leader(PATIENCE).await.unwrap();
        cluster
    }

    fn builder(&self, id: u64) -> Builder {
        Node::<List>::builder(n(id))
            .in_memory()
            .transport(self.network.clone())
            .heartbeat_interval(Duration::from_millis(20))
            .election_timeout(Duration::from_millis(200))
            .request_timeout(PATIENCE)
    }

    /// Starts nodes that join the members that there are.
    async fn join(&mut self, ids: impl IntoIterator<Item = u64>) {
        let members = Membership::clone(&self.leader().await.status().membership);
        for id in ids {
            let node = self.builder(id).join(members.clone());
            self.nodes.push(node.start(List::default()).await.unwrap());
        }
    }

    fn node(&self, id: u64) -> &Node<List> {
        self.nodes.iter().find(|node| node.status().id == n(id)).unwrap()
    }

    /// Whoever leads, as it says itself.
    async fn leader(&self) -> &Node<List> {
        loop {
            if let Some(leader) = self.nodes.iter().find(|node| node.is_leader()) {
                return leader;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Has the leader change the membership, whoever that is.
    async fn change(&self, change: MembershipChange) {
        loop {
            match self.leader().await.change_membership(change.clone()).await {
                Ok(_) => return,
                // New leaders do not know at once what is committed, and may not be the last ones.
                Err(
                    ChangeError::NotLeader { .. }
                    | ChangeError::Refused(raft_core::ChangeError::NotReady),
                ) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Waits until each of these nodes knows that these are the members, and all of them vote.
    async fn until_voters(&self, ids: &[u64]) {
        let wanted: Vec<_> = ids.iter().copied().map(n).collect();
        for &id in ids {
            until(self.node(id), |metrics| {
                let membership = &metrics.status.membership;
                let all_vote = membership.members().all(|id| membership.is_voter(id));
                let is_committed = metrics.status.commit >= metrics.status.membership_id.index;
                !membership.is_joint()
                    && all_vote
                    && is_committed
                    && membership.members().eq(wanted.iter().copied())
            })
            .await;
        }
    }

    async fn stop(&mut self, id: u64) {
        self.node(id).shutdown().await.unwrap();
        self.nodes.retain(|node| node.status().id != n(id));
    }
}

/// Waits until the metrics of a node are as wanted.
async fn until(node: &Node<List>, wanted: impl FnMut(&Metrics) -> bool) {
    let mut metrics = node.metrics();
    let reached = tokio::time::timeout(PATIENCE, metrics.wait_for(wanted)).await;
    drop(reached.expect("it should have come to that").unwrap());
}

/// Whether all that was acknowledged is there once, in order; there may be more.
fn holds(read: &[u64], acknowledged: &[u64]) -> bool {
    let ascends = read.is_sorted_by(|a, b| a < b);
    ascends && acknowledged.iter().all(|number| read.binary_search(number).is_ok())
}

/// Writes ascending numbers on one node, one after the other, until it is told to stop.
struct Writer {
    stop: Arc<AtomicBool>,
    written: tokio::task::JoinHandle<Vec<u64>>,
}

impl Writer {
    fn start(node: &Node<List>) -> Self {
        let (node, stop) = (node.clone(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let written = tokio::spawn(async move {
            let (mut count, mut certain) = (0, Vec::new());
            while !stopped.load(Ordering::Relaxed) {
                match node.propose(count).await {
                    Ok(_) => certain.push(count),
                    // It may be applied: whoever leads next knows.
                    Err(error) => assert!(!error.is_certainly_not_applied(), "{error}"),
                }
                count += 1;
            }
            certain
        });
        Self { stop, written }
    }

    /// What was acknowledged, in order.
    async fn finish(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.written.await.unwrap()
    }
}

#[tokio::test]
async fn a_cluster_grows_from_one_to_five_while_it_is_written_to() {
    let mut cluster = Cluster::start([1]).await;
    let writer = Writer::start(cluster.node(1));

    cluster.join([2, 3]).await;
    cluster.change(add_voters([2, 3])).await;
    cluster.until_voters(&[1, 2, 3]).await;
    cluster.join([4, 5]).await;
    cluster.change(add_voters([4, 5])).await;
    cluster.until_voters(&[1, 2, 3, 4, 5]).await;

    let written = writer.finish().await;
    for node in &cluster.nodes {
        assert!(holds(&node.read(()).await.unwrap(), &written));
    }
}

#[tokio::test]
async fn a_learner_has_everything_and_decides_nothing_until_it_is_promoted() {
    let mut cluster = Cluster::start([1]).await;
    cluster.node(1).propose(7).await.unwrap();
    cluster.join([2]).await;

    cluster.node(1).add_learner(n(2), "").await.unwrap();
    assert_eq!(cluster.node(2).read(()).await.unwrap(), [7]);
    assert!(cluster.node(1).status().membership.is_learner(n(2)));
    cluster.network.isolate(n(2));
    cluster.node(1).propose(8).await.unwrap();

    cluster.network.heal();
    let last = cluster.node(1).status().last;
    until(cluster.node(1), |metrics| metrics.followers.iter().all(|f| f.matched >= last)).await;
    cluster.node(1).promote(n(2)).await.unwrap();
    cluster.until_voters(&[1, 2]).await;
}

#[tokio::test]
async fn a_node_that_is_gone_is_replaced_by_another_one() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    cluster.node(1).propose(0).await.unwrap();
    cluster.stop(3).await;
    cluster.join([4]).await;

    cluster.change(add_voters([4]).remove(n(3))).await;
    cluster.until_voters(&[1, 2, 4]).await;

    cluster.stop(1).await;
    // Not the one that has just stopped.
    until(cluster.node(4), |m| m.status.leader.is_some_and(|leader| leader != n(1))).await;
    cluster.node(4).propose(1).await.unwrap();
    assert_eq!(cluster.node(4).read(()).await.unwrap(), [0, 1]);
}

#[tokio::test]
async fn a_cluster_shrinks_to_one_node_which_goes_on_alone() {
    let mut cluster = Cluster::start([1, 2, 3]).await;
    let writer = Writer::start(cluster.node(2));

    cluster.change(MembershipChange::to(voters([2]))).await;
    cluster.until_voters(&[2]).await;
    cluster.stop(1).await;
    cluster.stop(3).await;
    until(cluster.node(2), |metrics| metrics.status.leader == Some(n(2))).await;

    let written = writer.finish().await;
    cluster.node(2).propose(u64::MAX).await.unwrap();
    let read = cluster.node(2).read(()).await.unwrap();
    assert!(holds(&read, &written));
    assert_eq!(read.last(), Some(&u64::MAX));
}

#[tokio::test]
async fn a_leader_that_is_removed_hands_over_and_disturbs_nobody() {
    let cluster = Cluster::start([1, 2, 3]).await;
    let old = cluster.leader().await.status().id;
    let rest: Vec<_> = [1, 2, 3].into_iter().filter(|&id| n(id) != old).collect();

    cluster.change(MembershipChange::new().remove(old)).await;
    cluster.until_voters(&rest).await;

    let removed = cluster.node(old.get());
    until(removed, |metrics| metrics.status.removed_by.is_some()).await;
    assert!(matches!(removed.read(()).await, Err(ReadError::Removed)));
    let other = cluster.node(*rest.first().unwrap());
    other.propose(1).await.unwrap();
    let term = other.status().term;
    for number in 2..50 {
        other.propose(number).await.unwrap();
    }
    assert_eq!(other.status().term, term);
    assert!(!removed.is_leader());
}

#[tokio::test]
async fn a_change_of_another_membership_than_the_one_in_force_is_refused() {
    let mut cluster = Cluster::start([1]).await;
    cluster.node(1).propose(0).await.unwrap();
    let before = cluster.node(1).status().membership_id;
    let add = |id| MembershipChange::new().add_learner(n(id), "").based_on(before);
    cluster.join([2]).await;

    let done = cluster.node(1).change_membership(add(2)).await.unwrap();
    let again = cluster.node(1).change_membership(add(3)).await.unwrap_err();

    assert_eq!(cluster.node(1).status().membership_id, done);
    assert!(again.is_certainly_not_done());
    let outdated = raft_core::ChangeError::Outdated { current: done };
    assert!(matches!(again, ChangeError::Refused(why) if why == outdated));
}

#[tokio::test]
async fn a_follower_names_the_leader_to_who_wants_other_members() {
    let cluster = Cluster::start([1, 2, 3]).await;
    let leader = cluster.leader().await.status().id;
    let follower = cluster.nodes.iter().find(|node| node.status().id != leader).unwrap();
    until(follower, |metrics| metrics.status.leader == Some(leader)).await;

    let refused = follower.remove(n(1)).await;

    assert!(matches!(refused, Err(ChangeError::NotLeader { leader: Some(id) }) if id == leader));
}

#[tokio::test]
async fn a_change_that_cannot_be_committed_has_an_unknown_outcome() {
    let network = MemoryNetwork::new();
    let mut nodes = Vec::new();
    for id in [1, 2] {
        let builder = Node::<List>::builder(n(id)).in_memory().transport(network.clone());
        let builder = builder.bootstrap(voters([1, 2])).request_timeout(Duration::from_millis(500));
        nodes.push(builder.start(List::default()).await.unwrap());
    }
    let leader = nodes.first().unwrap().wait_for_leader(PATIENCE).await.unwrap();
    let leader = nodes.iter().find(|node| node.status().id == leader).unwrap();
    while leader.propose(0).await.is_err() {}
    network.isolate(leader.status().id);

    let outcome = leader.add_learner(n(3), "").await;

    assert!(matches!(&outcome, Err(error) if !error.is_certainly_not_done()), "{outcome:?}");
}

#[tokio::test]
async fn a_node_does_not_join_itself_nor_without_a_network() {
    let join = |members| Node::<List>::builder(n(3)).in_memory().join(members);

    let itself = join(voters([1, 3])).transport(MemoryNetwork::new()).start(List::default()).await;
    let alone = join(voters([1])).start(List::default()).await;

    assert!(matches!(itself, Err(StartError::JoinsItself { .. })));
    assert!(matches!(alone, Err(StartError::NoTransport { members: 2 })));
}

#[tokio::test]
async fn a_node_that_joins_waits_until_it_is_added() {
    let mut cluster = Cluster::start([1]).await;
    cluster.join([2]).await;
    let joining = cluster.node(2).clone();
    let reader = tokio::spawn(async move { joining.read(()).await });

    cluster.node(1).propose(5).await.unwrap();
    assert_eq!(cluster.node(2).applied().get(), 0);
    cluster.change(add_voters([2])).await;

    assert!(reader.await.unwrap().is_ok());
    assert_eq!(cluster.node(2).read(()).await.unwrap(), [5]);
}

#[cfg(feature = "persistence")]
#[tokio::test]
async fn after_a_restart_the_log_says_who_the_members_are() {
    let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [first, second] = directories.each_ref().map(tempfile::TempDir::path);
    let network = MemoryNetwork::new();
    let founder = || {
        let builder = Node::<List>::builder(n(1)).data_dir(first).transport(network.clone());
        builder.bootstrap(voters([1])).request_timeout(PATIENCE).start(List::default())
    };
    let joiner = || {
        let builder = Node::<List>::builder(n(2)).data_dir(second).transport(network.clone());
        builder.join(voters([1])).request_timeout(PATIENCE).start(List::default())
    };
    let (one, two) = (founder().await.unwrap(), joiner().await.unwrap());
    one.propose(1).await.unwrap();
    one.change_membership(add_voters([2])).await.unwrap();
    until(&two, |metrics| metrics.status.membership.is_voter(n(2))).await;
    one.propose(2).await.unwrap();
    two.shutdown().await.unwrap();
    one.shutdown().await.unwrap();

    let (one, two) = (founder().await.unwrap(), joiner().await.unwrap());

    one.propose(3).await.unwrap();
    assert_eq!(two.read(()).await.unwrap(), [1, 2, 3]);
    assert_eq!(one.status().membership.members().collect::<Vec<_>>(), [n(1), n(2)]);
}
