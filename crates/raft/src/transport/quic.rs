//! The QUIC transport of `raft-net-quic`.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use raft_core::NodeId;
use raft_net_quic::{QuicConfig, QuicTransport, Security};
use tokio::runtime::Handle;

use super::{Inbound, Local, OpenTransport, Packet, SendOutcome, Transport};

/// Connects nodes by QUIC, with mutual TLS unless told otherwise.
#[derive(Debug)]
pub struct Quic {
    listen: SocketAddr,
    security: Security,
}

impl Quic {
    /// Listens at `listen`, for peers that prove who they are by `security`.
    #[must_use]
    pub const fn new(listen: SocketAddr, security: Security) -> Self {
        Self { listen, security }
    }
}

impl OpenTransport for Quic {
    fn open(
        self: Box<Self>,
        local: Local,
        inbound: Arc<dyn Inbound>,
        runtime: Handle,
    ) -> Result<Box<dyn Transport>, Box<dyn Error + Send + Sync>> {
        let Local { node, cluster, generation, genesis, peers } = local;
        let mut config = QuicConfig::new(node, cluster, generation, self.listen, self.security);
        config.genesis = genesis;
        Ok(Box::new(QuicTransport::bind(config, peers, runtime, inbound)?))
    }
}

impl Transport for QuicTransport {
    fn send(&self, to: NodeId, packet: Packet) -> SendOutcome {
        Self::send(self, to, packet)
    }

    fn update_peers(&self, peers: BTreeMap<NodeId, String>) {
        Self::update_peers(self, peers);
    }

    fn shutdown(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move { Self::shutdown(&self).await })
    }
}
