//! Starting a node.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    ClusterId, Config, Faulty, Lease, LogId, LogIndex, Membership, NodeId, OnLoss, Raft, Restored,
    Write, WriteSeq,
};
use raft_snapshot::disk::{Disk, OsDisk};
use raft_snapshot::{MemoryDisk, Owner};
use tokio::sync::{oneshot, watch};

use super::Node;
use super::clock::Clock;
use super::event_loop::{EventLoop, Ledger, Room, metrics_of};
use super::inbox::{Happening, Inbox};
use super::librarian::Librarian;
use super::peers::{Peers, is_founding};
use super::restore::{Beginning, restore};
use super::worker::Worker;
use super::writing::Scribe;
use crate::driver::{Driver, Forwarding, Options, SnapshotOptions, SnapshotPolicy};
use crate::error::{StartError, StopReason};
use crate::log::OpenMemory;
use crate::log_store::{LogError, OpenLog, OpenedLog};
use crate::snapshot::{NoShelf, Shelf, Store, damage};
use crate::state_machine::StateMachine;
use crate::status::Metrics;
use crate::transport::{Local, Nowhere, OpenTransport, Transport};

/// Says how a node is to run; [`Builder::start`] runs it. Made by [`Node::builder`].
pub struct Builder {
    config: Config,
    cluster: ClusterId,
    log: Place,
    transport: Option<Box<dyn OpenTransport>>,
    origin: Origin,
    options: Options,
    snapshot_dir: Option<PathBuf>,
    snapshot_rate: Option<NonZeroU64>,
    snapshots_kept: usize,
    command_bytes_max: usize,
    #[cfg(feature = "persistence")]
    segment_bytes: u64,
    on_loss: OnLoss,
}

/// How a node without a log comes to its members.
enum Origin {
    Unsaid,
    Founder(Membership),
    Joiner(Membership),
}

/// Where the log is kept.
enum Place {
    Unsaid,
    Memory,
    #[cfg(feature = "persistence")]
    Directory(PathBuf),
    Store(Box<dyn OpenLog>),
}

impl Origin {
    const fn members(&self) -> Option<&Membership> {
        match self {
            Self::Unsaid => None,
            Self::Founder(members) | Self::Joiner(members) => Some(members),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("cluster", &self.cluster)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(super) fn new(id: NodeId) -> Self {
        Self {
            config: Config::new(id),
            cluster: ClusterId::new([0; 16]),
            log: Place::Unsaid,
            transport: None,
            origin: Origin::Unsaid,
            snapshot_dir: None,
            snapshot_rate: NonZeroU64::new(128 << 20),
            snapshots_kept: 2,
            options: Options {
                snapshots: SnapshotOptions::new(ClusterId::new([0; 16])),
                request_timeout: Duration::from_secs(5),
                forwarding: Forwarding::ToLeader,
                parked_bytes_max: 64 << 20,
                apply_bytes_max: 64 << 20,
                forward_bytes_max: 1 << 20,
            },
            command_bytes_max: 4 << 20,
            #[cfg(feature = "persistence")]
            segment_bytes: 64 << 20,
            on_loss: OnLoss::Refuse,
        }
    }

    /// The cluster. Nodes of another one are not talked to, and a directory of another one is not
    /// opened. Default: all zero, which is fine for a cluster of one.
    #[must_use]
    pub const fn cluster(mut self, cluster: ClusterId) -> Self {
        self.cluster = cluster;
        self
    }

    /// Keeps the log in this directory, which is made if it does not exist.
    #[cfg(feature = "persistence")]
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.log = Place::Directory(dir.into());
        self
    }

    /// Size of the log's files, in bytes: a multiple of 4096 from 1 MiB to 1 GiB, and at least four
    /// times [`Builder::command_bytes_max`]. The log takes at least three of them on disk. It may be
    /// another one at each start. Default: 64 MiB.
    #[cfg(feature = "persistence")]
    #[must_use]
    pub const fn log_segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// What to do if entries of the log are damaged that no other node can give back. With
    /// [`OnLoss::Accept`] the node goes on without them and *all that follow*: what was acknowledged
    /// to clients may be gone. Say so for one start, and only if nothing else helps. Default:
    /// [`OnLoss::Refuse`], with an error that names what is lost.
    #[must_use]
    pub const fn on_loss(mut self, on_loss: OnLoss) -> Self {
        self.on_loss = on_loss;
        self
    }

    /// Keeps the log in memory. For tests: a node that restarts has forgotten its votes and what it
    /// acknowledged, so it must never come back under the same id in a cluster of several.
    #[must_use]
    pub fn in_memory(mut self) -> Self {
        self.log = Place::Memory;
        self
    }

    /// Keeps the log in a store of your own. Snapshots need a [`Builder::snapshot_dir`] then.
    #[must_use]
    pub fn log_store(mut self, log: impl OpenLog) -> Self {
        self.log = Place::Store(Box::new(log));
        self
    }

    /// Connects to the others by QUIC, listening at `listen`.
    #[cfg(feature = "quic")]
    #[must_use]
    pub fn quic(self, listen: std::net::SocketAddr, security: raft_net_quic::Security) -> Self {
        self.transport(crate::transport::Quic::new(listen, security))
    }

    /// Connects to the others by a transport of your own.
    #[must_use]
    pub fn transport(mut self, transport: impl OpenTransport) -> Self {
        self.transport = Some(Box::new(transport));
        self
    }

    /// The founding members, with the address of each. The same on every one of them, and at every
    /// start; only addresses may change.
    ///
    /// Once the membership has been changed, the log says who belongs to the cluster, and where they
    /// listen. A node that was away meanwhile finds those who came later if they are given here.
    #[must_use]
    pub fn bootstrap(mut self, members: Membership) -> Self {
        self.origin = Origin::Founder(members);
        self
    }

    /// Has the node join a cluster that exists, whose members are these: as far as anybody knows, and
    /// without this node. It waits until the leader adds it
    /// ([`Node::change_membership`]), then receives everything.
    ///
    /// Its id must be new: one that was ever a member must not come back with an empty log. Once it
    /// has a log, that says who the members are; only those that it does not name are looked for
    /// here. So this may stay the same at every start.
    #[must_use]
    pub fn join(mut self, members: Membership) -> Self {
        self.origin = Origin::Joiner(members);
        self
    }

    /// Longest silence of a leader. Default: 100 ms.
    #[must_use]
    pub const fn heartbeat_interval(mut self, interval: Duration) -> Self {
        self.config.heartbeat_interval = interval;
        self
    }

    /// Shortest silence after which a node campaigns; each wait is drawn from one to two times
    /// this. Default: 1 s.
    #[must_use]
    pub const fn election_timeout(mut self, timeout: Duration) -> Self {
        self.config.election_timeout = timeout;
        self
    }

    /// How evenly clocks run, so that a leader can answer [`ReadLevel::Lease`] without asking
    /// anybody. The election timeout must be the same on all nodes then. If a clock strays further,
    /// such a read may be stale; nothing else is at stake. Default: nothing is said, no leases.
    ///
    /// Linux only: elsewhere the node does not start with it, for want of a clock that goes on while
    /// the machine is suspended.
    ///
    /// [`ReadLevel::Lease`]: raft_core::ReadLevel::Lease
    #[must_use]
    pub const fn lease(mut self, lease: Lease) -> Self {
        self.config.lease = Some(lease);
        self
    }

    /// How gladly this node leads; one with less campaigns later. Votes are given without regard to
    /// it. Default: `u8::MAX`, the most.
    #[must_use]
    pub const fn priority(mut self, priority: u8) -> Self {
        self.config.priority = priority;
        self
    }

    /// How long a proposal, a read, a change or a transfer waits at most. Default: 5 s.
    #[must_use]
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// Whether a node that does not lead passes commands on. Default: [`Forwarding::ToLeader`].
    #[must_use]
    pub const fn forwarding(mut self, forwarding: Forwarding) -> Self {
        self.options.forwarding = forwarding;
        self
    }

    /// Longest command that is accepted, in bytes. Default: 4 MiB, which is also the most.
    #[must_use]
    pub const fn command_bytes_max(mut self, bytes: usize) -> Self {
        self.command_bytes_max = bytes;
        self
    }

    /// Bytes of commands that a leader holds without having committed them, and that wait to be
    /// taken, before it refuses more. Default: 64 MiB.
    #[must_use]
    pub const fn uncommitted_bytes_max(mut self, bytes: usize) -> Self {
        self.config.uncommitted_bytes_max = bytes;
        self
    }

    /// Keeps snapshots in this directory, which is made if it does not exist. Default: `snapshots`
    /// in the [data directory](Builder::data_dir), or memory if the log is in memory. A log store of
    /// your own has no default: without this, its log is kept for ever, and no snapshot of another
    /// node can be installed.
    #[must_use]
    pub fn snapshot_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.snapshot_dir = Some(dir.into());
        self
    }

    /// When snapshots are taken, and how much of the log stays.
    #[must_use]
    pub const fn snapshot_policy(mut self, policy: SnapshotPolicy) -> Self {
        self.options.snapshots.policy = policy;
        self
    }

    /// Bytes per second at which snapshots are written, sent and received, each; `None` for no
    /// bound. A snapshot that is written faster than the disk likes delays the log. Default: 128 MiB.
    #[must_use]
    pub const fn snapshot_bytes_per_second(mut self, rate: Option<NonZeroU64>) -> Self {
        self.snapshot_rate = rate;
        self.options.snapshots.sender.bytes_per_second = rate;
        self.options.snapshots.receiver.bytes_per_second = rate;
        self
    }

    /// How many snapshots are kept. Default: 2, at least 1.
    #[must_use]
    pub const fn snapshots_kept(mut self, count: usize) -> Self {
        self.snapshots_kept = count;
        self
    }

    /// Starts the node, on threads of its own, with a state machine that has applied nothing.
    ///
    /// Returns once the log is open, the state machine is restored from the newest snapshot, if there
    /// is one, and the transport listens; there may be no leader yet. Not
    /// cancel safe: a start that is dropped may go on, and then stops the node again.
    ///
    /// # Errors
    ///
    /// If the node cannot run. The error says what to do.
    pub async fn start<S: StateMachine>(self, state_machine: S) -> Result<Node<S>, StartError> {
        /// A larger one would not fit into a frame of the transport.
        const COMMAND_BYTES_MAX: usize = 4 << 20;
        if self.command_bytes_max > COMMAND_BYTES_MAX {
            return Err(StartError::Option(format!(
                "command_bytes_max is {}, at most {COMMAND_BYTES_MAX} is possible",
                self.command_bytes_max
            )));
        }
        #[cfg(feature = "persistence")]
        if matches!(self.log, Place::Directory(_))
            && u64::try_from(self.command_bytes_max).is_ok_and(|max| self.segment_bytes / 4 < max)
        {
            return Err(StartError::Option(format!(
                "log_segment_bytes is {}, it must be at least four times command_bytes_max",
                self.segment_bytes
            )));
        }
        if self.config.lease.is_some() && !Clock::GOES_ON_WHEN_SUSPENDED {
            let what = "leases need a clock that goes on while the machine is suspended";
            return Err(StartError::Option(format!("{what}; on this system there is none")));
        }
        let id = self.config.id;
        let command_bytes_max = self.command_bytes_max;
        let inbox = Arc::new(Inbox::new(self.config.uncommitted_bytes_max));
        let inside = Arc::clone(&inbox);
        let (ready, started) = oneshot::channel();
        let (stopped, stop_reason) = watch::channel(None);
        std::thread::Builder::new()
            .name(format!("raft-{id}"))
            .spawn(move || {
                let reason = run(self, state_machine, &inside, ready);
                inside.close(reason.clone());
                // Nobody may be left to hear it.
                drop(stopped.send(Some(reason)));
            })
            .map_err(|source| StartError::System { what: "a thread", source })?;
        let metrics = started.await.unwrap_or_else(|_| {
            Err(StartError::Option("the node stopped while it started".to_owned()))
        })?;
        Ok(Node::new(inbox, metrics, stop_reason, command_bytes_max))
    }

    /// What opens the place for snapshots.
    fn shelf(&self) -> impl FnOnce() -> Result<OpenedShelf, StartError> + use<> {
        let place = match (&self.snapshot_dir, &self.log) {
            (Some(dir), _) => Some(Some(dir.clone())),
            #[cfg(feature = "persistence")]
            (None, Place::Directory(dir)) => Some(Some(dir.join("snapshots"))),
            (None, Place::Memory) => Some(None),
            (None, Place::Unsaid | Place::Store(_)) => None,
        };
        let owner = Owner { cluster: self.cluster, ..self.options.snapshots.owner };
        let kept = self.snapshots_kept;
        move || match place {
            Some(Some(dir)) => open_shelf(OsDisk::new(&dir), owner, kept),
            Some(None) => open_shelf(MemoryDisk::default(), owner, kept),
            None => Ok((Arc::new(NoShelf), None)),
        }
    }

    /// What opens the log; to be called once.
    fn open_log(&mut self) -> Result<Box<dyn OpenLog>, StartError> {
        match std::mem::replace(&mut self.log, Place::Unsaid) {
            Place::Unsaid => Err(StartError::NoLog),
            Place::Memory => Ok(Box::new(OpenMemory { generation: seed() >> 1 })),
            #[cfg(feature = "persistence")]
            Place::Directory(dir) => Ok(Box::new(crate::log::OpenWal {
                disk: OsDisk::new(&dir),
                node: self.config.id,
                cluster: self.cluster,
                options: raft_wal::Options {
                    segment_bytes: self.segment_bytes,
                    // Others have what is lost; if they do not, the core refuses it.
                    on_corruption: raft_wal::OnCorruption::Report,
                    // More than the protocol lets gather: `uncommitted_bytes_max` and what peers
                    // may have under way to here.
                    queue_bytes_max: 512 << 20,
                    ..raft_wal::Options::default()
                },
                tail_bytes_max: 16 << 20,
            })),
            Place::Store(log) => Ok(log),
        }
    }
}

/// The life of a node's thread.
fn run<S: StateMachine>(
    builder: Builder,
    state_machine: S,
    inbox: &Arc<Inbox<S>>,
    ready: oneshot::Sender<Result<watch::Receiver<Metrics>, StartError>>,
) -> StopReason {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let what = "an event loop";
            drop(ready.send(Err(StartError::System { what, source })));
            return StopReason::Shutdown;
        }
    };
    let body = async {
        match open(builder, state_machine, inbox).await {
            Ok((event_loop, metrics)) => {
                if ready.send(Ok(metrics)).is_err() {
                    inbox.tell(Happening::Stop(StopReason::Shutdown));
                }
                // It holds the whole node.
                Box::pin(event_loop.run()).await
            }
            Err(error) => {
                drop(ready.send(Err(error)));
                StopReason::Shutdown
            }
        }
    };
    // What a panic leaves behind is not used: the node ends with it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(body)))
        .unwrap_or(StopReason::InvariantViolated)
}

/// Opens everything that a node needs.
async fn open<S: StateMachine>(
    mut builder: Builder,
    state_machine: S,
    inbox: &Arc<Inbox<S>>,
) -> Result<(EventLoop<S>, watch::Receiver<Metrics>), StartError> {
    let open_shelf = builder.shelf();
    let open_log = builder.open_log();
    let Builder { config, cluster, transport, origin, snapshot_rate, on_loss, .. } = builder;
    let mut options = builder.options;
    options.snapshots.owner.cluster = cluster;
    let id = config.id;
    config.validate().map_err(raft_core::RestoreError::from)?;
    check_origin(id, &origin, transport.is_some())?;
    let given = origin.members().cloned();

    let durable = Arc::clone(inbox);
    let callback = Box::new(move |seq| durable.tell(Happening::Durable(seq)));
    let OpenedLog { store, restored, damage, generation } = open_log?.open(callback)?;
    for damage in &damage {
        tracing::error!(node = %id, %damage, "the log is damaged");
    }
    // After the log: that is who says that the directory is in use.
    let (shelf, unreadable) = open_shelf()?;
    let Beginning { machine, restored, kept: newest, damage: unreadable } =
        restore(state_machine, &*shelf, unreadable, restored, generation)?;
    let restored = begin(&*store, inbox, origin, restored).await?;
    let restored = Restored { on_loss, ..restored };
    if restored.is_in_doubt {
        tracing::warn!(
            node = %id,
            "the newest write may be lost; this node's vote counts only if every voter gives one, until \
             it has caught up with a leader"
        );
    }
    let Some(peers) = Peers::new(id, given, memberships(&restored)) else {
        return Err(unreadable.map_or(StartError::NotBootstrapped, StartError::unreadable));
    };
    let local = Local {
        node: id,
        cluster,
        generation,
        genesis: genesis(&restored),
        peers: peers.addresses(),
    };

    let clock = Clock::start();
    let raft = Raft::new(config, restored, seed(), clock.now())
        .map_err(|error| StartError::from_restore(error, &damage, unreadable))?;
    let status = raft.status();
    let (metrics, watched) =
        watch::channel(metrics_of(&status, Arc::new(status.membership.clone())));
    let transport = open_transport(transport, local, inbox)?;
    let metrics = Arc::new(metrics);
    let system = |source| StartError::System { what: "a thread", source };
    let librarian = Librarian::start(id, Arc::clone(&shelf), Arc::clone(inbox)).map_err(system)?;
    let scribe = Scribe::new(id, shelf, Arc::clone(inbox), snapshot_rate);
    let (log, published) = (Arc::clone(&store), Arc::clone(&metrics));
    let worker =
        Worker::start(id, machine, log, scribe, Arc::clone(inbox), published).map_err(system)?;
    let mut driver = Driver::new(raft, options);
    let mut snapshots = Ledger::default();
    if let Some(kept) = newest {
        driver.on_snapshot_known(kept.bytes);
        (snapshots.metrics.last, snapshots.metrics.bytes) = (Some(kept.id.last), kept.bytes);
    }
    let inbox = Arc::clone(inbox);
    let event_loop = EventLoop {
        id,
        driver,
        inbox,
        log: store,
        transport,
        peers,
        worker,
        librarian,
        snapshots,
        clock,
        metrics,
        room: Room::Enough,
    };
    Ok((event_loop, watched))
}

/// The place for snapshots, and why one of them cannot be used, if so.
type OpenedShelf = (Arc<dyn Shelf>, Option<io::Error>);

fn open_shelf<D: Disk>(disk: D, owner: Owner, kept: usize) -> Result<OpenedShelf, StartError> {
    let options = raft_snapshot::Options { retain: kept, ..raft_snapshot::Options::default() };
    let (store, opened) = raft_snapshot::Store::open(disk, owner, options)?;
    let mut unreadable = None;
    for damaged in opened.damaged {
        // They come in the order of their names, and so of what they cover.
        unreadable = Some(damage(&damaged));
    }
    Ok((Arc::new(Store::new(store)), unreadable))
}

fn open_transport<S: StateMachine>(
    transport: Option<Box<dyn OpenTransport>>,
    local: Local,
    inbox: &Arc<Inbox<S>>,
) -> Result<Box<dyn Transport>, StartError> {
    let members = local.peers.len() + 1;
    match transport {
        Some(transport) => {
            let inbound: Arc<dyn raft_net::Inbound> = Arc::<Inbox<S>>::clone(inbox);
            let runtime = tokio::runtime::Handle::current();
            transport.open(local, inbound, runtime).map_err(StartError::Transport)
        }
        None if members == 1 => Ok(Box::new(Nowhere)),
        None => Err(StartError::NoTransport { members }),
    }
}

fn check_origin(id: NodeId, origin: &Origin, has_transport: bool) -> Result<(), StartError> {
    let needs_transport = match origin {
        Origin::Unsaid => None,
        Origin::Founder(founders) => {
            let members: Vec<_> = founders.members().collect();
            if !members.contains(&id) {
                return Err(StartError::NotAMember { id, members });
            }
            Some(members.len()).filter(|&members| members > 1)
        }
        Origin::Joiner(members) if members.contains(id) => {
            return Err(StartError::JoinsItself { id });
        }
        Origin::Joiner(members) => Some(members.members().count() + 1),
    };
    match needs_transport {
        Some(members) if !has_transport => Err(StartError::NoTransport { members }),
        Some(_) | None => Ok(()),
    }
}

/// What the core starts from: what the log and the snapshots have, or else a beginning.
async fn begin<S: StateMachine>(
    log: &dyn crate::log_store::LogStore,
    inbox: &Inbox<S>,
    origin: Origin,
    restored: Option<Restored>,
) -> Result<Restored, StartError> {
    match (restored, origin) {
        (Some(restored), origin) if restored.last != LogId::ZERO || restored.snapshot.is_some() => {
            check_members_agree(&origin, &restored)?;
            remember_members(log, inbox, origin, restored).await
        }
        // It may have voted before it received anything.
        (begun, Origin::Joiner(members)) => {
            let joining = Restored::joining(members);
            let Some(Restored { hard_state, is_in_doubt, .. }) = begun else { return Ok(joining) };
            Ok(Restored { hard_state, is_in_doubt, ..joining })
        }
        (None, Origin::Founder(founders)) => found_cluster(log, inbox, founders).await,
        (Some(_), Origin::Founder(_)) => Err(StartError::HasJoined),
        (Some(_) | None, Origin::Unsaid) => Err(StartError::NotBootstrapped),
    }
}

/// As long as the founders are the members, others would not be the cluster it belongs to.
fn check_members_agree(origin: &Origin, restored: &Restored) -> Result<(), StartError> {
    let (Origin::Founder(given), Some((at, stored))) = (origin, memberships(restored).last())
    else {
        return Ok(());
    };
    let (given, stored): (Vec<_>, Vec<_>) = (given.members().collect(), stored.members().collect());
    if given == stored || !is_founding(at) {
        Ok(())
    } else {
        Err(StartError::OtherMembers { given, stored })
    }
}

/// Makes the first entry of a new cluster durable.
async fn found_cluster<S: StateMachine>(
    log: &dyn crate::log_store::LogStore,
    inbox: &Inbox<S>,
    founders: Membership,
) -> Result<Restored, StartError> {
    let restored = Restored::bootstrap(founders);
    let (hard_state, append) = (Some(restored.hard_state), restored.tail.clone());
    write(log, inbox, Write { hard_state, append, ..Write::default() }).await?;
    Ok(restored)
}

/// Goes on with the members that were given if no others are known, because the entries that name
/// them are damaged, or the snapshot. A founder that is alone writes its first entry again: nobody
/// else has it.
async fn remember_members<S: StateMachine>(
    log: &dyn crate::log_store::LogStore,
    inbox: &Inbox<S>,
    origin: Origin,
    mut restored: Restored,
) -> Result<Restored, StartError> {
    let lacks_state = restored.snapshot.is_none() && restored.base != LogId::ZERO;
    let in_force = |(id, _): (LogId, _)| !lacks_state || id.index <= restored.base.index;
    if memberships(&restored).next().is_some_and(in_force) {
        return Ok(restored);
    }
    match origin {
        Origin::Unsaid => {}
        Origin::Joiner(members) => restored.memberships.insert(0, (LogId::ZERO, members)),
        Origin::Founder(members) if lacks_state => {
            let founding = Restored::bootstrap(members).memberships;
            restored.memberships.splice(..0, founding);
        }
        Origin::Founder(members) => {
            let founding = Restored::bootstrap(members.clone());
            if restored.term_starts.first() != Some(&founding.last) {
                return Ok(restored);
            }
            if members.members().count() == 1 {
                let repair = founding.tail;
                write(log, inbox, Write { repair, ..Write::default() }).await?;
                restored.faulty = restored.faulty.into_iter().filter_map(after_founding).collect();
            }
            restored.memberships.push((founding.last, members));
        }
    }
    Ok(restored)
}

/// What is lost beside the first entry.
fn after_founding(faulty: Faulty) -> Option<Faulty> {
    let first = faulty.first.max(LogIndex::new(2));
    faulty.last.is_none_or(|last| first <= last).then_some(Faulty { first, ..faulty })
}

/// Writes to the log before anything else does, and waits until that is durable.
async fn write<S: StateMachine>(
    log: &dyn crate::log_store::LogStore,
    inbox: &Inbox<S>,
    write: Write,
) -> Result<(), StartError> {
    log.submit(Write { seq: WriteSeq::default(), ..write })?;
    let mut happenings = Vec::new();
    loop {
        inbox.drain(&mut happenings);
        for happening in happenings.drain(..) {
            match happening {
                Happening::Durable(Ok(_)) => return Ok(()),
                Happening::Durable(Err(error)) => return Err(StartError::Log(error)),
                Happening::Stop(_) => {
                    let error = LogError::new("the node was stopped while it started");
                    return Err(StartError::Log(error));
                }
                // Nobody can ask a node that has not started.
                Happening::Propose(_)
                | Happening::Read { .. }
                | Happening::Change { .. }
                | Happening::HandOver { .. }
                | Happening::Packet { .. }
                | Happening::Peer(_)
                | Happening::Fetched { .. }
                | Happening::WantSnapshot(_)
                | Happening::Taken(_)
                | Happening::Restored(_)
                | Happening::Transfer(_)
                | Happening::Applied => {}
            }
        }
        inbox.filled().await;
    }
}

/// The memberships that are known, the oldest first: that of the snapshot, and those in the log.
fn memberships(restored: &Restored) -> impl Iterator<Item = (LogId, &Membership)> {
    let snapshot = restored.snapshot.iter().map(|meta| (meta.membership_id, &meta.membership));
    let covered = snapshot.clone().next().map(|(id, _)| id.index);
    let in_log = restored.memberships.iter().map(|(id, membership)| (*id, membership));
    snapshot.chain(in_log.filter(move |(id, _)| covered.is_none_or(|last| id.index > last)))
}

/// Digest of the founding members (FNV-1a), so that nodes that were started with different ones do
/// not take their logs for the same. Addresses may change, so they do not count.
fn genesis(restored: &Restored) -> Option<u64> {
    let (id, founding) = memberships(restored).next()?;
    let digest = |membership: &Membership| {
        let ids = membership.members().flat_map(|id| id.get().to_le_bytes());
        ids.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    (id.index == LogIndex::new(1)).then(|| digest(founding))
}

/// Randomness that differs from start to start: the standard library seeds its hash maps so.
fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
