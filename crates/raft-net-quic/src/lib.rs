//! Raft over QUIC: one mutually authenticated connection per pair of nodes.
//!
//! ```
//! use std::sync::{Arc, mpsc};
//!
//! use raft_core::{Body, ClusterId, Heartbeat, LogIndex, Message, NodeId, ReadRound, Term};
//! use raft_net::{Inbound, Packet, PeerEvent};
//! use raft_net_quic::{ClusterCa, QuicConfig, QuicTransport, Security};
//! use tokio::runtime::Handle;
//!
//! struct Inbox(mpsc::Sender<Packet>, tokio::sync::Notify);
//!
//! impl Inbound for Inbox {
//!     fn on_packet(&self, _from: NodeId, packet: Packet) {
//!         self.0.send(packet).ok();
//!         self.1.notify_one();
//!     }
//!     fn on_event(&self, event: PeerEvent) {
//!         if matches!(event, PeerEvent::Up { .. }) {
//!             self.1.notify_one();
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = ClusterId::new([7; 16]);
//! let authority = ClusterCa::create(cluster)?;
//! let start = |node: NodeId, inbox: &Arc<Inbox>| -> Result<_, Box<dyn std::error::Error>> {
//!     let security = Security::MutualTls(authority.issue(node)?.identity()?);
//!     let config = QuicConfig::new(node, cluster, 1, "127.0.0.1:0".parse()?, security);
//!     Ok(QuicTransport::bind(config, [].into(), Handle::current(), Arc::clone(inbox) as _)?)
//! };
//! let (sender, received) = mpsc::channel();
//! let inbox = Arc::new(Inbox(sender, tokio::sync::Notify::new()));
//! let (one, two): (NodeId, NodeId) = ("1".parse()?, "2".parse()?);
//! let (first, second) = (start(one, &inbox)?, start(two, &inbox)?);
//! second.update_peers([(one, first.local_addr().to_string())].into());
//! first.update_peers([(two, second.local_addr().to_string())].into());
//! inbox.1.notified().await;
//!
//! let body = Body::Heartbeat(Heartbeat { commit: LogIndex::ZERO, round: ReadRound::new(1) });
//! let packet = Packet::Raft(Message { from: one, to: two, term: Term::new(1), body });
//! let arrived = loop {
//!     // A peer that is not connected yet is a peer that loses packets.
//!     let _outcome = first.send(two, packet.clone());
//!     inbox.1.notified().await;
//!     if let Ok(arrived) = received.try_recv() {
//!         break arrived;
//!     }
//! };
//! assert_eq!(arrived, packet);
//! first.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Connections
//!
//! The node with the lower id calls, the other takes over after a second. If calls cross, both
//! sides keep the same connection. Each lane has streams of its own, so that a backlog of entries
//! does not delay a heartbeat; see [`raft_net::Lane`].
//!
//! # Security
//!
//! TLS 1.3 with certificates on both sides, made by [`ClusterCa`] or any other authority that puts
//! the same names into them: the DNS name `n<id>.<cluster>.raft.internal` and the URI
//! `spiffe://<cluster>.raft/node/<id>`, for both server and client authentication. Sessions are not
//! resumed, since a resumed session is not checked against the certificate's validity again.
//!
//! # Logging
//!
//! Through `tracing`, once per change: `info` for connections that come and go, `warn` for what
//! somebody has to repair.

#![forbid(unsafe_code)]

mod accept;
mod config;
mod congestion;
mod dial;
mod error;
mod greet;
mod peer;
mod random;
mod restart;
mod session;
mod shared;
mod socket;
mod stats;
mod tls;
mod transport;
mod tuning;

pub use crate::config::{PathOptions, QuicConfig, Security, Timing};
pub use crate::error::BindError;
pub use crate::stats::{ConnectionStats, EndpointStats, PeerStats};
pub use crate::tls::{CaError, ClusterCa, NodeCertificate, TlsError, TlsIdentity};
pub use crate::transport::QuicTransport;

/// The cluster that an identity belongs to, as its certificate says.
#[must_use]
pub const fn cluster_of(identity: &TlsIdentity) -> raft_core::ClusterId {
    identity.cluster()
}
