//! Three nodes of etcd.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use etcd_client::Client;

const NODES: usize = 3;

/// How long to wait for a leader.
const PATIENCE: Duration = Duration::from_secs(30);

/// Three processes, killed when this is dropped.
pub(crate) struct Cluster {
    nodes: Vec<Node>,
}

struct Node {
    process: Child,
    url: String,
}

impl Cluster {
    /// Starts nodes with empty logs, whose data is in `dir`.
    pub(crate) fn start(dir: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let addresses = free_addresses().context("cannot find free ports")?;
        let members = addresses.iter().enumerate();
        let members = members.map(|(n, (peer, _))| format!("node-{n}=http://{peer}"));
        let members = members.collect::<Vec<_>>().join(",");
        let mut cluster = Self { nodes: Vec::new() };
        for (n, (peer, client)) in addresses.into_iter().enumerate() {
            let (name, peer, url) =
                (format!("node-{n}"), format!("http://{peer}"), format!("http://{client}"));
            let mut command = Command::new("etcd");
            command.args(["--name", &name]).arg("--data-dir").arg(dir.join(&name));
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
            command.args(["--initial-cluster", &members, "--initial-cluster-state", "new"]);
            command.args(["--log-level", "error"]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let process = command.spawn().context("cannot run etcd; is it installed?")?;
            cluster.nodes.push(Node { process, url });
        }
        Ok(cluster)
    }

    /// Waits until a node says that it leads; its address for clients.
    pub(crate) async fn wait_for_leader(&mut self) -> anyhow::Result<String> {
        const PAUSE: Duration = Duration::from_millis(50);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            self.check_alive()?;
            for node in &self.nodes {
                if leads(&node.url).await.unwrap_or(false) {
                    return Ok(node.url.clone());
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        bail!("no leader within {PATIENCE:?}")
    }

    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            if let Some(status) = node.process.try_wait()? {
                bail!("a node of etcd ended by itself ({status})");
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // It may have ended by itself, and then there is nothing to kill.
            drop(node.process.kill());
            drop(node.process.wait());
        }
    }
}

async fn leads(url: &str) -> Result<bool, etcd_client::Error> {
    let status = Client::connect([url], None).await?.status().await?;
    Ok(status.header().is_some_and(|header| header.member_id() == status.leader()))
}

/// Addresses that are free now, for peers and for clients. All are held until all are found, so that
/// they differ.
fn free_addresses() -> std::io::Result<Vec<(SocketAddr, SocketAddr)>> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bind = |_| Ok((TcpListener::bind(any)?, TcpListener::bind(any)?));
    let sockets = (0..NODES).map(bind).collect::<std::io::Result<Vec<_>>>()?;
    sockets.iter().map(|(peer, client)| Ok((peer.local_addr()?, client.local_addr()?))).collect()
}
