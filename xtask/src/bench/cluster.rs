//! Three nodes, each a process that ends with this one.

use std::fs::File;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::info::{Counters, Info};
use crate::process::{Process, run};

const IDS: [u64; 3] = [1, 2, 3];

/// Three nodes of `raft-kv`. They are killed when this is dropped.
#[derive(Debug)]
pub(super) struct Cluster {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    id: u64,
    client: SocketAddr,
    /// What starts it.
    command: Command,
    /// `None` while it is away.
    process: Option<Process>,
}

/// How long to wait for a leader.
const PATIENCE: Duration = Duration::from_secs(30);

impl Cluster {
    /// Starts nodes with empty logs, whose data, certificates and logs are in `directory`.
    pub(super) fn start(program: &Path, directory: &Path) -> anyhow::Result<Self> {
        Self::start_with(program, directory, &[])
    }

    /// As [`Cluster::start`], with further arguments for each node.
    pub(super) fn start_with(
        program: &Path,
        directory: &Path,
        arguments: &[&str],
    ) -> anyhow::Result<Self> {
        let certificates = directory.join("certificates");
        let ids = IDS.map(|id| id.to_string()).join(",");
        let mut command = Command::new(program);
        command.arg("certs").arg("--out").arg(&certificates).args(["--nodes", &ids]);
        run(&mut command)?;

        let addresses = free_addresses().context("cannot find free ports")?;
        let members = IDS.iter().zip(&addresses).map(|(id, (raft, _))| format!("{id}={raft}"));
        let members = members.collect::<Vec<_>>().join(",");
        let start = |(id, (raft, client)): (u64, (SocketAddr, SocketAddr))| {
            let log = directory.join(format!("node-{id}.log"));
            let log =
                File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
            let mut command = Command::new(program);
            command.args(["serve", "--die-with-parent", "--id", &id.to_string()]);
            command.arg("--data").arg(directory.join(format!("node-{id}")));
            command.args(["--raft", &raft.to_string(), "--client", &client.to_string()]);
            command.args(["--cluster", &members]).arg("--tls").arg(&certificates);
            command.args(arguments).stdout(log.try_clone()?).stderr(log);
            let process = Some(Process::spawn(&mut command)?);
            Ok(Node { id, client, command, process })
        };
        let nodes = IDS.into_iter().zip(addresses).map(start);
        Ok(Self { nodes: nodes.collect::<anyhow::Result<_>>()? })
    }

    pub(super) fn client_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.nodes.iter().map(|node| node.client)
    }

    /// Waits until all nodes know the same leader; its id.
    pub(super) fn wait_for_leader(&mut self) -> anyhow::Result<u64> {
        const PAUSE: Duration = Duration::from_millis(20);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.check_alive()?;
            let leader_of = |node: &Node| Info::ask(node.client).ok()?.number("raft_leader").ok();
            let mut leaders = self.nodes.iter().map(leader_of);
            if let Some(Some(leader)) = leaders.next()
                && leaders.all(|other| other == Some(leader))
            {
                return Ok(leader);
            }
            std::thread::sleep(PAUSE);
        }
        bail!("no leader within {PATIENCE:?}")
    }

    /// What each node has done so far.
    pub(super) fn counters(&self) -> anyhow::Result<Vec<Counters>> {
        let counters = |node: &Node| Counters::read(node.id, &Info::ask(node.client)?);
        self.nodes.iter().map(counters).collect()
    }

    /// The two nodes other than this one.
    pub(super) fn others(&self, id: u64) -> anyhow::Result<[u64; 2]> {
        let others: Vec<_> = IDS.into_iter().filter(|other| *other != id).collect();
        others.try_into().ok().context("there are three nodes")
    }

    /// Where a node listens for clients.
    pub(super) fn client(&self, id: u64) -> anyhow::Result<SocketAddr> {
        let node = self.nodes.iter().find(|node| node.id == id);
        Ok(node.context("no such node")?.client)
    }

    /// The process of a node.
    pub(super) fn pid(&self, id: u64) -> anyhow::Result<u32> {
        let node = self.nodes.iter().find(|node| node.id == id).context("no such node")?;
        Ok(node.process.as_ref().context("the node is away")?.id())
    }

    /// Kills a node, and waits until it is gone.
    pub(super) fn kill(&mut self, id: u64) -> anyhow::Result<()> {
        self.node(id)?.process = None;
        Ok(())
    }

    /// Starts a node that was killed, with the data that it left.
    pub(super) fn restart(&mut self, id: u64) -> anyhow::Result<()> {
        let node = self.node(id)?;
        node.process = Some(Process::spawn(&mut node.command)?);
        Ok(())
    }

    fn node(&mut self, id: u64) -> anyhow::Result<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == id).context("no such node")
    }

    pub(super) fn check_alive(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let Some(process) = &mut node.process else { continue };
            process
                .check_alive()
                .with_context(|| format!("node {} (see node-{0}.log with --dir)", node.id))?;
        }
        Ok(())
    }
}

/// Addresses that are free now, for Raft (UDP) and for clients (TCP). All are held until all are
/// found, so that they differ.
fn free_addresses() -> std::io::Result<Vec<(SocketAddr, SocketAddr)>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bind = |_| Ok((UdpSocket::bind(any)?, TcpListener::bind(any)?));
    let sockets = IDS.iter().map(bind).collect::<std::io::Result<Vec<_>>>()?;
    sockets.iter().map(|(udp, tcp)| Ok((udp.local_addr()?, tcp.local_addr()?))).collect()
}
