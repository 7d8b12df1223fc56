//! What can be wrong with an identity.

use std::path::PathBuf;

use raft_core::{ClusterId, NodeId};

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing or may not be read.
    #[error("cannot read {path}: {source}; create it with the cluster's certificate authority")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A text is not what it should be.
    #[error("the {what} is not valid PEM; expected {expected}")]
    Pem {
        /// Which of the three texts.
        what: &'static str,
        /// The sections it should have.
        expected: &'static str,
    },
    /// The private key is unusable.
    #[error("the private key cannot be used: {reason}")]
    Key {
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not belong together.
    #[error("the private key does not belong to the certificate; issue both together")]
    KeyMismatch,
    /// Not a certificate of a node.
    #[error("the certificate does not name a node of a cluster; issue one for node {node}")]
    NotANode {
        /// The node that needs one.
        node: NodeId,
    },
    /// The certificate of somebody else.
    #[error("the certificate is for node {found}, this is node {expected}; use its own")]
    OtherNode {
        /// This node.
        expected: NodeId,
        /// Whom the certificate is for.
        found: NodeId,
    },
    /// The certificate of a node of another cluster.
    #[error("the certificate is for cluster {found}, this is cluster {expected}")]
    OtherCluster {
        /// This cluster.
        expected: ClusterId,
        /// Which cluster the certificate is for.
        found: ClusterId,
    },
    /// Too late.
    #[error("the certificate has expired; issue a new one (or set this machine's clock)")]
    Expired,
    /// Too early.
    #[error("the certificate is not valid yet; is this machine's clock right?")]
    NotYetValid,
    /// Of another authority.
    #[error("the certificate was not issued by the authority in ca.pem; use files of one cluster")]
    OtherAuthority,
    /// Something else.
    #[error("the certificate cannot be used: {reason}")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
}
