//! A new node takes the place of one that refuses.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use raft::NodeId;
use raft_kv::client::Client;
use raft_kv::resp::Reply;
use tokio::time;

use crate::cli::processes::Cluster;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Has `new` join, removes `old`, and waits until `new` votes.
///
/// # Errors
///
/// If that takes too long, or the cluster refuses.
pub(super) async fn replace(cluster: &mut Cluster, old: NodeId, new: NodeId) -> anyhow::Result<()> {
    cluster.discard(old).await?;
    let address = cluster.join(new)?;
    administer(cluster, &["RAFT.ADD", &new.to_string(), &address.to_string()]).await?;
    administer(cluster, &["RAFT.REMOVE", &old.to_string()]).await?;
    let start = Instant::now();
    while !votes(cluster, new).await {
        ensure!(start.elapsed() < PATIENCE, "node {new} does not vote after {PATIENCE:?}");
        time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Has the leader do something, whoever that is, until it is done.
async fn administer(cluster: &mut Cluster, words: &[&str]) -> anyhow::Result<()> {
    let request: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
    let start = Instant::now();
    let mut may_be_done = false;
    while start.elapsed() < PATIENCE {
        let leader = cluster.wait_for_leader().await?;
        match ask(cluster, leader, &request).await {
            Some(reply) if reply == Reply::OK => return Ok(()),
            // What is done already is refused when it is asked for again.
            Some(Reply::Error(text)) if text.starts_with("ERR") => {
                ensure!(may_be_done, "{}: {text}", words.join(" "));
                return Ok(());
            }
            Some(Reply::Error(text)) => may_be_done |= text.starts_with("UNKNOWN"),
            Some(reply) => bail!("{}: {reply:?}", words.join(" ")),
            None => may_be_done = true,
        }
        time::sleep(PAUSE).await;
    }
    bail!("{} is not done after {PATIENCE:?}", words.join(" "))
}

async fn ask(cluster: &Cluster, node: NodeId, request: &[&[u8]]) -> Option<Reply> {
    let mut client = Client::connect(cluster.client_address(node)?).await.ok()?;
    time::timeout(PATIENCE, client.call(request)).await.ok()?.ok()
}

/// Whether a node is a voter, as it says itself.
async fn votes(cluster: &Cluster, node: NodeId) -> bool {
    let Some(address) = cluster.client_address(node) else { return false };
    let Ok(mut client) = Client::connect(address).await else { return false };
    let Ok(Ok(status)) = time::timeout(PATIENCE, client.status()).await else { return false };
    status.members.iter().any(|member| member.id == node.get() && member.voter)
}
