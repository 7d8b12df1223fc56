//! What operators count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use raft_net::OutboxTally;

/// What has passed between this node and one peer, and how the connection does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PeerStats {
    /// The present connection, if there is one.
    pub connection: Option<ConnectionStats>,
    /// Connections so far.
    pub connections: u64,
    /// What became of packets to the peer.
    pub outbox: OutboxTally,
    /// Packets from the peer.
    pub received: u64,
}

/// How a connection does.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectionStats {
    /// Generation of the peer's run.
    pub generation: u64,
    /// Round-trip time, smoothed.
    pub rtt: Duration,
    /// Bytes that may be in flight.
    pub congestion_window: u64,
    /// Packets lost on the way.
    pub lost_packets: u64,
    /// Times that losses reduced the window.
    pub congestion_events: u64,
    /// Largest UDP payload in use.
    pub mtu: u16,
    /// Times that large packets vanished.
    pub black_holes: u64,
    /// UDP bytes sent.
    pub sent_bytes: u64,
    /// UDP bytes received.
    pub received_bytes: u64,
}

/// What strangers and broken peers did to this node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Connections, whatever their state.
    pub open_connections: usize,
    /// Calls that TLS did not let through.
    pub tls_failures: u64,
    /// Calls that the handshake refused, or that never began it.
    pub refusals: u64,
    /// Connections closed for what the peer sent.
    pub faults: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) tls_failures: Counter,
    pub(crate) refusals: Counter,
    pub(crate) faults: Counter,
}

impl Counters {
    pub(crate) fn snapshot(&self, open_connections: usize) -> EndpointStats {
        EndpointStats {
            open_connections,
            tls_failures: self.tls_failures.get(),
            refusals: self.refusals.get(),
            faults: self.faults.get(),
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl ConnectionStats {
    pub(crate) fn of(connection: &quinn::Connection, generation: u64) -> Self {
        let stats = connection.stats();
        Self {
            generation,
            rtt: stats.path.rtt,
            congestion_window: stats.path.cwnd,
            lost_packets: stats.path.lost_packets,
            congestion_events: stats.path.congestion_events,
            mtu: stats.path.current_mtu,
            black_holes: stats.path.black_holes_detected,
            sent_bytes: stats.udp_tx.bytes,
            received_bytes: stats.udp_rx.bytes,
        }
    }
}
