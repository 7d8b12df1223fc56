//! Attacks and mistakes: what each must lead to.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use quinn::crypto::rustls::QuicServerConfig;
use raft_core::{ClusterId, GroupId};
use raft_net::frame::Prelude;
use raft_net::{CloseCode, FrameKind, FrameWriter, Integrity, LocalNode, RejectReason};
use raft_net_quic::{ClusterCa, NodeCertificate};

use crate::common::{
    self, Attacker, CLUSTER, Node, Pki, alert_of, append, close_code, code_of, eventually, id,
    insecure, local, loopback, patiently,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// Node 2, which knows node 1 and nothing of where it is.
fn victim(pki: &Pki) -> Node {
    let mut config = pki.config(2);
    config.timing.fallback_after = HOUR;
    let victim = Node::start(config);
    victim.knows_at(1, "127.0.0.1:9");
    victim
}

/// Nothing was delivered, and an honest peer is served.
async fn assert_unharmed(pki: &Pki, mut victim: Node) {
    assert_eq!(victim.packets_so_far(), []);
    // As after a start that the intruder has not seen.
    let mut config = pki.config(1);
    config.generation = 2;
    let mut honest = Node::start(config);
    honest.knows(&[&victim]);
    honest.up(2).await;
    victim.up(1).await;
    honest.send(&victim, &append(1, 2, 1, "honest"));
    assert_eq!(victim.packet().await, (id(1), append(1, 2, 1, "honest")));
}

fn expired(pki: &Pki, node: u64) -> NodeCertificate {
    let now = SystemTime::now();
    pki.ca.issue_between(id(node), now - 2 * HOUR, now - HOUR).expect("keys can be made")
}

#[tokio::test]
async fn client_without_certificate_is_refused() {
    let pki = Pki::new();
    let mut victim = victim(&pki);

    let end = Attacker::with(None, &[b"raft/1"]).end(&victim).await;

    assert_eq!(alert_of(&end), 0x74, "certificate required");
    eventually("count", || victim.transport.endpoint_stats().tls_failures == 1).await;
    assert_eq!(victim.events_so_far(), []);
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn client_of_another_authority_is_refused() {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    let forged = Pki::new().certificate(1);

    let end = Attacker::node(&forged).end(&victim).await;

    // Its name is that of ours, so what is wrong is the signature.
    assert_eq!(alert_of(&end), 0x33, "decrypt error");
    assert_eq!(victim.events_so_far(), []);
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn member_that_claims_to_be_another_is_refused() {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    victim.transport.update_peers(
        [(id(1), "127.0.0.1:9".to_owned()), (id(3), "127.0.0.1:9".to_owned())].into(),
    );

    let attacker = Attacker::node(&pki.certificate(3));
    let (connection, mut send, _recv) = attacker.greet(&victim, local(1)).await;
    send_append(&mut send).await;

    assert_eq!(close_code(&connection).await, CloseCode::NodeIdMismatch);
    assert_eq!(victim.events_so_far(), []);
    assert_unharmed(&pki, victim).await;
}

/// Sends what a peer might right after its hello.
async fn send_append(send: &mut quinn::SendStream) {
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, Integrity::Sealed);
    writer.push(&append(1, 2, 1, "evil")).expect("it has an encoding");
    // The connection may be closed by now.
    send.write_all_chunks(&mut writer.take()).await.ok();
}

#[tokio::test]
async fn packets_in_the_name_of_others_are_refused() {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, _control) = attacker.intrude(&victim, local(1)).await;

    let mut stream = connection.open_uni().await.unwrap();
    let mut writer = FrameWriter::new(CLUSTER, GroupId::FIRST, Integrity::Sealed);
    writer.push(&append(3, 2, 1, "evil")).unwrap();
    stream.write_all(&[1]).await.unwrap();
    stream.write_all_chunks(&mut writer.take()).await.unwrap();

    assert_eq!(close_code(&connection).await, CloseCode::NodeIdMismatch);
    victim.down(1).await;
    assert_eq!(victim.transport.endpoint_stats().faults, 1);
    assert_eq!(victim.packets_so_far(), []);
}

#[tokio::test]
async fn stranger_at_a_peers_address_is_refused() {
    let pki = Pki::new();
    let (mut one, two) = (pki.node(1), pki.node(2));
    two.knows(&[&one]);

    one.knows_at(7, two.address());

    let reason = one.rejected(7).await;
    assert!(matches!(reason, RejectReason::Certificate(_)), "{reason}");
    assert!(!one.is_connected(7));
}

#[tokio::test]
async fn expired_client_is_refused() {
    let pki = Pki::new();
    let mut victim = victim(&pki);

    let end = Attacker::node(&expired(&pki, 1)).end(&victim).await;

    assert_eq!(alert_of(&end), 0x2d, "certificate expired");
    assert_eq!(victim.events_so_far(), []);
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn client_from_the_future_is_refused() {
    let pki = Pki::new();
    let victim = victim(&pki);
    let now = SystemTime::now();
    let early = pki.ca.issue_between(id(1), now + HOUR, now + 2 * HOUR).unwrap();

    let end = Attacker::node(&early).end(&victim).await;

    assert_eq!(alert_of(&end), 0x2d, "as for an expired one");
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn expired_server_is_refused() {
    let pki = Pki::new();
    let mut one = pki.node(1);
    let (chain, key) = common::der(&expired(&pki, 2));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    tls.alpn_protocols = vec![b"raft/1".to_vec()];
    let config =
        quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
    let server = quinn::Endpoint::server(config, loopback()).unwrap();

    one.knows_at(2, server.local_addr().unwrap());
    let call = patiently("call", server.accept()).await.unwrap();
    let refused = patiently("refusal", call.into_future()).await.unwrap_err();

    assert_eq!(alert_of(&refused), 0x2d, "certificate expired");
    assert!(matches!(one.rejected(2).await, RejectReason::Certificate(_)));
    assert!(!one.is_connected(2));
}

#[tokio::test]
async fn sessions_are_not_resumed() {
    let pki = Pki::new();
    let victim = victim(&pki);
    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, _stream) = attacker.intrude(&victim, local(1)).await;
    connection.close(0_u8.into(), b"");

    let again = attacker.connecting(&victim);

    // A ticket would make early data possible.
    assert!(again.into_0rtt().is_err());
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let pki = Pki::new();
    let victim = victim(&pki);
    let certificate = pki.certificate(1);

    let other: &[&[u8]] = &[b"h3"];
    for alpn in [other, &[]] {
        let end = Attacker::with(Some(&certificate), alpn).end(&victim).await;

        assert_eq!(alert_of(&end), 0x78, "no application protocol");
    }
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn node_of_another_cluster_is_refused_by_its_hello() {
    let mut staging = insecure(1);
    staging.cluster = ClusterId::new([0x57; 16]);
    let mut two = Node::start(insecure(2));
    let mut one = Node::start(staging);
    two.knows(&[&one]);

    one.knows(&[&two]);

    let reason = RejectReason::RefusedByPeer(CloseCode::ClusterMismatch);
    assert_eq!(one.rejected(2).await, reason);
    assert_eq!(two.packets_so_far(), []);
    assert!(!two.is_connected(1));
}

#[tokio::test]
async fn member_that_speaks_for_another_cluster_is_refused() {
    let pki = Pki::new();
    let victim = victim(&pki);
    let elsewhere = LocalNode { cluster: ClusterId::new([0x57; 16]), ..local(1) };

    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, _send, _recv) = attacker.greet(&victim, elsewhere).await;

    assert_eq!(close_code(&connection).await, CloseCode::ClusterMismatch);
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn stranger_with_a_certificate_is_refused() {
    let pki = Pki::new();
    let victim = victim(&pki);

    let end = Attacker::node(&pki.certificate(9)).end(&victim).await;

    assert_eq!(code_of(&end), CloseCode::NotAMember);
    assert_unharmed(&pki, victim).await;
}

fn prelude(kind: FrameKind, sequence: u32, body_len: u32, head_len: u32) -> [u8; 44] {
    let (group, cluster) = (GroupId::FIRST, CLUSTER);
    Prelude { kind, body_len, head_len, sequence, group, cluster, checksum: None }.encode()
}

/// What a connected peer may write to its control stream, and what comes of it.
async fn assert_control_stream_ends_with(bytes: &[u8], expected: CloseCode) {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, mut control) = attacker.intrude(&victim, local(1)).await;

    control.write_all(bytes).await.expect("the connection is open");

    assert_eq!(close_code(&connection).await, expected);
    victim.down(1).await;
    assert_eq!(victim.rejected(1).await, RejectReason::Refused(expected));
    assert_eq!(victim.transport.endpoint_stats().faults, 1);
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn huge_frame_on_the_control_stream_is_refused() {
    let huge = prelude(FrameKind::Heartbeat, 1, u32::MAX, 0);
    assert_control_stream_ends_with(&huge, CloseCode::TooLarge).await;
}

#[tokio::test]
async fn head_longer_than_its_body_is_refused() {
    let mut contradiction = prelude(FrameKind::Heartbeat, 1, 4, 4);
    contradiction[8] = 200;
    assert_control_stream_ends_with(&contradiction, CloseCode::BadFrame).await;
}

#[tokio::test]
async fn garbage_on_the_control_stream_is_refused() {
    assert_control_stream_ends_with(&[0x5A; 5000], CloseCode::Version).await;
    assert_control_stream_ends_with(&[1; 5000], CloseCode::BadFrame).await;
}

#[tokio::test]
async fn second_hello_is_refused() {
    let hello = [prelude(FrameKind::Hello, 1, 2, 2).as_slice(), &[1, 2]].concat();
    assert_control_stream_ends_with(&hello, CloseCode::BadFrame).await;
}

async fn assert_append_stream_ends_with(bytes: &[u8], expected: CloseCode) {
    assert_stream_ends_with(1, bytes, expected).await;
}

/// What a connected peer may write to a stream with this first byte, and what comes of it.
async fn assert_stream_ends_with(first_byte: u8, bytes: &[u8], expected: CloseCode) {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, _control) = attacker.intrude(&victim, local(1)).await;

    let mut stream = connection.open_uni().await.expect("the connection is open");
    stream.write_all(&[first_byte]).await.expect("the connection is open");
    stream.write_all(bytes).await.expect("the connection is open");

    assert_eq!(close_code(&connection).await, expected);
    victim.down(1).await;
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn frame_one_byte_beyond_the_limit_is_refused() {
    let limits = raft_net::FrameLimits::default().lane(raft_net::Lane::Append);
    let long = prelude(FrameKind::Forward, 0, limits.payload_max + 1, 0);

    assert_append_stream_ends_with(&long, CloseCode::TooLarge).await;
}

#[tokio::test]
async fn heartbeat_on_the_append_stream_is_refused() {
    let stray = prelude(FrameKind::Heartbeat, 0, 0, 0);

    assert_append_stream_ends_with(&stray, CloseCode::BadFrame).await;
}

#[tokio::test]
async fn long_and_stray_frames_on_the_bulk_stream_are_refused() {
    let limits = raft_net::FrameLimits::default().lane(raft_net::Lane::Bulk);
    let long = prelude(FrameKind::SnapshotReply, 0, limits.payload_max + 1, 0);
    let stray = prelude(FrameKind::Forward, 0, 0, 0);

    assert_stream_ends_with(2, &long, CloseCode::TooLarge).await;
    assert_stream_ends_with(2, &stray, CloseCode::BadFrame).await;
}

#[tokio::test]
async fn broken_datagram_is_refused() {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, _control) = attacker.intrude(&victim, local(1)).await;

    connection.send_datagram(Bytes::from_static(&[1, 18, 0, 0, 9])).unwrap();

    assert_eq!(close_code(&connection).await, CloseCode::BadFrame);
    victim.down(1).await;
    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn streams_of_unknown_kinds_are_stopped_and_do_no_harm() {
    let pki = Pki::new();
    let mut victim = victim(&pki);
    let attacker = Attacker::node(&pki.certificate(1));
    let (connection, _control) = attacker.intrude(&victim, local(1)).await;

    for kind in [0, 3, 99] {
        let mut stream = connection.open_uni().await.unwrap();
        stream.write_all(&[kind]).await.unwrap();
        let stopped = patiently("stop", stream.stopped()).await.unwrap();
        assert_eq!(stopped.map(quinn::VarInt::into_inner), Some(CloseCode::BadFrame.code()));
    }

    assert!(victim.is_connected(1));
    assert_eq!(victim.packets_so_far(), []);
}

#[tokio::test]
async fn second_stream_of_a_lane_is_refused() {
    for first_byte in [1, 2] {
        let pki = Pki::new();
        let victim = victim(&pki);
        let attacker = Attacker::node(&pki.certificate(1));
        let (connection, _control) = attacker.intrude(&victim, local(1)).await;

        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = connection.open_uni().await.unwrap();
            stream.write_all(&[first_byte]).await.unwrap();
            streams.push(stream);
        }

        assert_eq!(close_code(&connection).await, CloseCode::BadFrame);
    }
}

#[tokio::test]
async fn caller_who_says_nothing_is_cut_off() {
    let pki = Pki::new();
    let mut config = pki.config(2);
    config.timing.handshake_timeout = Duration::from_millis(150);
    let victim = Node::start(config);
    victim.knows_at(1, "127.0.0.1:9");

    let end = Attacker::node(&pki.certificate(1)).end(&victim).await;

    assert_eq!(code_of(&end), CloseCode::HelloTimeout);
    assert_eq!(victim.transport.endpoint_stats().refusals, 1);
}

#[tokio::test]
async fn caller_who_dribbles_is_cut_off() {
    let pki = Pki::new();
    let mut config = pki.config(2);
    config.timing.handshake_timeout = Duration::from_millis(300);
    let victim = Node::start(config);
    victim.knows_at(1, "127.0.0.1:9");
    let connection = Attacker::node(&pki.certificate(1)).connect(&victim).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();

    let dribble = async {
        for byte in prelude(FrameKind::Hello, 0, 100, 100) {
            if send.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };

    tokio::join!(dribble, async {
        assert_eq!(close_code(&connection).await, CloseCode::HelloTimeout);
    });
}

#[tokio::test]
async fn noise_does_no_harm() {
    let pki = Pki::new();
    let victim = victim(&pki);
    let socket = tokio::net::UdpSocket::bind(loopback()).await.unwrap();

    let mut noise = 0x9E37_79B9_7F4A_7C15_u64;
    for first in 0..=255_u8 {
        let mut packet = vec![first, 0, 0, 0, 1];
        for _ in 0..usize::from(first) * 5 {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            packet.push(noise.to_be_bytes()[0]);
        }
        socket.send_to(&packet, victim.address()).await.unwrap();
        tokio::task::yield_now().await;
    }

    assert_unharmed(&pki, victim).await;
}

#[tokio::test]
async fn authority_of_one_cluster_cannot_make_nodes_of_another() {
    // Same key pair for both, so only the names stand in the way.
    let dir = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    pki.ca.save(dir.path()).unwrap();
    let other = ClusterCa::create(ClusterId::new([0x57; 16])).unwrap();
    let foreign = other.issue(id(1)).unwrap();

    let pem = |text: &str| text.as_bytes().to_vec();
    let refused = raft_net_quic::TlsIdentity::from_pem(
        &pem(pki.ca.certificate_pem()),
        &pem(foreign.certificate_pem()),
        &pem(foreign.key_pem()),
        id(1),
    );

    assert!(matches!(refused, Err(raft_net_quic::TlsError::OtherAuthority)));
}
