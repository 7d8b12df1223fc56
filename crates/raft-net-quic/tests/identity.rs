//! Files of certificates, and what is said when they are wrong.

use std::path::Path;
use std::time::{Duration, SystemTime};

use raft_core::{ClusterId, NodeId};
use raft_net_quic::{CaError, ClusterCa, TlsError, TlsIdentity, cluster_of};

const CLUSTER: ClusterId = ClusterId::new([0xC1; 16]);
const HOUR: Duration = Duration::from_secs(60 * 60);

fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("tests use ids above zero")
}

fn authority() -> ClusterCa {
    ClusterCa::create(CLUSTER).expect("keys can be made")
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("there is room")
}

fn rename(dir: &Path, from: &str, to: &str) {
    std::fs::rename(dir.join(from), dir.join(to)).expect("the file is there");
}

#[test]
fn identity_is_read_from_files() {
    let dir = dir();
    authority().issue(id(3)).unwrap().save(&dir).unwrap();

    let identity = TlsIdentity::from_dir(&dir, id(3)).unwrap();

    assert_eq!(identity.node(), id(3));
    assert_eq!(cluster_of(&identity), CLUSTER);
}

#[test]
fn authority_issues_after_it_was_saved_and_loaded() {
    let dir = dir();
    authority().save(&dir).unwrap();

    let loaded = ClusterCa::load(&dir).unwrap();
    loaded.issue(id(4)).unwrap().save(&dir).unwrap();

    assert_eq!(loaded.cluster(), CLUSTER);
    assert!(TlsIdentity::from_dir(&dir, id(4)).is_ok());
}

#[cfg(unix)]
#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let dir = dir();
    // Even if somebody prepared a file that all can read.
    std::fs::write(dir.path().join("node-1.key"), "").unwrap();
    let authority = authority();
    authority.save(&dir).unwrap();
    authority.issue(id(1)).unwrap().save(&dir).unwrap();

    for key in ["ca.key", "node-1.key"] {
        let mode = std::fs::metadata(dir.path().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
}

#[test]
fn keys_are_not_printed() {
    let certificate = authority().issue(id(1)).unwrap();
    let shown = format!("{certificate:?} {:?} {:?}", certificate.identity(), authority());

    assert!(!shown.contains("PRIVATE") && !shown.contains("key:"), "{shown}");
}

#[test]
fn missing_file_is_named() {
    let error = TlsIdentity::from_dir(dir(), id(3)).unwrap_err();

    assert!(matches!(&error, TlsError::Read { path, .. } if path.ends_with("ca.pem")));
}

#[test]
fn certificate_of_another_node_is_refused() {
    let dir = dir();
    authority().issue(id(3)).unwrap().save(&dir).unwrap();
    rename(dir.path(), "node-3.pem", "node-4.pem");
    rename(dir.path(), "node-3.key", "node-4.key");

    let error = TlsIdentity::from_dir(&dir, id(4)).unwrap_err();

    assert!(matches!(error, TlsError::OtherNode { expected, found }
        if expected == id(4) && found == id(3)));
    assert_eq!(error.to_string(), "the certificate is for node 3, this is node 4; use its own");
}

#[test]
fn key_of_another_certificate_is_refused() {
    let authority = authority();
    let (one, other) = (authority.issue(id(1)).unwrap(), authority.issue(id(1)).unwrap());

    let error = TlsIdentity::from_pem(
        authority.certificate_pem().as_bytes(),
        one.certificate_pem().as_bytes(),
        other.key_pem().as_bytes(),
        id(1),
    );

    assert!(matches!(error, Err(TlsError::KeyMismatch)));
}

#[test]
fn expired_and_early_certificates_are_told_apart() {
    let now = SystemTime::now();
    let issue = |first, last| authority().issue_between(id(1), first, last).unwrap().identity();

    assert!(matches!(issue(now - 2 * HOUR, now - HOUR), Err(TlsError::Expired)));
    assert!(matches!(issue(now + HOUR, now + 2 * HOUR), Err(TlsError::NotYetValid)));
    assert!(issue(now - HOUR, now + HOUR).is_ok());
}

#[test]
fn certificate_of_another_authority_is_refused() {
    let dir = dir();
    authority().issue(id(1)).unwrap().save(&dir).unwrap();
    authority().save(&dir).unwrap();

    assert!(matches!(TlsIdentity::from_dir(&dir, id(1)), Err(TlsError::OtherAuthority)));
}

#[test]
fn certificate_that_names_no_node_is_refused() {
    let authority = authority();
    let key = authority.issue(id(1)).unwrap();
    let ca = authority.certificate_pem().as_bytes();

    let error = TlsIdentity::from_pem(ca, ca, key.key_pem().as_bytes(), id(1));

    assert!(matches!(error, Err(TlsError::NotANode { .. })));
}

#[test]
fn texts_that_are_no_pem_are_refused() {
    let authority = authority();
    let node = authority.issue(id(1)).unwrap();
    let ca = authority.certificate_pem().as_bytes();
    let (certificate, key) = (node.certificate_pem().as_bytes(), node.key_pem().as_bytes());

    for (ca, certificate, key) in
        [(&b"x"[..], certificate, key), (ca, &b""[..], key), (ca, certificate, &b"x"[..])]
    {
        let error = TlsIdentity::from_pem(ca, certificate, key, id(1));
        assert!(matches!(error, Err(TlsError::Pem { .. })), "{error:?}");
    }
}

#[test]
fn certificate_of_a_node_is_no_authority() {
    let dir = dir();
    let authority = authority();
    authority.save(&dir).unwrap();
    let node = authority.issue(id(1)).unwrap();
    std::fs::write(dir.path().join("ca.pem"), node.certificate_pem()).unwrap();

    assert!(matches!(ClusterCa::load(&dir), Err(CaError::NotAnAuthority)));
}
