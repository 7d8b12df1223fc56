//! The nodes of a cluster, each a process of this program.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, fs, io};

use anyhow::{Context as _, bail};
use raft::NodeId;
use raft_kv::client::find_leader;
use tokio::process::{Child, Command};
use tokio::time;

use crate::cli::certs;

/// The processes die with this value, and with the process that holds it.
pub(super) struct Cluster {
    executable: PathBuf,
    directory: PathBuf,
    /// What every node is started with, beside what it needs.
    arguments: &'static [&'static str],
    /// Those that found the cluster, as all are told of them.
    founders: String,
    nodes: Vec<Node>,
}

struct Node {
    id: NodeId,
    raft: SocketAddr,
    client: SocketAddr,
    origin: Origin,
    process: Option<Child>,
}

/// How a node comes to its cluster.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Origin {
    Founds,
    Joins,
}

const SIZE: u64 = 3;
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

impl Cluster {
    /// Prepares three nodes: certificates, addresses.
    pub(super) fn create(
        directory: &Path,
        arguments: &'static [&'static str],
    ) -> anyhow::Result<Self> {
        let mut cluster = Self {
            executable: env::current_exe().context("cannot find this program")?,
            directory: directory.to_owned(),
            arguments,
            founders: String::new(),
            nodes: Vec::new(),
        };
        let ids: Vec<_> = (1..=SIZE).filter_map(NodeId::new).collect();
        cluster.prepare(&ids, Origin::Founds)?;
        let founders = cluster.nodes.iter().map(|node| format!("{}={}", node.id, node.raft));
        cluster.founders = founders.collect::<Vec<_>>().join(",");
        Ok(cluster)
    }

    /// Starts a node that joins, and has to be added still; where the others reach it.
    pub(super) fn join(&mut self, id: NodeId) -> anyhow::Result<SocketAddr> {
        self.prepare(&[id], Origin::Joins)?;
        self.spawn(id)?;
        Ok(self.node(id)?.raft)
    }

    fn prepare(&mut self, ids: &[NodeId], origin: Origin) -> anyhow::Result<()> {
        certs::create(&certificates(&self.directory), ids)?;
        let addresses = free_addresses(ids.len()).context("cannot find free ports")?;
        let nodes = ids.iter().zip(addresses);
        self.nodes.extend(nodes.map(|(&id, (raft, client))| Node {
            id,
            raft,
            client,
            origin,
            process: None,
        }));
        Ok(())
    }

    /// Kills a node, and removes what it has left.
    pub(super) async fn discard(&mut self, id: NodeId) -> anyhow::Result<()> {
        self.kill(id).await?;
        self.nodes.retain(|node| node.id != id);
        fs::remove_dir_all(self.data(id)).context("cannot remove the data of a node")
    }

    pub(super) fn ids(&self) -> impl ExactSizeIterator<Item = NodeId> {
        self.nodes.iter().map(|node| node.id)
    }

    /// Where a node keeps its data.
    pub(super) fn data(&self, id: NodeId) -> PathBuf {
        self.directory.join(format!("node-{id}"))
    }

    /// What a node has said so far.
    pub(super) fn log(&self, id: NodeId) -> String {
        fs::read(log_of(&self.directory, id))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Whether the process of a node has ended by itself.
    pub(super) fn has_ended(&mut self, id: NodeId) -> anyhow::Result<bool> {
        let Some(process) = &mut self.node(id)?.process else { return Ok(false) };
        Ok(process.try_wait()?.is_some())
    }

    pub(super) fn client_address(&self, id: NodeId) -> Option<SocketAddr> {
        self.nodes.iter().find(|node| node.id == id).map(|node| node.client)
    }

    pub(super) fn client_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.client).collect()
    }

    pub(super) fn spawn_all(&mut self) -> anyhow::Result<()> {
        let ids: Vec<_> = self.nodes.iter().map(|node| node.id).collect();
        ids.into_iter().try_for_each(|id| self.spawn(id))
    }

    /// Starts a node, with the data it left behind.
    pub(super) fn spawn(&mut self, id: NodeId) -> anyhow::Result<()> {
        let log = log_of(&self.directory, id);
        let log = File::options().create(true).append(true).open(log);
        let log = log.context("cannot write the log of a node")?;
        let mut command = Command::new(&self.executable);
        command.arg("serve").arg("--die-with-parent");
        command.arg("--tls").arg(certificates(&self.directory));
        command.arg("--data").arg(self.data(id));
        command.args(["--cluster", &self.founders]).args(["--id", &id.to_string()]);
        command.args(self.arguments);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let node = self.node(id)?;
        command.args((node.origin == Origin::Joins).then_some("--join"));
        command.args(["--raft", &node.raft.to_string()]);
        command.args(["--client", &node.client.to_string()]);
        node.process = Some(command.spawn().context("cannot start a node")?);
        Ok(())
    }

    /// Kills a node with SIGKILL, and waits until it is gone.
    pub(super) async fn kill(&mut self, id: NodeId) -> anyhow::Result<()> {
        let node = self.node(id)?;
        node.kill()?;
        node.gone().await
    }

    /// Kills all nodes at the same time.
    pub(super) async fn kill_all(&mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(Node::kill)?;
        for node in &mut self.nodes {
            node.gone().await?;
        }
        Ok(())
    }

    /// Waits until a node leads; its id.
    pub(super) async fn wait_for_leader(&mut self) -> anyhow::Result<NodeId> {
        let addresses = self.client_addresses();
        let start = Instant::now();
        while start.elapsed() < LEADER_PATIENCE {
            if let Some(leader) = find_leader(&addresses).await {
                let leader = self.nodes.iter().find(|node| node.client == leader);
                return leader.map(|node| node.id).context("a stranger leads");
            }
            self.check_alive()?;
            time::sleep(PAUSE).await;
        }
        bail!("no leader within {LEADER_PATIENCE:?}; run again with --dir and see the logs there")
    }

    /// A node that ended by itself has said why in its log.
    fn check_alive(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let Some(process) = &mut node.process else { continue };
            if let Some(status) = process.try_wait()? {
                let log = fs::read_to_string(log_of(&self.directory, node.id)).unwrap_or_default();
                let last = log.lines().last().unwrap_or("its log is empty");
                bail!("node {} ended ({status}): {last}", node.id);
            }
        }
        Ok(())
    }

    fn node(&mut self, id: NodeId) -> anyhow::Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id).context("no such node")
    }
}

impl Node {
    fn kill(&mut self) -> anyhow::Result<()> {
        match &mut self.process {
            // A process without an id has ended by itself, and been waited for.
            Some(process) if process.id().is_some() => {
                process.start_kill().with_context(|| format!("cannot kill node {}", self.id))
            }
            Some(_) | None => Ok(()),
        }
    }

    async fn gone(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            let ended = process.wait().await;
            ended.with_context(|| format!("cannot wait for node {}", self.id))?;
        }
        Ok(())
    }
}

fn log_of(directory: &Path, id: NodeId) -> PathBuf {
    directory.join(format!("node-{id}.log"))
}

fn certificates(directory: &Path) -> PathBuf {
    directory.join("certificates")
}

/// Addresses that are free now, for Raft (UDP) and for clients (TCP). All are held until all are
/// found, so that they differ.
fn free_addresses(count: usize) -> io::Result<Vec<(SocketAddr, SocketAddr)>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bind = |_| Ok((UdpSocket::bind(any)?, TcpListener::bind(any)?));
    let sockets = (0..count).map(bind).collect::<io::Result<Vec<_>>>()?;
    sockets.iter().map(|(udp, tcp)| Ok((udp.local_addr()?, tcp.local_addr()?))).collect()
}
