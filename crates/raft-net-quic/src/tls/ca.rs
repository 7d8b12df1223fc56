//! A certificate authority for one cluster, for those who have no other.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use raft_core::{ClusterId, NodeId};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::error::TlsError;
use super::identity::TlsIdentity;
use super::names::{authority_of, cluster_uri, dns_domain, node_uri, server_name};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a node's certificate is valid unless asked otherwise.
const NODE_VALIDITY: Duration = DAY.saturating_mul(90);
const AUTHORITY_VALIDITY: Duration = DAY.saturating_mul(3650);

/// How far the clocks of two machines may differ when a certificate is new.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);

/// A certificate authority for one cluster. It signs certificates for that cluster's nodes only.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use raft_core::ClusterId;
/// use raft_net_quic::{ClusterCa, TlsIdentity};
///
/// let dir = tempfile::tempdir()?;
/// let authority = ClusterCa::create(ClusterId::new([7; 16]))?;
/// authority.save(dir.path())?;
/// authority.issue("1".parse()?)?.save(dir.path())?;
///
/// let identity = TlsIdentity::from_dir(dir.path(), "1".parse()?)?;
/// assert_eq!(identity.cluster(), authority.cluster());
/// # Ok(())
/// # }
/// ```
pub struct ClusterCa {
    cluster: ClusterId,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A node's certificate and key, as PEM.
#[derive(Clone)]
pub struct NodeCertificate {
    node: NodeId,
    authority: String,
    certificate: String,
    key: String,
}

/// Why an authority cannot do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// A key or certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not the certificate of an authority for one cluster.
    #[error("ca.pem is not the certificate of a cluster's authority; create a new one")]
    NotAnAuthority,
}

impl ClusterCa {
    /// Makes a new authority.
    ///
    /// # Errors
    ///
    /// If the system has no randomness to give.
    pub fn create(cluster: ClusterId) -> Result<Self, CaError> {
        let key = KeyPair::generate()?;
        let params = authority_params(cluster)?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { cluster, certificate, issuer: Issuer::new(params, key) })
    }

    /// Reads what [`ClusterCa::save`] wrote.
    ///
    /// # Errors
    ///
    /// If the files cannot be read, or are not those of an authority.
    pub fn load(dir: impl AsRef<Path>) -> Result<Self, CaError> {
        let certificate = read(dir.as_ref().join("ca.pem"))?;
        let key = KeyPair::from_pem(&read(dir.as_ref().join("ca.key"))?)?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| CaError::NotAnAuthority)?;
        let cluster = authority_of(&der).ok_or(CaError::NotAnAuthority)?;
        // The names that an issuer signs with follow from the cluster alone.
        let issuer = Issuer::new(authority_params(cluster)?, key);
        Ok(Self { cluster, certificate, issuer })
    }

    /// Writes `ca.pem` and `ca.key` to `dir`. The key can make anyone a member: keep it elsewhere
    /// than on the nodes.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), CaError> {
        write(dir.as_ref().join("ca.pem"), &self.certificate, Mode::Public)?;
        write(dir.as_ref().join("ca.key"), &self.issuer.key().serialize_pem(), Mode::Private)
    }

    /// The cluster.
    #[must_use]
    pub const fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The authority's certificate, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// Makes a key and a certificate for `node`, valid for ninety days.
    ///
    /// # Errors
    ///
    /// If the system has no randomness to give.
    pub fn issue(&self, node: NodeId) -> Result<NodeCertificate, CaError> {
        let now = SystemTime::now();
        self.issue_between(node, now - CLOCK_SKEW, now + NODE_VALIDITY)
    }

    /// Makes a key and a certificate for `node`, valid from `first` to `last`.
    ///
    /// # Errors
    ///
    /// If the system has no randomness to give.
    pub fn issue_between(
        &self,
        node: NodeId,
        first: SystemTime,
        last: SystemTime,
    ) -> Result<NodeCertificate, CaError> {
        let key = KeyPair::generate()?;
        let mut params = node_params(self.cluster, node)?;
        params.not_before = date(first);
        params.not_after = date(last);
        let certificate: Certificate = params.signed_by(&key, &self.issuer)?;
        Ok(NodeCertificate {
            node,
            authority: self.certificate.clone(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

impl NodeCertificate {
    /// Writes `ca.pem`, `node-<id>.pem` and `node-<id>.key` to `dir`.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<(), CaError> {
        let dir = dir.as_ref();
        write(dir.join("ca.pem"), &self.authority, Mode::Public)?;
        write(dir.join(format!("node-{}.pem", self.node)), &self.certificate, Mode::Public)?;
        write(dir.join(format!("node-{}.key", self.node)), &self.key, Mode::Private)
    }

    /// The identity, without a detour by files.
    ///
    /// # Errors
    ///
    /// If the certificate is not valid at present.
    pub fn identity(&self) -> Result<TlsIdentity, TlsError> {
        let Self { authority, certificate, key, node } = self;
        TlsIdentity::from_pem(authority.as_bytes(), certificate.as_bytes(), key.as_bytes(), *node)
    }

    /// The certificate, as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The private key, as PEM.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key
    }
}

impl std::fmt::Debug for ClusterCa {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterCa").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NodeCertificate {
    /// Leaves the key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeCertificate").field("node", &self.node).finish_non_exhaustive()
    }
}

fn authority_params(cluster: ClusterId) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(format!("Raft cluster {cluster}"));
    params.subject_alt_names = vec![SanType::URI(cluster_uri(cluster).try_into()?)];
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(dns_domain(cluster))],
        excluded_subtrees: Vec::new(),
    });
    let now = SystemTime::now();
    params.not_before = date(now - CLOCK_SKEW);
    params.not_after = date(now + AUTHORITY_VALIDITY);
    Ok(params)
}

fn node_params(cluster: ClusterId, node: NodeId) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(format!("Raft node {node}"));
    params.subject_alt_names = vec![
        SanType::DnsName(server_name(cluster, node).try_into()?),
        SanType::URI(node_uri(cluster, node).try_into()?),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn common_name(name: String) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn date(time: SystemTime) -> time::OffsetDateTime {
    time.into()
}

fn read(path: PathBuf) -> Result<String, CaError> {
    fs::read_to_string(&path).map_err(|source| CaError::Read { path, source })
}

#[derive(Clone, Copy)]
enum Mode {
    Public,
    Private,
}

fn write(path: PathBuf, text: &str, mode: Mode) -> Result<(), CaError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    restrict(&mut options, mode);
    let write = || -> io::Result<()> {
        if matches!(mode, Mode::Private) {
            // The mode counts for new files only.
            remove_if_present(&path)?;
        }
        options.open(&path)?.write_all(text.as_bytes())
    };
    write().map_err(|source| CaError::Write { path: path.clone(), source })
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(unix)]
fn restrict(options: &mut fs::OpenOptions, mode: Mode) {
    use std::os::unix::fs::OpenOptionsExt as _;

    options.mode(match mode {
        Mode::Public => 0o644,
        Mode::Private => 0o600,
    });
}

#[cfg(not(unix))]
const fn restrict(_: &mut fs::OpenOptions, _: Mode) {}
