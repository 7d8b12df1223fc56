//! What is said of a node before it runs.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{ClusterId, Config, Lease, Membership, NodeId, OnLoss};
use raft_snapshot::disk::{Disk, OsDisk};
use raft_snapshot::{MemoryDisk, Owner};
use tokio::sync::{oneshot, watch};

use super::Node;
use super::clock::Clock;
use super::inbox::Inbox;
use super::origin::Origin;
use super::pace::SnapshotPace;
use super::start::{run, seed};
use crate::driver::{Forwarding, Options, SnapshotOptions, SnapshotPolicy};
use crate::error::StartError;
use crate::log::OpenMemory;
use crate::log_store::OpenLog;
use crate::snapshot::{NoShelf, Shelf, Store, damage};
use crate::state_machine::StateMachine;
use crate::transport::OpenTransport;

/// Says how a node is to run; [`Builder::start`] runs it. Made by [`Node::builder`].
pub struct Builder {
    pub(super) config: Config,
    pub(super) cluster: ClusterId,
    log: Place,
    pub(super) transport: Option<Box<dyn OpenTransport>>,
    pub(super) origin: Origin,
    pub(super) options: Options,
    snapshot_dir: Option<PathBuf>,
    pub(super) snapshot_rate: Option<NonZeroU64>,
    pub(super) snapshot_pace: SnapshotPace,
    snapshots_kept: usize,
    command_bytes_max: usize,
    #[cfg(feature = "persistence")]
    segment_bytes: u64,
    pub(super) on_loss: OnLoss,
}

/// Where the log is kept.
enum Place {
    Unsaid,
    Memory,
    #[cfg(feature = "persistence")]
    Directory(PathBuf),
    Store(Box<dyn OpenLog>),
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
            snapshot_pace: SnapshotPace::default(),
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
    /// listen. A node that was away meanwhile finds those who came later if they are given here, and hears
    /// them in any case once they call.
    #[must_use]
    pub fn bootstrap(mut self, members: Membership) -> Self {
        self.origin = Origin::Founder(members);
        self
    }

    /// Has the node join a cluster that exists, whose members are these: as far as anybody knows, and
    /// without this node. It waits until the leader adds it
    /// ([`Node::change_membership`]), then receives everything, also from a leader who is none of these.
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
    /// bound. How much less that is while the log is in use, [`Builder::snapshot_pace`] says.
    /// Default: 128 MiB.
    #[must_use]
    pub const fn snapshot_bytes_per_second(mut self, rate: Option<NonZeroU64>) -> Self {
        self.snapshot_rate = rate;
        self.options.snapshots.sender.bytes_per_second = rate;
        self.options.snapshots.receiver.bytes_per_second = rate;
        self
    }

    /// How fast the snapshots that this node takes are written, and how fast it sends them, within the
    /// bound. State machines that cannot be frozen wait until one is written, and it is written as fast
    /// as it goes. Default: [`SnapshotPace::FollowsLog`].
    #[must_use]
    pub const fn snapshot_pace(mut self, pace: SnapshotPace) -> Self {
        self.snapshot_pace = pace;
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
    pub(super) fn shelf(&self) -> impl FnOnce() -> Result<OpenedShelf, StartError> + use<> {
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
    pub(super) fn open_log(&mut self) -> Result<Box<dyn OpenLog>, StartError> {
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

/// The place for snapshots, and why one of them cannot be used, if so.
pub(super) type OpenedShelf = (Arc<dyn Shelf>, Option<io::Error>);

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
