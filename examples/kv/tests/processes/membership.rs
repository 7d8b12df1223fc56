//! Nodes that are killed while the cluster gets other members.

use raft_kv::client::Client;
use raft_kv::resp::Reply;

use super::cluster::{Cluster, until};

impl Cluster {
    /// Has the leader do something, whoever that is, until it is done.
    async fn administer(&self, words: &[&str]) {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        let mut may_be_done = false;
        until("the leader does it", async || {
            let leader = self.leader().await;
            let reply = match Client::connect(self.address(leader)).await {
                Ok(mut client) => client.call(&words).await,
                Err(_) => return false,
            };
            match reply {
                Ok(reply) if reply == Reply::OK => true,
                Ok(Reply::Error(text)) => {
                    assert!(may_be_done || !text.starts_with("ERR"), "{text}");
                    may_be_done |= text.starts_with("UNKNOWN");
                    text.starts_with("ERR")
                }
                Ok(reply) => panic!("{reply:?}"),
                Err(_) => {
                    may_be_done = true;
                    false
                }
            }
        })
        .await;
    }

    /// Who belongs to the cluster, as a node says.
    async fn members(&self, node: usize) -> Vec<String> {
        let Ok(mut client) = Client::connect(self.address(node)).await else { return Vec::new() };
        let Ok(Reply::Array(members)) = client.call(&[b"RAFT.MEMBERS"]).await else {
            return Vec::new();
        };
        let text = |member| match member {
            Reply::Bulk(text) => String::from_utf8_lossy(&text).into_owned(),
            other @ (Reply::Simple(_)
            | Reply::Error(_)
            | Reply::Integer(_)
            | Reply::Nil
            | Reply::Array(_)) => panic!("{other:?}"),
        };
        members.into_iter().map(text).collect()
    }

    /// Kills the leader, writes, and starts it again.
    async fn lose_the_leader(&mut self) {
        let leader = self.leader().await;
        self.kill(leader).await;
        self.write().await;
        self.spawn(leader);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_members_come_and_go_and_nodes_are_killed() {
    let mut cluster = Cluster::start().await;
    cluster.write().await;

    let fourth = cluster.join();
    let address = cluster.raft_address(fourth).to_string();
    cluster.administer(&["RAFT.ADD", "4", &address]).await;
    cluster.kill(fourth).await;
    cluster.lose_the_leader().await;
    cluster.spawn(fourth);
    let voter = format!("4 {address} voter");
    until("node 4 votes", async || cluster.members(fourth).await.contains(&voter)).await;
    cluster.lose_the_leader().await;
    cluster.check().await;

    let removed = cluster.leader().await;
    cluster.administer(&["RAFT.REMOVE", &(removed + 1).to_string()]).await;
    cluster.kill(removed).await;
    cluster.lose_the_leader().await;
    cluster.check().await;
    let leader = cluster.leader().await;
    assert_eq!(cluster.members(leader).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_is_promoted_and_leads_when_it_is_told_to() {
    let mut cluster = Cluster::start().await;
    let fourth = cluster.join();
    let address = cluster.raft_address(fourth).to_string();
    cluster.administer(&["RAFT.ADD", "4", &address, "LEARNER"]).await;
    cluster.write().await;
    cluster.check().await;
    assert!(cluster.members(fourth).await.contains(&format!("4 {address} learner")));

    cluster.administer(&["RAFT.PROMOTE", "4"]).await;
    cluster.administer(&["RAFT.TRANSFER", "4"]).await;

    assert_eq!(cluster.leader().await, fourth);
    cluster.administer(&["RAFT.TRANSFER"]).await;
    until("another one leads", async || cluster.leader().await != fourth).await;
    cluster.check().await;
}
