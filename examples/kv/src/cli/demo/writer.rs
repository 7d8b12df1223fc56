//! Clients that write until every key is acknowledged, whatever happens to the nodes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use raft_kv::client::{Client, ClientError};
use raft_kv::resp::Reply;
use tokio::task::JoinSet;
use tokio::time;

use super::ledger::Ledger;

/// Requests under way on each connection.
const PIPELINE: usize = 32;
const WRITERS: usize = 4;

/// How long to wait for replies before another node is asked.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait before another node is asked.
const PAUSE: Duration = Duration::from_millis(20);
/// Without a single acknowledged write for this long, the cluster is broken.
const GIVE_UP: Duration = Duration::from_secs(30);

pub(super) type Writers = JoinSet<anyhow::Result<()>>;

/// Starts clients that share the keys among them. They begin at different nodes: any node takes
/// any request.
pub(super) fn spawn_all(nodes: &[SocketAddr], ops: u32, ledger: &Ledger) -> Writers {
    let keys = usize::try_from(ops).unwrap_or(usize::MAX);
    let writer = |number: usize| {
        let mut nodes: VecDeque<_> = nodes.iter().copied().collect();
        nodes.rotate_left(number % nodes.len().max(1));
        let pending = (number..keys).step_by(WRITERS).map(Write::new).collect();
        Writer { nodes, pending, under_way: VecDeque::new(), ledger: ledger.clone() }
    };
    (0..WRITERS).map(writer).map(Writer::run).collect()
}

/// Waits for all writers; when they were done.
pub(super) async fn finish(mut writers: Writers) -> anyhow::Result<Instant> {
    while let Some(ended) = writers.join_next().await {
        ended??;
    }
    Ok(Instant::now())
}

/// What key number `key` is called.
pub(super) fn key_name(key: usize) -> String {
    format!("demo:{key}")
}

/// What is written under it, always the same: to repeat the write is harmless.
pub(super) fn value_of(key: usize) -> String {
    format!("{key:0>100}")
}

struct Writer {
    /// The first one is asked.
    nodes: VecDeque<SocketAddr>,
    pending: VecDeque<Write>,
    /// Sent and not answered, in the order of the replies.
    under_way: VecDeque<Write>,
    ledger: Ledger,
}

struct Write {
    key: usize,
    first_sent: Option<Instant>,
}

impl Write {
    const fn new(key: usize) -> Self {
        Self { key, first_sent: None }
    }
}

/// Why a round ended before all was acknowledged.
enum Interruption {
    /// Ask another node.
    ElsewhereOrLater,
    /// A reply that no retry would change.
    Fatal(anyhow::Error),
}

impl From<ClientError> for Interruption {
    fn from(_: ClientError) -> Self {
        Self::ElsewhereOrLater
    }
}

impl Writer {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut client = None;
        let mut progress = Instant::now();
        while !self.pending.is_empty() {
            let before = self.pending.len();
            match time::timeout(PATIENCE, self.round(&mut client)).await {
                Ok(Ok(())) => {}
                Ok(Err(Interruption::Fatal(error))) => return Err(error),
                Ok(Err(Interruption::ElsewhereOrLater)) | Err(_) => {
                    client = None;
                    self.nodes.rotate_left(1);
                    time::sleep(PAUSE).await;
                }
            }
            // Whether these were applied is unknown, so they are written again.
            self.pending.extend(self.under_way.drain(..));
            if self.pending.len() < before {
                progress = Instant::now();
            } else if progress.elapsed() > GIVE_UP {
                bail!("no write was acknowledged for {GIVE_UP:?}; see the logs of the nodes");
            }
        }
        Ok(())
    }

    /// Sends a pipeline of writes and receives the replies. Cancel safe: what is not answered is
    /// under way.
    async fn round(&mut self, client: &mut Option<Client>) -> Result<(), Interruption> {
        let client = match client {
            Some(client) => client,
            None => {
                let node = *self.nodes.front().expect("a demo has nodes");
                client.insert(Client::connect(node).await?)
            }
        };
        let sent = Instant::now();
        for mut write in self.pending.drain(..PIPELINE.min(self.pending.len())) {
            write.first_sent.get_or_insert(sent);
            client.queue(&[b"SET", key_name(write.key).as_bytes(), value_of(write.key).as_bytes()]);
            self.under_way.push_back(write);
        }
        client.send().await?;
        let mut refused = false;
        for _ in 0..self.under_way.len() {
            let reply = client.receive().await?;
            refused |= self.settle(&reply, sent)? == Settled::Refused;
        }
        if refused { Err(Interruption::ElsewhereOrLater) } else { Ok(()) }
    }

    /// Takes the reply to the oldest write under way.
    fn settle(&mut self, reply: &Reply, sent: Instant) -> Result<Settled, Interruption> {
        let Some(write) = self.under_way.pop_front() else { return Ok(Settled::Acknowledged) };
        match reply {
            Reply::Simple(_) => {
                self.ledger.acknowledge(write.key, write.first_sent.unwrap_or(sent), sent);
                Ok(Settled::Acknowledged)
            }
            Reply::Error(text) if may_be_repeated(text) => {
                self.pending.push_back(write);
                Ok(Settled::Refused)
            }
            Reply::Error(_) | Reply::Integer(_) | Reply::Bulk(_) | Reply::Nil | Reply::Array(_) => {
                Err(Interruption::Fatal(anyhow!("a node answered SET with {reply:?}")))
            }
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Settled {
    Acknowledged,
    /// To be written again.
    Refused,
}

/// The first two were not applied. The third may have been, and a SET with the same value does no
/// harm.
fn may_be_repeated(error: &str) -> bool {
    ["NOTLEADER ", "UNAVAILABLE ", "UNKNOWN "].iter().any(|word| error.starts_with(word))
}
