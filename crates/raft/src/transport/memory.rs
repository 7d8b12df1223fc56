//! A network inside one process, for tests of state machines in a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::NodeId;
use raft_net::DropReason;
use tokio::runtime::Handle;

use super::{Inbound, Local, OpenTransport, Packet, SendOutcome, Transport};

/// A network inside one process, whose links can be cut.
///
/// Clones are the same network. Give one to each node's
/// [`Builder::transport`](crate::Builder::transport).
#[derive(Clone, Debug, Default)]
pub struct MemoryNetwork {
    links: Arc<Mutex<Links>>,
}

#[derive(Default)]
struct Links {
    nodes: BTreeMap<NodeId, Arc<dyn Inbound>>,
    cut: BTreeSet<(NodeId, NodeId)>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("cut", &self.cut).finish_non_exhaustive()
    }
}

impl MemoryNetwork {
    /// A network without nodes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Loses what `from` sends to `to`, until healed; the other direction still works.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.links().cut.insert((from, to));
    }

    /// Loses all that `node` sends and is sent, until healed.
    pub fn isolate(&self, node: NodeId) {
        let mut links = self.links();
        let others: Vec<_> = links.nodes.keys().copied().filter(|&id| id != node).collect();
        links.cut.extend(others.iter().flat_map(|&other| [(node, other), (other, node)]));
    }

    /// Mends all links.
    pub fn heal(&self) {
        self.links().cut.clear();
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        // Every change is a single insertion or removal, so a poisoned lock protects a whole value.
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenTransport for MemoryNetwork {
    fn open(
        self: Box<Self>,
        local: Local,
        inbound: Arc<dyn Inbound>,
        _runtime: Handle,
    ) -> Result<Box<dyn Transport>, Box<dyn Error + Send + Sync>> {
        self.links().nodes.insert(local.node, inbound);
        Ok(Box::new(Port { network: *self, node: local.node }))
    }
}

/// One node's end of the network.
struct Port {
    network: MemoryNetwork,
    node: NodeId,
}

impl Transport for Port {
    fn send(&self, to: NodeId, packet: Packet) -> SendOutcome {
        let links = self.network.links();
        if links.cut.contains(&(self.node, to)) {
            return SendOutcome::Queued;
        }
        let Some(peer) = links.nodes.get(&to).map(Arc::clone) else {
            return SendOutcome::Dropped(DropReason::NotConnected);
        };
        drop(links);
        peer.on_packet(self.node, packet);
        SendOutcome::Queued
    }

    /// Whoever is in the network can be reached.
    fn update_peers(&self, _peers: BTreeMap<NodeId, String>) {}

    fn shutdown(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.network.links().nodes.remove(&self.node);
        Box::pin(std::future::ready(()))
    }
}
