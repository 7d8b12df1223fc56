//! What a transport needs to know.

use std::net::SocketAddr;
use std::time::Duration;

use raft_core::{ClusterId, GroupId, NodeId};
use raft_net::{BackoffSchedule, FrameLimits, OutboxLimits};

use crate::tls::TlsIdentity;

/// What a [`QuicTransport`](crate::QuicTransport) needs to know.
#[derive(Clone, Debug)]
pub struct QuicConfig {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The Raft group that runs here.
    pub group: GroupId,
    /// Which of the node's runs this is: to be kept on disk, and to grow with every start. Peers
    /// refuse a run once they have seen a later one.
    pub generation: u64,
    /// Digest of the membership that the cluster was created with, if known. Two nodes that know
    /// different ones do not talk.
    pub genesis: Option<u64>,
    /// Address to receive at. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// How nodes prove who they are.
    pub security: Security,
    /// Bounds on frames that this node takes.
    pub limits: FrameLimits,
    /// Bounds on what waits for one peer.
    pub outbox: OutboxLimits,
    /// Delays between attempts to connect.
    pub backoff: BackoffSchedule,
    /// Delays of a connection's life.
    pub timing: Timing,
    /// How packets travel.
    pub path: PathOptions,
}

/// How nodes prove who they are.
#[derive(Clone, Debug)]
pub enum Security {
    /// By certificates: each side checks that of the other.
    MutualTls(TlsIdentity),
    /// Not at all: whoever reaches the port can be any node. For development only.
    Insecure,
}

/// Delays of a connection's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Timing {
    /// Longest wait for a handshake.
    pub handshake_timeout: Duration,
    /// How long the node with the higher id waits to be called before it calls.
    pub fallback_after: Duration,
    /// Silence after which a connection counts as lost.
    pub idle_timeout: Duration,
    /// Interval of packets that keep an idle connection open.
    pub keep_alive: Duration,
    /// Round-trip time to assume before it is measured.
    pub rtt_hint: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(3),
            fallback_after: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(2),
            rtt_hint: Duration::from_millis(50),
        }
    }
}

/// How packets travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PathOptions {
    /// Largest UDP payload to try on a network; 1452 fits Ethernet. Larger ones are probed first.
    pub mtu_max: u16,
    /// The same on loopback, where larger ones halve the cost per byte.
    pub loopback_mtu_max: u16,
    /// Whether the kernel cuts large writes into packets. Turn off if a network driver loses them.
    pub segmentation_offload: bool,
    /// Congestion window that losses do not reduce any further, in bytes. Random loss would
    /// otherwise stall a link that nobody else uses; 0 on paths shared with strangers.
    pub congestion_window_floor: u64,
}

impl Default for PathOptions {
    fn default() -> Self {
        Self {
            mtu_max: 1452,
            loopback_mtu_max: 6400,
            segmentation_offload: true,
            congestion_window_floor: 128 * 1024,
        }
    }
}

impl QuicConfig {
    /// Starts from what has no default. The group is [`GroupId::FIRST`].
    #[must_use]
    pub fn new(
        node: NodeId,
        cluster: ClusterId,
        generation: u64,
        listen: SocketAddr,
        security: Security,
    ) -> Self {
        Self {
            node,
            cluster,
            group: GroupId::FIRST,
            generation,
            genesis: None,
            listen,
            security,
            limits: FrameLimits::default(),
            outbox: OutboxLimits::default(),
            backoff: BackoffSchedule::default(),
            timing: Timing::default(),
            path: PathOptions::default(),
        }
    }
}
