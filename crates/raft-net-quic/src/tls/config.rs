//! TLS as rustls is to speak it: 1.3, both sides authenticated, nothing resumed.

use std::sync::Arc;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::error::TlsError;
use super::identity::TlsIdentity;
use super::insecure::AcceptAny;

/// The wire revision. A peer that speaks no common one is refused by TLS.
const ALPN: &[u8] = b"raft/1";

/// Both roles of a node, which uses one certificate for them.
pub(crate) struct TlsConfigs {
    pub(crate) client: Arc<dyn quinn::crypto::ClientConfig>,
    pub(crate) server: Arc<dyn quinn::crypto::ServerConfig>,
}

impl TlsConfigs {
    /// Either side proves who it is, or there is no connection.
    pub(crate) fn mutual(identity: &TlsIdentity) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(trusted(&identity.authorities)?);
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
                .build()
                .map_err(unusable)?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(unusable)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
            .map_err(unusable)?;
        Self::new(client, server)
    }

    /// Encrypted, but anyone may be anyone.
    pub(crate) fn insecure() -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let (certificate, key) = ephemeral()?;
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(unusable)?;
        let client = insecure_client(provider)?;
        Self::new(client, server)
    }

    fn new(mut client: ClientConfig, mut server: ServerConfig) -> Result<Self, TlsError> {
        server.alpn_protocols = vec![ALPN.to_vec()];
        client.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session is not checked against the certificate's validity again.
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        client.resumption = Resumption::disabled();
        client.enable_early_data = false;
        Ok(Self {
            client: Arc::new(QuicClientConfig::try_from(client).map_err(unusable)?),
            server: Arc::new(QuicServerConfig::try_from(server).map_err(unusable)?),
        })
    }
}

fn insecure_client(provider: Arc<CryptoProvider>) -> Result<ClientConfig, TlsError> {
    let verifier = Arc::new(AcceptAny(Arc::clone(&provider)));
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

fn trusted(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(unusable)?;
    }
    Ok(roots)
}

fn ephemeral() -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), TlsError> {
    let made = rcgen::generate_simple_self_signed(["raft.invalid".to_owned()]).map_err(unusable)?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(unusable)?;
    Ok((made.cert.der().clone(), key))
}

fn unusable(error: impl ToString) -> TlsError {
    TlsError::Unusable { reason: error.to_string() }
}
