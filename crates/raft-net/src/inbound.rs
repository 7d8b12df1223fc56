//! What a transport reports.

use std::net::SocketAddr;

use raft_core::NodeId;

use crate::close::CloseCode;
use crate::packet::{Lane, Packet};

/// Receives what a transport has to report.
///
/// Called from the transport's tasks: must return at once, so it queues and decides elsewhere. It
/// may send packets, but neither change the transport's peers nor shut it down.
pub trait Inbound: Send + Sync + 'static {
    /// A packet arrived from an authenticated peer.
    fn on_packet(&self, from: NodeId, packet: Packet);

    /// Something happened to the connection with a peer.
    fn on_event(&self, event: PeerEvent);
}

/// What happened to the connection with a peer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PeerEvent {
    /// The peer can be reached, and is who it should be.
    Up {
        /// The peer.
        peer: NodeId,
        /// Its run; see [`Run::generation`](crate::Run).
        generation: u64,
    },
    /// The peer can no longer be reached. What was sent last may or may not have arrived.
    Down {
        /// The peer.
        peer: NodeId,
        /// How the connection ended.
        why: DownReason,
    },
    /// The two nodes will not talk. Reported once, until the reason changes or they do.
    Rejected {
        /// The peer.
        peer: NodeId,
        /// Who refuses, and why.
        reason: RejectReason,
    },
    /// A node of the cluster that is no peer has called, and was turned away. It will call again, and is
    /// taken if it is a peer by then.
    ///
    /// Who was a peer and no longer is, is no stranger.
    Stranger {
        /// Who it is, by its certificate if there are any.
        id: NodeId,
        /// Where it called from, which is where it listens, unless an address is translated between.
        address: SocketAddr,
    },
    /// Packets that had been queued were discarded.
    Dropped {
        /// The peer they were for.
        peer: NodeId,
        /// The lane they were on.
        lane: Lane,
        /// How many.
        packets: usize,
    },
}

/// How a connection ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DownReason {
    /// This node closed it.
    #[error("closed here: {0}")]
    Closed(CloseCode),
    /// The peer closed it.
    #[error("closed by the peer: {0}")]
    ClosedByPeer(CloseCode),
    /// It broke, or the peer fell silent.
    #[error("lost: {0}")]
    Lost(String),
}

/// Who refuses a connection, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RejectReason {
    /// This node refuses the peer.
    #[error("refused here: {0}")]
    Refused(CloseCode),
    /// The peer refuses this node.
    #[error("refused by the peer: {0}")]
    RefusedByPeer(CloseCode),
    /// The certificates do not fit.
    #[error("certificate trouble: {0}")]
    Certificate(String),
}

/// What became of a packet that was to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "a dropped packet will not arrive"]
pub enum SendOutcome {
    /// It will leave soon. Whether it arrives, nobody knows.
    Queued,
    /// As `Queued`; it took the place of an older packet that it makes superfluous.
    Replaced,
    /// It will not leave.
    Dropped(DropReason),
}

/// Why a packet was not queued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DropReason {
    /// The transport does not know the addressee.
    #[error("the addressee is not a known peer")]
    NotAMember,
    /// No connection.
    #[error("the peer cannot be reached at present")]
    NotConnected,
    /// The peer takes packets more slowly than they come.
    #[error("the queue to the peer is full")]
    LaneFull,
    /// More than a frame may carry.
    #[error("the packet is larger than the peer allows")]
    TooLarge,
    /// The transport was shut down.
    #[error("the transport is shut down")]
    Shutdown,
}
