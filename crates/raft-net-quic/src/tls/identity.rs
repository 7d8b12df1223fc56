//! A node's certificate, its key, and the authority that it trusts.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use raft_core::{ClusterId, NodeId};
use rustls::crypto::ring;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use super::error::TlsError;
use super::names::{Identity, identity_of, server_name};

/// A node's certificate, its key, and the authorities that it trusts. Checked when made.
#[derive(Clone)]
pub struct TlsIdentity {
    identity: Identity,
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<PrivateKeyDer<'static>>,
}

impl TlsIdentity {
    /// Reads `ca.pem`, `node-<id>.pem` and `node-<id>.key` in `dir`.
    ///
    /// # Errors
    ///
    /// If a file is missing, or the certificate is not one that this node can use at present.
    pub fn from_dir(dir: impl AsRef<Path>, node: NodeId) -> Result<Self, TlsError> {
        let read = |name: String| {
            let path = dir.as_ref().join(name);
            std::fs::read(&path).map_err(|source| TlsError::Read { path, source })
        };
        let authorities = read("ca.pem".to_owned())?;
        let chain = read(format!("node-{node}.pem"))?;
        let key = read(format!("node-{node}.key"))?;
        Self::from_pem(&authorities, &chain, &key, node)
    }

    /// Takes the authorities' certificates, the node's certificate chain, and its private key.
    ///
    /// # Errors
    ///
    /// If the certificate is not one that this node can use at present.
    pub fn from_pem(
        authorities: &[u8],
        chain: &[u8],
        key: &[u8],
        node: NodeId,
    ) -> Result<Self, TlsError> {
        let authorities = certificates(authorities, "authority's certificate")?;
        let chain = certificates(chain, "node's certificate")?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Pem {
            what: "private key",
            expected: "one PRIVATE KEY section",
        })?;
        let leaf = chain.first().ok_or(TlsError::NotANode { node })?;
        let identity = check_subject(leaf, node)?;
        check_key(&chain, &key)?;
        check_validity(&authorities, &chain)?;
        Ok(Self { identity, authorities, chain, key: Arc::new(key) })
    }

    /// The node that the certificate is for.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.identity.node
    }

    /// The private key's bytes, to derive other keys from.
    pub(crate) fn secret(&self) -> &[u8] {
        self.key.secret_der()
    }

    /// The cluster that the certificate is for.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.identity.cluster
    }
}

impl fmt::Debug for TlsIdentity {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIdentity").field("identity", &self.identity).finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()
        .filter(|certificates: &Vec<_>| !certificates.is_empty())
        .ok_or(TlsError::Pem { what, expected: "one or more CERTIFICATE sections" })?;
    Ok(certificates)
}

fn check_subject(leaf: &CertificateDer<'_>, node: NodeId) -> Result<Identity, TlsError> {
    let identity = identity_of(leaf).ok_or(TlsError::NotANode { node })?;
    if identity.node != node {
        return Err(TlsError::OtherNode { expected: node, found: identity.node });
    }
    // Diallers check this name, and would refuse a certificate without it.
    let name = ServerName::try_from(server_name(identity.cluster, node))
        .map_err(|_| TlsError::NotANode { node })?;
    EndEntityCert::try_from(leaf)
        .and_then(|leaf| leaf.verify_is_valid_for_subject_name(&name))
        .map_err(|_| TlsError::NotANode { node })?;
    Ok(identity)
}

fn check_key(
    chain: &[CertificateDer<'static>],
    key: &PrivateKeyDer<'static>,
) -> Result<(), TlsError> {
    match CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &ring::default_provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::KeyMismatch),
        Err(error) => Err(TlsError::Key { reason: error.to_string() }),
    }
}

/// Checks the chain as a peer will, in both roles.
fn check_validity(
    authorities: &[CertificateDer<'_>],
    chain: &[CertificateDer<'_>],
) -> Result<(), TlsError> {
    let unusable = |error: webpki::Error| TlsError::Unusable { reason: error.to_string() };
    let anchors = authorities
        .iter()
        .map(anchor_from_trusted_cert)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable)?;
    let (leaf, intermediates) = chain
        .split_first()
        .ok_or_else(|| TlsError::Unusable { reason: "the chain is empty".to_owned() })?;
    let leaf = EndEntityCert::try_from(leaf).map_err(unusable)?;
    let since_epoch = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| TlsError::NotYetValid)?;
    let now = UnixTime::since_unix_epoch(since_epoch);
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    for usage in [KeyUsage::server_auth(), KeyUsage::client_auth()] {
        leaf.verify_for_usage(algorithms, &anchors, intermediates, now, usage, None, None)
            .map_err(validity_error)?;
    }
    Ok(())
}

fn validity_error(error: webpki::Error) -> TlsError {
    if matches!(error, webpki::Error::CertExpired { .. }) {
        TlsError::Expired
    } else if matches!(error, webpki::Error::CertNotValidYet { .. }) {
        TlsError::NotYetValid
    } else if matches!(
        error,
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey
    ) {
        TlsError::OtherAuthority
    } else {
        TlsError::Unusable { reason: error.to_string() }
    }
}
