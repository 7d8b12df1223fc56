//! Three nodes, of which two are lost: the third goes on in a cluster of its own, and one of the old
//! cluster that comes back is not listened to.

use std::error::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft::quic::Security;
use raft::transport::{Inbound, Local, OpenTransport, Packet, PeerEvent, Quic, Transport};
use raft::{
    Applied, Builder, ClusterId, Membership, Node, NodeId, SnapshotReader, SnapshotWriter,
    StateMachine,
};
use raft_core::RoleKind;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::common::{self, HEIR, on};

const PATIENCE: Duration = Duration::from_secs(60);
const OLD: ClusterId = ClusterId::new([7; 16]);

/// A list of the numbers that it was given.
#[derive(Default)]
struct List(Vec<u64>);

impl StateMachine for List {
    type Command = u64;
    type Response = usize;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, entry: Applied<u64>) -> usize {
        self.0.push(entry.command);
        self.0.len()
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }

    fn snapshot(&self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
        self.0.iter().try_for_each(|value| to.write_all(&value.to_le_bytes()))
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let values =
            bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()));
        self.0 = values.collect();
        Ok(())
    }
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

/// Tells what happens to connections.
struct Watched {
    inner: Quic,
    events: UnboundedSender<PeerEvent>,
}

struct Tee {
    inbound: Arc<dyn Inbound>,
    events: UnboundedSender<PeerEvent>,
}

impl Inbound for Tee {
    fn on_packet(&self, from: NodeId, packet: Packet) {
        self.inbound.on_packet(from, packet);
    }

    fn on_event(&self, event: PeerEvent) {
        self.events.send(event.clone()).ok();
        self.inbound.on_event(event);
    }
}

impl OpenTransport for Watched {
    fn open(
        self: Box<Self>,
        local: Local,
        inbound: Arc<dyn Inbound>,
        runtime: Handle,
    ) -> Result<Box<dyn Transport>, Box<dyn Error + Send + Sync>> {
        let Self { inner, events } = *self;
        Box::new(inner).open(local, Arc::new(Tee { inbound, events }), runtime)
    }
}

fn free_addresses() -> [SocketAddr; 3] {
    let sockets = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    sockets.map(|socket| socket.local_addr().unwrap())
}

fn builder(id: u64, dir: &Path, cluster: ClusterId, at: SocketAddr) -> Builder {
    Node::<List>::builder(n(id))
        .cluster(cluster)
        .data_dir(dir)
        .quic(at, Security::Insecure)
        .request_timeout(PATIENCE)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for (path, content) in common::files(from) {
        let path = to.join(path.strip_prefix(from).unwrap());
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_survivor_of_three_serves_what_was_acknowledged_and_the_old_ones_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let dir = |id: u64| root.path().join(id.to_string());
    let at = free_addresses();
    let everybody = (1..).map(n).zip(at.iter().map(ToString::to_string));
    let everybody = Membership::of_voters(everybody).unwrap();
    let mut nodes = Vec::new();
    for (id, at) in (1..).zip(at) {
        let builder = builder(id, &dir(id), OLD, at).bootstrap(everybody.clone());
        nodes.push(builder.start(List::default()).await.unwrap());
    }
    // Acknowledged, and on the disk of the one that is left: it has answered a read behind it.
    for value in 0..20 {
        nodes[0].propose(value).await.unwrap();
    }
    nodes[0].snapshot().await.unwrap();
    for value in 20..30 {
        nodes[0].propose(value).await.unwrap();
    }
    assert_eq!(nodes[0].read(()).await.unwrap().len(), 30);
    for node in &nodes {
        node.shutdown().await.unwrap();
    }
    copy(&dir(2), &root.path().join("kept"));
    for lost in [2, 3] {
        std::fs::remove_dir_all(dir(lost)).unwrap();
    }

    let asked = on("recover-quorum", &dir(1), &["--new-cluster", HEIR]);
    let word = asked.out.trim().rsplit(' ').next().unwrap();
    let done = on("recover-quorum", &dir(1), &["--new-cluster", HEIR, "--confirm", word]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);

    let alone = Membership::of_voters([(n(1), at[0].to_string())]).unwrap();
    let survivor = builder(1, &dir(1), HEIR.parse().unwrap(), at[0]).bootstrap(alone);
    let survivor = survivor.start(List::default()).await.unwrap();
    assert_eq!(survivor.read(()).await.unwrap(), (0..30).collect::<Vec<_>>());
    survivor.propose(30).await.unwrap();
    let term = survivor.status().term;

    let (events, mut told) = unbounded_channel();
    let transport = Watched { inner: Quic::new(at[1], Security::Insecure), events };
    let old = Node::<List>::builder(n(2)).cluster(OLD).data_dir(root.path().join("kept"));
    let old = old.transport(transport).bootstrap(everybody).start(List::default()).await.unwrap();
    let reason = tokio::time::timeout(PATIENCE, rejection(&mut told)).await.unwrap();

    assert!(reason.contains("belong to different clusters"), "{reason}");
    survivor.propose(31).await.unwrap();
    assert_eq!(survivor.read(()).await.unwrap().len(), 32);
    assert_eq!((survivor.status().term, survivor.status().role), (term, RoleKind::Leader));
    assert_eq!(old.status().leader, None);
    old.shutdown().await.unwrap();
    survivor.shutdown().await.unwrap();
}

/// Waits until node 1 and this one will not talk, and says why.
async fn rejection(events: &mut UnboundedReceiver<PeerEvent>) -> String {
    loop {
        if let PeerEvent::Rejected { peer, reason } = events.recv().await.unwrap()
            && peer == n(1)
        {
            return reason.to_string();
        }
    }
}
