//! How packets reach other nodes.

mod memory;
#[cfg(feature = "quic")]
mod quic;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use raft_core::{ClusterId, NodeId};
pub use raft_net::{
    Forward, ForwardOutcome, ForwardReply, Inbound, Packet, PeerEvent, SendOutcome,
};
use tokio::runtime::Handle;

pub use self::memory::MemoryNetwork;
#[cfg(feature = "quic")]
pub use self::quic::Quic;

/// A network between the nodes of a cluster.
///
/// It may lose and reorder packets, and repeat those of the protocol ([`Packet::Raft`]), however late
/// they arrive. What it must not do:
/// * deliver a packet under a name that is not its sender's, or one of another cluster;
/// * deliver a [`Packet::Forward`] twice, for its commands would be applied twice;
/// * deliver a [`Packet::Forward`] or a [`Packet::ForwardReply`] after its sender, or the node that
///   it was for, was started anew: their numbers begin again with each start.
pub trait Transport: Send + 'static {
    /// Sends a packet if it can be sent soon. Must not wait.
    fn send(&self, to: NodeId, packet: Packet) -> SendOutcome;

    /// Connects with these nodes from now on, at these addresses, and with no others. Must not
    /// wait; may be called as often as it likes.
    fn update_peers(&self, peers: BTreeMap<NodeId, String>);

    /// Closes connections and frees ports.
    fn shutdown(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl fmt::Debug for dyn Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

/// Opens a [`Transport`].
pub trait OpenTransport: Send + 'static {
    /// Opens the transport. Its tasks run on `runtime`, which is also the node's event loop: they
    /// must not block.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, with what to do about it.
    fn open(
        self: Box<Self>,
        local: Local,
        inbound: Arc<dyn Inbound>,
        runtime: Handle,
    ) -> Result<Box<dyn Transport>, Box<dyn Error + Send + Sync>>;
}

/// Who a node is, and whom it talks to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Local {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Grows with every start of this node.
    pub generation: u64,
    /// Digest of the members that the cluster was created with, if this node knows them.
    pub genesis: Option<u64>,
    /// The other members at the start, and where they listen.
    pub peers: BTreeMap<NodeId, String>,
}

/// The transport of a node that was started without one, for it had no peers.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl Transport for Nowhere {
    fn send(&self, _to: NodeId, _packet: Packet) -> SendOutcome {
        SendOutcome::Dropped(raft_net::DropReason::NotAMember)
    }

    fn update_peers(&self, peers: BTreeMap<NodeId, String>) {
        if !peers.is_empty() {
            tracing::error!(
                ?peers,
                "this node has no transport and cannot talk to the members that were added; \
                 restart it with one"
            );
        }
    }

    fn shutdown(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(std::future::ready(()))
    }
}
