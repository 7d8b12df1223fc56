//! Processes that are killed (SIGKILL), and started again.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use raft_kv::client::{Client, find_leader};
use raft_kv::resp::Reply;
use tempfile::{TempDir, tempdir};
use tokio::process::{Child, Command};
use tokio::time;

const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(5);

/// Keys, and the length of a value: together about the bytes that a second lets pass.
const KEYS: usize = 200;
const VALUE_BYTES: usize = 2048;
pub(crate) const RATE: usize = KEYS * VALUE_BYTES;

/// The nodes that found the cluster; later ones join it.
const FOUNDERS: usize = 3;

/// Nodes, a process each.
pub(crate) struct Cluster {
    directory: TempDir,
    nodes: Vec<Node>,
    /// The value of every key that was acknowledged last.
    round: u8,
}

struct Node {
    raft: SocketAddr,
    client: SocketAddr,
    process: Option<Child>,
}

impl Cluster {
    /// Starts the founders.
    pub(crate) async fn start() -> Self {
        let nodes = addresses(FOUNDERS);
        let mut cluster = Self { directory: tempdir().expect("a directory"), nodes, round: 0 };
        (0..FOUNDERS).for_each(|node| cluster.spawn(node));
        cluster.leader().await;
        cluster
    }

    /// Starts a node that joins; to be added still.
    pub(crate) fn join(&mut self) -> usize {
        self.nodes.extend(addresses(1));
        let node = self.nodes.len() - 1;
        self.spawn(node);
        node
    }

    pub(crate) fn spawn(&mut self, node: usize) {
        let founders = (1..).zip(self.nodes.iter().take(FOUNDERS));
        let founders: Vec<_> = founders.map(|(id, node)| format!("{id}={}", node.raft)).collect();
        let data = self.data(node);
        let Some(node_) = self.nodes.get_mut(node) else { panic!("there is no node {node}") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
        command
            .args(["serve", "--insecure", "--heartbeat", "30", "--election-timeout", "300"])
            .args(["--snapshot-trailing", "0", "--snapshot-rate", &RATE.to_string()])
            .args(["--id", &(node + 1).to_string(), "--cluster", &founders.join(",")])
            .args(["--raft", &node_.raft.to_string(), "--client", &node_.client.to_string()])
            .args((node >= FOUNDERS).then_some("--join"))
            .arg("--data")
            .arg(data)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        node_.process = Some(command.spawn().expect("the program"));
    }

    pub(crate) async fn kill(&mut self, node: usize) {
        let process = self.nodes.get_mut(node).and_then(|node| node.process.take());
        process.expect("it runs").kill().await.expect("a child");
    }

    pub(crate) fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{}", node + 1))
    }

    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes.get(node).expect("there is such a node").client
    }

    pub(crate) fn raft_address(&self, node: usize) -> SocketAddr {
        self.nodes.get(node).expect("there is such a node").raft
    }

    pub(crate) async fn leader(&self) -> usize {
        let addresses: Vec<_> = self.nodes.iter().map(|node| node.client).collect();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(leader) = find_leader(&addresses).await {
                return addresses.iter().position(|address| *address == leader).expect("ours");
            }
            time::sleep(PAUSE).await;
        }
        panic!("nobody leads");
    }

    /// Writes every key anew, and waits until that is acknowledged.
    pub(crate) async fn write(&mut self) {
        self.round += 1;
        let value = vec![self.round; VALUE_BYTES];
        let start = Instant::now();
        let mut next = 0;
        while next < KEYS {
            assert!(start.elapsed() < PATIENCE, "writes are not acknowledged");
            let leader = self.leader().await;
            let Ok(mut client) = Client::connect(self.address(leader)).await else { continue };
            while next < KEYS {
                match client.call(&[b"SET", key(next).as_bytes(), &value]).await {
                    Ok(reply) if reply == Reply::OK => next += 1,
                    // Writing it again does no harm.
                    Ok(_) | Err(_) => break,
                }
            }
        }
    }

    /// Checks that every node that runs has all that was acknowledged.
    pub(crate) async fn check(&self) {
        let expected = Reply::Bulk(vec![self.round; VALUE_BYTES].into());
        let runs = |node: &usize| self.nodes.get(*node).is_some_and(|node| node.process.is_some());
        for node in (0..self.nodes.len()).filter(runs) {
            let start = Instant::now();
            let mut next = 0;
            while next < KEYS {
                assert!(start.elapsed() < PATIENCE, "node {} does not answer", node + 1);
                let Ok(mut client) = Client::connect(self.address(node)).await else {
                    time::sleep(PAUSE).await;
                    continue;
                };
                while let Ok(reply) = client.call(&[b"GET", key(next).as_bytes()]).await {
                    if matches!(reply, Reply::Error(_)) {
                        break;
                    }
                    assert!(reply == expected, "node {}, {}", node + 1, key(next));
                    next += 1;
                    if next == KEYS {
                        break;
                    }
                }
            }
        }
    }

    /// Has a node take a snapshot, which nobody waits for.
    pub(crate) fn begin_snapshot(&self, node: usize) {
        let address = self.address(node);
        drop(tokio::spawn(async move {
            if let Ok(mut client) = Client::connect(address).await {
                drop(client.call(&[b"RAFT.SNAPSHOT"]).await);
            }
        }));
    }

    /// Has a node take a snapshot, and forget the log behind it.
    pub(crate) async fn snapshot(&self, node: usize) {
        let mut client = Client::connect(self.address(node)).await.expect("a node");
        let last = client.call(&[b"RAFT.SNAPSHOT"]).await.expect("a reply");
        let Reply::Integer(last) = last else { panic!("{last:?}") };
        until("the log is compacted", async || {
            let status = client.status().await.expect("a status");
            i64::try_from(status.first).is_ok_and(|first| first > last)
        })
        .await;
    }
}

/// Nodes at addresses that are free.
fn addresses(count: usize) -> Vec<Node> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    // All are held until all are found, so that they differ.
    let sockets: Vec<_> = (0..count)
        .map(|_| (UdpSocket::bind(any).expect("a port"), TcpListener::bind(any).expect("one")))
        .collect();
    let node = |(udp, tcp): &(UdpSocket, TcpListener)| Node {
        raft: udp.local_addr().expect("bound"),
        client: tcp.local_addr().expect("bound"),
        process: None,
    };
    sockets.iter().map(node).collect()
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    let mut condition = condition;
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        time::sleep(PAUSE).await;
    }
}
