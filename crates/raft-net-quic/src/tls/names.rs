//! The names in a certificate.
//!
//! A node's certificate has two: the DNS name that a dialler asks for, so that TLS itself binds the
//! id that is dialled to the certificate; and a SPIFFE URI, from which an acceptor reads who calls.
//!
//! ```text
//! DNS  n<node id>.<cluster id>.raft.internal
//! URI  spiffe://<cluster id>.raft/node/<node id>
//! ```

use raft_core::{ClusterId, NodeId};
use rustls_pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Whom a certificate is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Identity {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
}

/// The DNS name in the certificate of a node.
pub(crate) fn server_name(cluster: ClusterId, node: NodeId) -> String {
    format!("n{node}.{}", dns_domain(cluster))
}

/// The DNS domain of all nodes of a cluster.
pub(super) fn dns_domain(cluster: ClusterId) -> String {
    format!("{cluster}.raft.internal")
}

/// The URI in the certificate of a node.
pub(super) fn node_uri(cluster: ClusterId, node: NodeId) -> String {
    format!("{}/node/{node}", cluster_uri(cluster))
}

/// The URI in the certificate of a cluster's authority.
pub(super) fn cluster_uri(cluster: ClusterId) -> String {
    format!("spiffe://{cluster}.raft")
}

/// Reads whom a certificate is for; `None` unless it says so exactly once.
pub(crate) fn identity_of(certificate: &CertificateDer<'_>) -> Option<Identity> {
    parse_node_uri(&only_uri(certificate)?)
}

/// Reads which cluster a certificate is the authority of.
pub(super) fn authority_of(certificate: &CertificateDer<'_>) -> Option<ClusterId> {
    only_uri(certificate)?.strip_prefix("spiffe://")?.strip_suffix(".raft")?.parse().ok()
}

fn only_uri(certificate: &CertificateDer<'_>) -> Option<String> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    let mut uris = certificate.valid_uri_names();
    let uri = uris.next()?.to_owned();
    uris.next().is_none().then_some(uri)
}

fn parse_node_uri(uri: &str) -> Option<Identity> {
    let (cluster, node) = uri.strip_prefix("spiffe://")?.split_once(".raft/node/")?;
    let identity = Identity { cluster: cluster.parse().ok()?, node: node.parse().ok()? };
    // One spelling only: "07" and "+7" parse as well.
    (uri == node_uri(identity.cluster, identity.node)).then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_of_a_node_reads_back_and_has_one_spelling() {
        let identity = Identity { cluster: ClusterId::new([0xab; 16]), node: "7".parse().unwrap() };
        let uri = node_uri(identity.cluster, identity.node);

        assert_eq!(parse_node_uri(&uri), Some(identity));
        assert_eq!(parse_node_uri(&uri.replace("node/7", "node/07")), None);
        assert_eq!(parse_node_uri(&uri.replace("node/7", "node/0")), None);
        assert_eq!(parse_node_uri(&uri.replace("ab", "AB")), None);
        assert_eq!(parse_node_uri(&uri.replace("spiffe", "https")), None);
    }
}
