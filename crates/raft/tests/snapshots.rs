//! Snapshots: taken, sent, installed, and started from.
#![cfg(feature = "persistence")]

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use raft::transport::MemoryNetwork;
use raft::{
    Applied, Builder, ClusterId, Frozen, LogIndex, Membership, Metrics, Node, NodeId,
    SnapshotError, SnapshotPolicy, SnapshotReader, SnapshotWriter, StartError, StateMachine,
};

const PATIENCE: Duration = Duration::from_secs(30);
const ELECTION_TIMEOUT: Duration = Duration::from_millis(200);

/// A list of the numbers that it was given, which is shared until it is changed.
#[expect(clippy::rc_buffer, reason = "it is to be changed where it is not shared")]
#[derive(Default)]
struct List(Arc<Vec<u64>>);

impl StateMachine for List {
    type Command = u64;
    type Response = usize;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, entry: Applied<u64>) -> usize {
        let list = Arc::make_mut(&mut self.0);
        list.push(entry.command);
        list.len()
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.to_vec()
    }

    fn freeze(&self) -> Option<Frozen> {
        let list = Arc::clone(&self.0);
        Some(Frozen::new(move |to| write(&list, to)))
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        self.0 = Arc::new(read(from)?);
        Ok(())
    }
}

/// The same, but nothing can be applied while it is written.
#[derive(Default)]
struct StiffList(Vec<u64>);

impl StateMachine for StiffList {
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
        write(&self.0, to)
    }

    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        self.0 = read(from)?;
        Ok(())
    }
}

/// Has no snapshots.
struct Mute;

impl StateMachine for Mute {
    type Command = u64;
    type Response = ();
    type Query = ();
    type Answer = ();

    fn apply(&mut self, _: Applied<u64>) {}

    fn query(&self, (): ()) {}
}

fn write(list: &[u64], to: &mut SnapshotWriter<'_>) -> io::Result<()> {
    list.iter().try_for_each(|number| to.write_all(&number.to_le_bytes()))
}

fn read(from: &mut SnapshotReader<'_>) -> io::Result<Vec<u64>> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes)?;
    let (numbers, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
}

fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

fn members(count: u64) -> Membership {
    Membership::of_voters((1..=count).map(|id| (n(id), ""))).unwrap()
}

/// Nothing stays in the log that a snapshot has.
const NOTHING_TRAILS: SnapshotPolicy = SnapshotPolicy {
    log_bytes_min: u64::MAX,
    log_entries_max: u64::MAX,
    trailing_entries: 0,
    trailing_bytes: 0,
};

fn builder(id: u64) -> Builder {
    Node::<List>::builder(n(id))
        .cluster(ClusterId::new([7; 16]))
        .heartbeat_interval(Duration::from_millis(20))
        .election_timeout(ELECTION_TIMEOUT)
        .request_timeout(PATIENCE)
        .snapshot_policy(NOTHING_TRAILS)
}

fn alone(dir: &Path) -> Builder {
    builder(1).data_dir(dir).bootstrap(members(1))
}

/// Waits until the metrics of a node are as wanted.
async fn until<S: StateMachine>(node: &Node<S>, wanted: impl FnMut(&Metrics) -> bool) {
    let mut metrics = node.metrics();
    let reached = tokio::time::timeout(PATIENCE, metrics.wait_for(wanted)).await;
    drop(reached.expect("it should have come to that").unwrap());
}

async fn propose<S: StateMachine<Command = u64>>(node: &Node<S>, numbers: std::ops::Range<u64>) {
    for result in node.propose_batch(numbers.collect()).await {
        result.unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_makes_the_log_shorter_and_a_restart_begins_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path()).start(List::default()).await.unwrap();
    propose(&node, 0..100).await;

    let last = node.snapshot().await.unwrap();

    assert_eq!(last.index, node.status().applied);
    until(&node, |metrics| metrics.status.first == last.index.next()).await;
    propose(&node, 100..120).await;
    node.shutdown().await.unwrap();
    let node = alone(dir.path()).start(List::default()).await.unwrap();
    assert_eq!(node.read(()).await.unwrap(), (0..120).collect::<Vec<_>>());
    let metrics = node.metrics().borrow().clone();
    assert_eq!(metrics.snapshots.last, Some(last));
    assert_eq!(metrics.snapshots.bytes, 800);
    node.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_state_machine_that_cannot_be_frozen_is_written_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let start = || alone(dir.path()).start(StiffList::default());
    let node = start().await.unwrap();
    propose(&node, 0..100).await;
    node.snapshot().await.unwrap();
    node.shutdown().await.unwrap();

    let node = start().await.unwrap();

    assert_eq!(node.read(()).await.unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn snapshots_are_taken_as_the_log_grows() {
    let policy = SnapshotPolicy { log_entries_max: 100, ..NOTHING_TRAILS };
    let node = builder(1)
        .in_memory()
        .bootstrap(members(1))
        .snapshot_policy(policy)
        .start(List::default())
        .await
        .unwrap();

    for taken in 1..=3 {
        // A hundred and a quarter are enough; but while one is taken no other is begun.
        propose(&node, 130 * (taken - 1)..130 * taken).await;
        until(&node, |metrics| metrics.snapshots.taken >= taken).await;
    }

    until(&node, |metrics| metrics.status.first > LogIndex::new(300)).await;
}

#[tokio::test]
async fn entries_before_the_snapshot_stay_for_those_who_lag() {
    let policy =
        SnapshotPolicy { trailing_entries: 30, trailing_bytes: u64::MAX, ..NOTHING_TRAILS };
    let node = builder(1)
        .in_memory()
        .bootstrap(members(1))
        .snapshot_policy(policy)
        .start(List::default())
        .await
        .unwrap();
    propose(&node, 0..100).await;

    let last = node.snapshot().await.unwrap();

    let first = LogIndex::new(last.index.get() - 30 + 1);
    until(&node, |metrics| metrics.status.first == first).await;
}

#[tokio::test]
async fn space_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path()).start(Sink).await.unwrap();
    let bytes = || -> u64 {
        let files = std::fs::read_dir(dir.path()).unwrap();
        // One may go while it is looked at.
        files.filter_map(|file| Some(file.unwrap().metadata().ok()?.len())).sum()
    };
    // More than one segment of the log.
    for _ in 0..200 {
        node.propose_batch(vec![raft::Raw(bytes::Bytes::from(vec![1; 1 << 20]))])
            .await
            .remove(0)
            .unwrap();
    }
    let before = bytes();

    node.snapshot().await.unwrap();

    let deadline = std::time::Instant::now() + PATIENCE;
    while bytes() > before - (64 << 20) {
        assert!(std::time::Instant::now() < deadline, "{before} bytes, and {} after", bytes());
        tokio::task::yield_now().await;
    }
}

/// Forgets what it is given.
struct Sink;

impl StateMachine for Sink {
    type Command = raft::Raw;
    type Response = ();
    type Query = ();
    type Answer = ();

    fn apply(&mut self, _: Applied<raft::Raw>) {}

    fn query(&self, (): ()) {}

    fn snapshot(&self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
        to.write_all(b"nothing")
    }
}

#[tokio::test]
async fn a_state_machine_without_snapshots_says_so() {
    let node = builder(1).in_memory().bootstrap(members(1)).start(Mute).await.unwrap();
    node.propose(1).await.unwrap();

    assert!(matches!(node.snapshot().await, Err(SnapshotError::Unsupported)));
    node.propose(2).await.unwrap();
}

#[tokio::test]
async fn each_of_many_callers_gets_a_snapshot_of_what_it_saw() {
    let node = builder(1).in_memory().bootstrap(members(1)).start(List::default()).await.unwrap();
    let mut tasks = Vec::new();
    for number in 0..20 {
        node.propose(number).await.unwrap();
        let (node, seen) = (node.clone(), node.status().applied);
        tasks.push(tokio::spawn(async move { (node.snapshot().await.unwrap(), seen) }));
    }
    for task in tasks {
        let (last, seen) = task.await.unwrap();
        assert!(last.index >= seen, "{last} does not cover {seen}");
    }
}

#[tokio::test]
async fn a_damaged_snapshot_gives_way_to_an_older_one_that_the_log_continues() {
    let dir = tempfile::tempdir().unwrap();
    let keep_log =
        SnapshotPolicy { trailing_entries: u64::MAX, trailing_bytes: u64::MAX, ..NOTHING_TRAILS };
    let start = || alone(dir.path()).snapshot_policy(keep_log).start(List::default());
    let node = start().await.unwrap();
    propose(&node, 0..50).await;
    node.snapshot().await.unwrap();
    propose(&node, 50..100).await;
    node.snapshot().await.unwrap();
    node.shutdown().await.unwrap();
    damage_newest(dir.path());

    let node = start().await.unwrap();

    assert_eq!(node.read(()).await.unwrap(), (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_snapshot_that_nothing_replaces_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path()).start(List::default()).await.unwrap();
    propose(&node, 0..50).await;
    node.snapshot().await.unwrap();
    node.shutdown().await.unwrap();
    damage_newest(dir.path());

    let refused = alone(dir.path()).start(List::default()).await.unwrap_err();

    assert!(matches!(refused, StartError::SnapshotUnreadable { .. }), "{refused}");
}

fn damage_newest(dir: &Path) {
    let files = std::fs::read_dir(dir.join("snapshots")).unwrap();
    let mut data: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    data.retain(|path| path.extension().is_some_and(|extension| extension == "data"));
    data.sort();
    let newest = data.last().unwrap();
    let mut bytes = std::fs::read(newest).unwrap();
    bytes[17] ^= 1;
    std::fs::write(newest, bytes).unwrap();
}

#[tokio::test]
async fn snapshots_without_a_log_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path()).start(List::default()).await.unwrap();
    propose(&node, 0..50).await;
    node.snapshot().await.unwrap();
    node.shutdown().await.unwrap();
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            std::fs::remove_file(path).unwrap();
        }
    }

    let refused = alone(dir.path()).start(List::default()).await.unwrap_err();

    assert!(matches!(refused, StartError::LogRemoved), "{refused}");
}

/// Three nodes with their logs on disk, over a network that can be cut.
struct Cluster {
    network: MemoryNetwork,
    dirs: Vec<tempfile::TempDir>,
    nodes: Vec<Option<Node<List>>>,
    election_timeout: Duration,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_with(ELECTION_TIMEOUT).await
    }

    async fn start_with(election_timeout: Duration) -> Self {
        let dirs = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
        let (network, nodes) = (MemoryNetwork::new(), vec![None, None, None]);
        let mut cluster = Self { network, dirs, nodes, election_timeout };
        for id in 1..=3 {
            cluster.restart(id).await;
        }
        cluster
    }

    async fn restart(&mut self, id: u64) {
        let slot = usize::try_from(id - 1).unwrap();
        let node = builder(id)
            .data_dir(self.dirs[slot].path())
            .transport(self.network.clone())
            .election_timeout(self.election_timeout)
            .bootstrap(members(3))
            .start(List::default())
            .await
            .unwrap();
        self.nodes[slot] = Some(node);
    }

    async fn stop(&mut self, id: u64) {
        let node = self.nodes[usize::try_from(id - 1).unwrap()].take().unwrap();
        node.shutdown().await.unwrap();
    }

    fn node(&self, id: u64) -> &Node<List> {
        self.nodes[usize::try_from(id - 1).unwrap()].as_ref().unwrap()
    }

    /// Has the nodes take snapshots, and forget what is in them.
    async fn snapshot(&self, ids: &[u64]) {
        for &id in ids {
            let last = self.node(id).snapshot().await.unwrap();
            until(self.node(id), |metrics| metrics.status.first > last.index).await;
        }
    }

    /// Waits until a node has all that `other` has applied by now.
    async fn catches_up(&self, id: u64, other: u64) {
        let applied = self.node(other).status().applied;
        until(self.node(id), |metrics| metrics.status.applied >= applied).await;
    }
}

#[tokio::test]
async fn a_node_that_was_away_catches_up_by_a_snapshot() {
    let mut cluster = Cluster::start().await;
    propose(cluster.node(1), 0..50).await;
    cluster.catches_up(3, 1).await;
    cluster.stop(3).await;
    propose(cluster.node(1), 50..200).await;
    cluster.catches_up(2, 1).await;
    cluster.snapshot(&[1, 2]).await;
    propose(cluster.node(1), 200..210).await;

    cluster.restart(3).await;
    cluster.catches_up(3, 1).await;

    assert_eq!(cluster.node(3).metrics().borrow().snapshots.installed, 1);
    assert_eq!(cluster.node(3).read(()).await.unwrap(), (0..210).collect::<Vec<_>>());
    // And what it got is durable.
    cluster.stop(3).await;
    cluster.restart(3).await;
    cluster.catches_up(3, 1).await;
    assert_eq!(cluster.node(3).read(()).await.unwrap(), (0..210).collect::<Vec<_>>());
    assert_eq!(cluster.node(3).metrics().borrow().snapshots.installed, 0);
}

#[tokio::test]
async fn a_node_that_was_cut_off_catches_up_while_commands_go_on() {
    let cluster = Cluster::start().await;
    propose(cluster.node(1), 0..10).await;
    cluster.network.isolate(n(3));
    let busy = [1, 2].map(|id| cluster.node(id).clone());
    propose(&busy[0], 10..500).await;
    cluster.catches_up(1, 2).await;
    cluster.catches_up(2, 1).await;
    cluster.snapshot(&[1, 2]).await;

    cluster.network.heal();
    for number in 500..600 {
        busy[0].propose(number).await.unwrap();
    }
    cluster.catches_up(3, 1).await;

    assert_eq!(cluster.node(3).metrics().borrow().snapshots.installed, 1);
    assert_eq!(cluster.node(3).read(()).await.unwrap(), (0..600).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_large_state_takes_many_chunks() {
    // So much work may keep a thread from its turn for longer than usual.
    let mut cluster = Cluster::start_with(Duration::from_secs(5)).await;
    cluster.stop(3).await;
    for start in (0..300_000).step_by(10_000) {
        propose(cluster.node(1), start..start + 10_000).await;
    }
    cluster.catches_up(1, 2).await;
    cluster.catches_up(2, 1).await;
    cluster.snapshot(&[1, 2]).await;

    cluster.restart(3).await;
    cluster.catches_up(3, 1).await;

    let answer = cluster.node(3).read(()).await.unwrap();
    assert!(answer == (0..300_000).collect::<Vec<_>>());
}
