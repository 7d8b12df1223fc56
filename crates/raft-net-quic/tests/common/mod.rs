//! Nodes on loopback, and attackers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::crypto::rustls::QuicClientConfig;
use raft_core::{
    AppendEntries, Body, ClusterId, Entry, EntryPayload, GroupId, Heartbeat, LogId, LogIndex,
    Message, NodeId, ReadRound, Term,
};
use raft_net::{
    CloseCode, DownReason, FrameReader, FrameWriter, Inbound, Integrity, Lane, LocalNode, Packet,
    PeerEvent, RejectReason, Run, SendOutcome,
};
use raft_net_quic::{ClusterCa, NodeCertificate, QuicConfig, QuicTransport, Security};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{
    UnboundedReceiver, UnboundedSender, error::TryRecvError, unbounded_channel,
};

pub(crate) const CLUSTER: ClusterId = ClusterId::new([0xC1; 16]);

/// No test should ever wait for so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn id(id: u64) -> NodeId {
    NodeId::new(id).expect("tests use ids above zero")
}

pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().expect("it is an address")
}

/// A transport and what it has reported.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) transport: QuicTransport,
    packets: UnboundedReceiver<(NodeId, Packet)>,
    events: UnboundedReceiver<PeerEvent>,
}

struct Recorder {
    packets: UnboundedSender<(NodeId, Packet)>,
    events: UnboundedSender<PeerEvent>,
}

impl Inbound for Recorder {
    fn on_packet(&self, from: NodeId, packet: Packet) {
        self.packets.send((from, packet)).ok();
    }

    fn on_event(&self, event: PeerEvent) {
        self.events.send(event).ok();
    }
}

pub(crate) async fn patiently<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("no {what}"))
}

/// Waits until `condition` holds, which nobody notifies of.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    patiently(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

impl Node {
    pub(crate) fn start(config: QuicConfig) -> Self {
        Self::start_with(config, BTreeMap::new())
    }

    pub(crate) fn start_with(config: QuicConfig, peers: BTreeMap<NodeId, String>) -> Self {
        let (packets_in, packets) = unbounded_channel();
        let (events_in, events) = unbounded_channel();
        let recorder = Arc::new(Recorder { packets: packets_in, events: events_in });
        let id = config.node;
        let transport = QuicTransport::bind(config, peers, Handle::current(), recorder)
            .expect("loopback has free ports");
        Self { id, transport, packets, events }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.transport.local_addr()
    }

    pub(crate) fn knows(&self, others: &[&Self]) {
        let peers = others.iter().map(|other| (other.id, other.address().to_string())).collect();
        self.transport.update_peers(peers);
    }

    pub(crate) fn knows_at(&self, peer: u64, address: impl ToString) {
        self.transport.update_peers([(id(peer), address.to_string())].into());
    }

    pub(crate) fn send(&self, to: &Self, packet: &Packet) {
        assert_eq!(self.transport.send(to.id, packet.clone()), SendOutcome::Queued);
    }

    pub(crate) async fn packet(&mut self) -> (NodeId, Packet) {
        patiently("packet", self.packets.recv()).await.expect("the transport holds the sender")
    }

    /// The packets that have arrived so far.
    pub(crate) fn packets_so_far(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.packets.try_recv().ok()).map(|(_, packet)| packet).collect()
    }

    pub(crate) async fn event(&mut self) -> PeerEvent {
        patiently("event", self.events.recv()).await.expect("the transport holds the sender")
    }

    pub(crate) fn events_so_far(&mut self) -> Vec<PeerEvent> {
        let mut events = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(event) => events.push(event),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return events,
            }
        }
    }

    /// Waits for the connection with `peer`; returns the generation of its run.
    pub(crate) async fn up(&mut self, peer: u64) -> u64 {
        loop {
            if let PeerEvent::Up { peer: up, generation } = self.event().await
                && up == id(peer)
            {
                return generation;
            }
        }
    }

    pub(crate) async fn down(&mut self, peer: u64) -> DownReason {
        loop {
            if let PeerEvent::Down { peer: down, why } = self.event().await
                && down == id(peer)
            {
                return why;
            }
        }
    }

    pub(crate) async fn rejected(&mut self, peer: u64) -> RejectReason {
        loop {
            if let PeerEvent::Rejected { peer: rejected, reason } = self.event().await
                && rejected == id(peer)
            {
                return reason;
            }
        }
    }

    pub(crate) fn is_connected(&self, peer: u64) -> bool {
        self.transport.stats().get(&id(peer)).is_some_and(|stats| stats.connection.is_some())
    }
}

/// A certificate authority and the nodes it makes.
pub(crate) struct Pki {
    pub(crate) ca: ClusterCa,
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self { ca: ClusterCa::create(CLUSTER).expect("keys can be made") }
    }

    pub(crate) fn certificate(&self, node: u64) -> NodeCertificate {
        self.ca.issue(id(node)).expect("keys can be made")
    }

    pub(crate) fn config(&self, node: u64) -> QuicConfig {
        let identity = self.certificate(node).identity().expect("it is valid");
        QuicConfig::new(id(node), CLUSTER, 1, loopback(), Security::MutualTls(identity))
    }

    pub(crate) fn node(&self, node: u64) -> Node {
        Node::start(self.config(node))
    }

    /// Two nodes that are connected.
    pub(crate) async fn pair(&self) -> (Node, Node) {
        let (mut one, mut two) = (self.node(1), self.node(2));
        connect(&mut one, &mut two).await;
        (one, two)
    }
}

pub(crate) fn insecure(node: u64) -> QuicConfig {
    QuicConfig::new(id(node), CLUSTER, 1, loopback(), Security::Insecure)
}

pub(crate) async fn connect(one: &mut Node, two: &mut Node) {
    two.knows(&[one]);
    one.knows(&[two]);
    one.up(two.id.get()).await;
    two.up(one.id.get()).await;
}

pub(crate) fn message(from: u64, to: u64, body: Body) -> Packet {
    Packet::Raft(Message { from: id(from), to: id(to), term: Term::new(1), body })
}

pub(crate) fn heartbeat(from: u64, to: u64, round: u64) -> Packet {
    let round = ReadRound::new(round);
    message(from, to, Body::Heartbeat(Heartbeat { commit: LogIndex::ZERO, round }))
}

/// An append of one command at `index`.
pub(crate) fn append(from: u64, to: u64, index: u64, command: impl Into<Bytes>) -> Packet {
    let entry = |index| LogId::new(Term::new(1), LogIndex::new(index));
    let payload = EntryPayload::Command(command.into());
    let append = AppendEntries {
        prev: entry(index - 1),
        entries: [Entry { id: entry(index), payload }].into(),
        commit: LogIndex::ZERO,
    };
    message(from, to, Body::AppendEntries(append))
}

/// A client that speaks QUIC, but not our rules.
pub(crate) struct Attacker {
    pub(crate) endpoint: quinn::Endpoint,
    name: String,
}

impl Attacker {
    /// Has a certificate, but checks nobody's.
    pub(crate) fn with(certificate: Option<&NodeCertificate>, alpn: &[&[u8]]) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring speaks it")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(trusting::TrustAll(provider)));
        let mut tls = match certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let (chain, key) = der(certificate);
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        tls.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tls.enable_early_data = true;
        let tls = QuicClientConfig::try_from(tls).expect("TLS 1.3 is on");
        let mut endpoint = quinn::Endpoint::client(loopback()).expect("loopback has free ports");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(tls)));
        Self { endpoint, name: format!("n2.{CLUSTER}.raft.internal") }
    }

    pub(crate) fn node(certificate: &NodeCertificate) -> Self {
        Self::with(Some(certificate), &[b"raft/1"])
    }

    pub(crate) fn connecting(&self, victim: &Node) -> quinn::Connecting {
        self.endpoint.connect(victim.address(), &self.name).expect("the address is good")
    }

    pub(crate) async fn connect(&self, victim: &Node) -> quinn::Connection {
        patiently("connection", self.connecting(victim)).await.expect("the client is content")
    }

    /// How the victim ends the connection, without a word from us.
    pub(crate) async fn end(&self, victim: &Node) -> quinn::ConnectionError {
        match patiently("end of the handshake", self.connecting(victim)).await {
            Ok(connection) => patiently("end of the connection", connection.closed()).await,
            Err(error) => error,
        }
    }

    /// Connects and says hello as `local`; returns the connection and the control stream.
    pub(crate) async fn greet(
        &self,
        victim: &Node,
        local: LocalNode,
    ) -> (quinn::Connection, quinn::SendStream, quinn::RecvStream) {
        let connection = self.connect(victim).await;
        let (mut send, recv) = connection.open_bi().await.expect("one stream is allowed");
        let mut writer = FrameWriter::new(local.cluster, GroupId::FIRST, Integrity::Sealed);
        writer.push_hello(&raft_net::Dialler::new(local, victim.id).hello());
        send.write_all_chunks(&mut writer.take()).await.expect("the connection is open");
        (connection, send, recv)
    }

    /// Becomes a connected peer.
    pub(crate) async fn intrude(
        &self,
        victim: &Node,
        local: LocalNode,
    ) -> (quinn::Connection, quinn::SendStream) {
        let (connection, send, mut recv) = self.greet(victim, local).await;
        let mut reader = FrameReader::stream(Lane::Control, local.limits, Integrity::Sealed);
        let greeted = async {
            while reader.next_frame().expect("the victim speaks properly").is_none() {
                let chunk = recv.read_chunk(4096, true).await.expect("it is open");
                reader.push(chunk.expect("it is open").bytes);
            }
        };
        patiently("answer", greeted).await;
        (connection, send)
    }
}

pub(crate) fn local(node: u64) -> LocalNode {
    LocalNode {
        node: id(node),
        cluster: CLUSTER,
        run: Run { generation: 1, instance: node },
        genesis: None,
        limits: raft_net::FrameLimits::default(),
    }
}

pub(crate) async fn close_code(connection: &quinn::Connection) -> CloseCode {
    code_of(&patiently("end of the connection", connection.closed()).await)
}

pub(crate) fn code_of(error: &quinn::ConnectionError) -> CloseCode {
    let quinn::ConnectionError::ApplicationClosed(close) = error else {
        panic!("not closed with a code: {error}");
    };
    CloseCode::from_code(close.error_code.into_inner())
}

/// The TLS alert that ended a connection.
pub(crate) fn alert_of(error: &quinn::ConnectionError) -> u64 {
    let quinn::ConnectionError::ConnectionClosed(close) = error else {
        panic!("not closed by TLS: {error}");
    };
    u64::from(close.error_code) - 0x100
}

pub(crate) fn der(
    certificate: &NodeCertificate,
) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let chain = CertificateDer::from_pem_slice(certificate.certificate_pem().as_bytes());
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem().as_bytes());
    (vec![chain.expect("it is PEM")], key.expect("it is PEM"))
}

mod trusting {
    use std::sync::Arc;

    use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
    use rustls::crypto::{CryptoProvider, verify_tls13_signature};
    use rustls::{DigitallySignedStruct, Error, SignatureScheme};
    use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

    #[derive(Debug)]
    pub(super) struct TrustAll(pub(super) Arc<CryptoProvider>);

    impl ServerCertVerifier for TrustAll {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(Error::General("TLS 1.2 is off".to_owned()))
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            let algorithms = &self.0.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.signature_verification_algorithms.supported_schemes()
        }
    }
}
