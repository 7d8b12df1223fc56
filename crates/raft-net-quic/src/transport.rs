//! The transport as its user sees it.
//!
//! Shutdown, in order:
//! 1. no packet is taken any more, and nobody is called;
//! 2. each connection is closed with a code, and its end is reported;
//! 3. the endpoint is closed and has told its peers;
//! 4. the tasks have ended and the port is free.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::{AsyncUdpSocket, Endpoint, Runtime as _, TokioRuntime};
use raft_core::NodeId;
use raft_net::{CloseCode, DropReason, Inbound, LocalNode, Packet, Run, SendOutcome};
use tokio::runtime::Handle;

use crate::config::{QuicConfig, Security};
use crate::error::BindError;
use crate::peer::{Peer, UNKNOWN};
use crate::random::random_u64;
use crate::restart::endpoint_config;
use crate::shared::{Shared, server_config};
use crate::stats::{EndpointStats, PeerStats};
use crate::tls::TlsConfigs;
use crate::tuning::Tuning;
use crate::{accept, dial, socket};

/// Sends packets to peers, and receives theirs, over one UDP port.
///
/// Dropping it closes all connections; [`QuicTransport::shutdown`] waits until that is done.
#[derive(Debug)]
pub struct QuicTransport {
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    socket: Weak<dyn AsyncUdpSocket>,
}

impl QuicTransport {
    /// Opens the port and begins to connect to `peers`, which are given as `host:port`.
    ///
    /// All tasks are spawned on `runtime`, which need not be the caller's. What arrives is handed
    /// to `inbound` from these tasks.
    ///
    /// # Errors
    ///
    /// If the port cannot be opened, or the configuration contradicts itself.
    pub fn bind(
        config: QuicConfig,
        peers: BTreeMap<NodeId, String>,
        runtime: Handle,
        inbound: Arc<dyn Inbound>,
    ) -> Result<Self, BindError> {
        let tls = tls_configs(&config)?;
        let tuning = Tuning::new(&config.path, &config.timing)?;
        let cannot = |source| BindError::Address { address: config.listen, source };
        let udp = socket::open(config.listen)?;
        let local_addr = udp.local_addr().map_err(cannot)?;

        let _guard = runtime.enter();
        let socket = TokioRuntime.wrap_udp_socket(udp).map_err(cannot)?;
        let weak = Arc::downgrade(&socket);
        let endpoint = Endpoint::new_with_abstract_socket(
            endpoint_config(&config),
            Some(server_config(&tls, &tuning, local_addr)),
            socket,
            Arc::new(TokioRuntime),
        )
        .map_err(cannot)?;
        let local = local_node(&config);
        let calls = endpoint.clone();
        let shared = Arc::new(Shared::new(config, local, tls, tuning, endpoint, runtime, inbound));
        drop(shared.runtime().spawn(accept::run(Arc::clone(&shared), calls)));
        let transport = Self { shared, local_addr, socket: weak };
        transport.update_peers(peers);
        Ok(transport)
    }

    /// Queues `packet` for `to`. Never blocks: a peer that cannot take it is as good as a network
    /// that loses it.
    pub fn send(&self, to: NodeId, packet: Packet) -> SendOutcome {
        if self.shared.is_stopped() {
            return SendOutcome::Dropped(DropReason::Shutdown);
        }
        let now = self.shared.now();
        self.shared.with_members(|members| match members.peers.get(&to) {
            Some(peer) => peer.send(packet, now),
            None => UNKNOWN,
        })
    }

    /// Changes the set of peers, or their addresses.
    ///
    /// Connections with nodes that are no longer in it are closed, and those nodes told that they
    /// were removed, when they call as well. This node's own id is passed over.
    pub fn update_peers(&self, mut peers: BTreeMap<NodeId, String>) {
        if self.shared.is_stopped() {
            return;
        }
        peers.remove(&self.shared.local().node);
        let outbox = self.shared.config().outbox;
        let (added, gone) = self.shared.with_members_mut(|members| {
            let gone: Vec<_> =
                members.peers.extract_if(.., |id, _| !peers.contains_key(id)).collect();
            members.removed.extend(gone.iter().map(|(id, _)| *id));
            let mut added = Vec::new();
            for (id, address) in peers {
                members.removed.remove(&id);
                match members.peers.get(&id) {
                    Some(peer) => peer.set_address(address),
                    None => {
                        let peer = Arc::new(Peer::new(id, address, outbox));
                        members.peers.insert(id, Arc::clone(&peer));
                        added.push(peer);
                    }
                }
            }
            (added, gone)
        });
        for (_, peer) in gone {
            peer.leave(CloseCode::Removed);
        }
        for peer in added {
            let task = dial::supervise(Arc::clone(&self.shared), Arc::clone(&peer));
            peer.set_supervisor(self.shared.runtime().spawn(task).abort_handle());
        }
    }

    /// The address at which peers reach this node, as far as it knows.
    #[must_use]
    pub const fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What has passed between this node and its peers.
    #[must_use]
    pub fn stats(&self) -> BTreeMap<NodeId, PeerStats> {
        self.shared.with_members(|members| {
            members.peers.iter().map(|(id, peer)| (*id, peer.stats())).collect()
        })
    }

    /// What strangers and broken peers did to this node.
    #[must_use]
    pub fn endpoint_stats(&self) -> EndpointStats {
        let open = self.shared.endpoint().map_or(0, |endpoint| endpoint.open_connections());
        self.shared.counters().snapshot(open)
    }

    /// Closes all connections, and waits until peers have been told and the port is free.
    ///
    /// May be called from any tokio runtime that has a clock, and more than once. Cancel safe: what
    /// was begun goes on.
    pub async fn shutdown(&self) {
        self.shared.stop();
        if let Some(endpoint) = self.shared.take_endpoint() {
            endpoint.wait_idle().await;
        }
        // The tasks that hold the socket are on their way out.
        const STEP: Duration = Duration::from_millis(1);
        for _ in 0..1000 {
            if self.socket.strong_count() == 0 {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        tracing::warn!(address = %self.local_addr, "the UDP port is still in use after shutdown");
    }
}

impl Drop for QuicTransport {
    fn drop(&mut self) {
        self.shared.stop();
        drop(self.shared.take_endpoint());
    }
}

fn tls_configs(config: &QuicConfig) -> Result<TlsConfigs, BindError> {
    match &config.security {
        Security::MutualTls(identity) => {
            let (certified, configured) = (identity.cluster(), config.cluster);
            if certified != configured {
                return Err(BindError::OtherCluster { certified, configured });
            }
            let (certified, configured) = (identity.node(), config.node);
            if certified != configured {
                return Err(BindError::OtherNode { certified, configured });
            }
            Ok(TlsConfigs::mutual(identity)?)
        }
        Security::Insecure => {
            tracing::warn!(
                node = %config.node,
                "peers are not authenticated: whoever reaches the port can be any node"
            );
            Ok(TlsConfigs::insecure()?)
        }
    }
}

fn local_node(config: &QuicConfig) -> LocalNode {
    LocalNode {
        node: config.node,
        cluster: config.cluster,
        run: Run { generation: config.generation, instance: random_u64() },
        genesis: config.genesis,
        limits: config.limits,
    }
}
