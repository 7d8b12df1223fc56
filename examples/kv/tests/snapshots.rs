//! Processes that are killed (SIGKILL) while they make, send and install snapshots.
//!
//! How far they are is seen in their directories: a rate limit makes each stage long enough.

#![allow(clippy::panic_in_result_fn, reason = "a test that panics has failed, as it should")]

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
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
const RATE: usize = KEYS * VALUE_BYTES;

/// Three processes.
struct Cluster {
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
    async fn start() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        // All are held until all are found, so that they differ.
        let sockets: Vec<_> = (0..3)
            .map(|_| (UdpSocket::bind(any).expect("a port"), TcpListener::bind(any).expect("one")))
            .collect();
        let address = |(udp, tcp): &(UdpSocket, TcpListener)| Node {
            raft: udp.local_addr().expect("bound"),
            client: tcp.local_addr().expect("bound"),
            process: None,
        };
        let nodes = sockets.iter().map(address).collect();
        drop(sockets);
        let mut cluster = Self { directory: tempdir().expect("a directory"), nodes, round: 0 };
        (0..3).for_each(|node| cluster.spawn(node));
        cluster.leader().await;
        cluster
    }

    fn spawn(&mut self, node: usize) {
        let members: Vec<_> =
            (1..).zip(&self.nodes).map(|(id, node)| format!("{id}={}", node.raft)).collect();
        let data = self.data(node);
        let Some(node_) = self.nodes.get_mut(node) else { panic!("there is no node {node}") };
        let mut command = Command::new(env!("CARGO_BIN_EXE_raft-kv"));
        command
            .args(["serve", "--insecure", "--heartbeat", "30", "--election-timeout", "300"])
            .args(["--snapshot-trailing", "0", "--snapshot-rate", &RATE.to_string()])
            .args(["--id", &(node + 1).to_string(), "--cluster", &members.join(",")])
            .args(["--raft", &node_.raft.to_string(), "--client", &node_.client.to_string()])
            .arg("--data")
            .arg(data)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        node_.process = Some(command.spawn().expect("the program"));
    }

    async fn kill(&mut self, node: usize) {
        let process = self.nodes.get_mut(node).and_then(|node| node.process.take());
        process.expect("it runs").kill().await.expect("a child");
    }

    fn data(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("node-{}", node + 1))
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.nodes.get(node).expect("there are three").client
    }

    async fn leader(&self) -> usize {
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
    async fn write(&mut self) {
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

    /// Checks that every node has all that was acknowledged.
    async fn check(&self) {
        let expected = Reply::Bulk(vec![self.round; VALUE_BYTES].into());
        for node in 0..3 {
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
    fn begin_snapshot(&self, node: usize) {
        let address = self.address(node);
        drop(tokio::spawn(async move {
            if let Ok(mut client) = Client::connect(address).await {
                drop(client.call(&[b"RAFT.SNAPSHOT"]).await);
            }
        }));
    }

    /// Has a node take a snapshot, and forget the log behind it.
    async fn snapshot(&self, node: usize) {
        let mut client = Client::connect(self.address(node)).await.expect("a node");
        let last = client.call(&[b"RAFT.SNAPSHOT"]).await.expect("a reply");
        let Reply::Integer(last) = last else { panic!("{last:?}") };
        until("the log is compacted", async || {
            let status = client.status().await.expect("a status");
            i64::try_from(status.first).is_ok_and(|first| first > last)
        })
        .await;
    }

    /// Waits until the snapshots of a node are at this stage.
    async fn reaches(&self, node: usize, stage: Stage) {
        let snapshots = self.data(node).join("snapshots");
        until(&format!("node {} is at {stage:?}", node + 1), async || stage.is_at(&snapshots))
            .await;
    }
}

fn key(number: usize) -> String {
    format!("key-{number}")
}

async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    let mut condition = condition;
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "it never came to this: {what}");
        time::sleep(PAUSE).await;
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// So many bytes of a snapshot are written.
    Making(usize),
    /// So many bytes of a snapshot of another node are there.
    Receiving(usize),
    /// So many snapshots are published.
    Published(usize),
}

impl Stage {
    fn is_at(self, directory: &Path) -> bool {
        let Ok(files) = std::fs::read_dir(directory) else { return false };
        let files: Vec<_> = files
            .filter_map(|file| {
                let file = file.ok()?;
                let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
                Some((file.file_name().into_string().ok()?, len))
            })
            .collect();
        let has =
            |wanted: &str, bytes| files.iter().any(|(name, len)| name == wanted && *len >= bytes);
        match self {
            Self::Making(bytes) => {
                files.iter().any(|(name, len)| name.starts_with("writing-") && *len >= bytes)
            }
            Self::Receiving(bytes) => files
                .iter()
                .filter_map(|(name, _)| name.strip_suffix(".partial"))
                .any(|id| has(&format!("{id}.data"), bytes)),
            Self::Published(count) => {
                files.iter().filter(|(name, _)| name.ends_with(".manifest")).count() >= count
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_node_is_killed_while_it_makes_a_snapshot() {
    let mut cluster = Cluster::start().await;
    let stages = [Stage::Making(0), Stage::Making(RATE / 2), Stage::Published(1)];
    for (round, stage) in stages.into_iter().enumerate() {
        cluster.write().await;
        let node = round % 3;
        cluster.begin_snapshot(node);
        cluster.reaches(node, stage).await;

        cluster.kill(node).await;
        cluster.spawn(node);

        cluster.check().await;
    }
}

/// A node that was away, and whose place in the log is gone everywhere else.
async fn with_one_behind(cluster: &mut Cluster) -> usize {
    let leader = cluster.leader().await;
    let behind = (leader + 1) % 3;
    cluster.kill(behind).await;
    cluster.write().await;
    for node in (0..3).filter(|node| *node != behind) {
        cluster.snapshot(node).await;
    }
    behind
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_node_is_killed_while_it_installs_a_snapshot() {
    let mut cluster = Cluster::start().await;
    for stage in [Stage::Published(1), Stage::Receiving(0), Stage::Receiving(RATE / 2)] {
        let behind = with_one_behind(&mut cluster).await;
        cluster.spawn(behind);
        cluster.reaches(behind, stage).await;

        cluster.kill(behind).await;
        cluster.spawn(behind);

        cluster.check().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_a_leader_is_killed_while_it_sends_a_snapshot() {
    let mut cluster = Cluster::start().await;
    for stage in [Stage::Receiving(0), Stage::Receiving(RATE / 2)] {
        let behind = with_one_behind(&mut cluster).await;
        cluster.spawn(behind);
        cluster.reaches(behind, stage).await;

        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        cluster.write().await;
        cluster.spawn(leader);

        cluster.check().await;
    }
}
