//! Why a transport does not start.

use std::io;
use std::net::SocketAddr;

use raft_core::{ClusterId, NodeId};

use crate::tls::TlsError;

/// Why [`QuicTransport::bind`](crate::QuicTransport::bind) failed. Nothing runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process has the port.
    #[error("UDP port {address} is in use; stop the other process or choose another port")]
    AddressInUse {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address is not one of this machine's, or is forbidden.
    #[error("cannot receive at {address}: {source}")]
    Address {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate is for another cluster.
    #[error("the certificate is for cluster {certified}, the configuration says {configured}")]
    OtherCluster {
        /// Cluster of the certificate.
        certified: ClusterId,
        /// Cluster of the configuration.
        configured: ClusterId,
    },
    /// The certificate is for another node.
    #[error("the certificate is for node {certified}, the configuration says {configured}")]
    OtherNode {
        /// Node of the certificate.
        certified: NodeId,
        /// Node of the configuration.
        configured: NodeId,
    },
    /// The identity cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A setting is out of range.
    #[error("setting {setting} is out of range: {expected}")]
    Setting {
        /// Which.
        setting: &'static str,
        /// What it should be.
        expected: &'static str,
    },
}
