//! Reads everything back and compares it with what was promised.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use raft_kv::client::{Client, ClientError};
use raft_kv::resp::Reply;
use tokio::time;

use super::writer::{key_name, value_of};

const PIPELINE: usize = 100;
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);
const GIVE_UP: Duration = Duration::from_secs(30);

/// How many of the acknowledged writes cannot be read. The nodes are asked in turn: reads are
/// linearizable on any of them.
pub(super) async fn count_lost(
    nodes: &[SocketAddr],
    acknowledged: &[bool],
) -> anyhow::Result<usize> {
    let promised = acknowledged.iter().enumerate().filter(|(_, acknowledged)| **acknowledged);
    let keys: Vec<_> = promised.map(|(key, _)| key).collect();
    let mut lost = 0;
    let mut nodes = nodes.iter().cycle();
    for chunk in keys.chunks(PIPELINE) {
        let replies = read_patiently(&mut nodes, chunk).await?;
        let is_lost = |(key, reply): &(&usize, Reply)| !holds(reply, **key);
        lost += chunk.iter().zip(replies).filter(is_lost).count();
    }
    Ok(lost)
}

fn holds(reply: &Reply, key: usize) -> bool {
    matches!(reply, Reply::Bulk(value) if *value == value_of(key).as_bytes())
}

/// Asks one node after the other until one of them answers in full.
async fn read_patiently<'a>(
    nodes: &mut impl Iterator<Item = &'a SocketAddr>,
    keys: &[usize],
) -> anyhow::Result<Vec<Reply>> {
    let start = Instant::now();
    for &node in nodes {
        if let Ok(Ok(replies)) = time::timeout(PATIENCE, read(node, keys)).await
            && !replies.iter().any(|reply| matches!(reply, Reply::Error(_)))
        {
            return Ok(replies);
        }
        if start.elapsed() > GIVE_UP {
            break;
        }
        time::sleep(PAUSE).await;
    }
    bail!("no node answered a read for {GIVE_UP:?}; see the logs of the nodes")
}

async fn read(node: SocketAddr, keys: &[usize]) -> Result<Vec<Reply>, ClientError> {
    let mut client = Client::connect(node).await?;
    for &key in keys {
        client.queue(&[b"GET", key_name(key).as_bytes()]);
    }
    client.send().await?;
    let mut replies = Vec::with_capacity(keys.len());
    for _ in keys {
        replies.push(client.receive().await?);
    }
    Ok(replies)
}
