//! What is drawn for each run: the cluster, its configuration, its hardware and its clients.

use std::time::Duration;

use raft::driver::{Forwarding, Options, SnapshotOptions, SnapshotPolicy};
use raft_core::{ClusterId, Config, Lease, NodeId};
use raft_net::Integrity;
use raft_snapshot::{ReceiverLimits, SenderLimits};
use raft_wal::OnCorruption;

use crate::random::Random;

/// A cluster, its configuration, its hardware and its clients.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Founding voters, 1 to 7.
    pub voters: u8,
    /// Founding learners.
    pub learners: u8,
    /// Servers that wait to become members.
    pub spares: u8,
    /// Of the core, the same on every node; see [`Config`].
    pub protocol: Protocol,
    /// How gladly each node leads, by its number counted round; see [`Config::priority`].
    pub priorities: [u8; 8],
    /// Of the driver, the same on every node.
    pub driver: Options,
    /// Of the log.
    pub log: raft_wal::Options,
    /// How snapshots are kept; when they are taken, the driver's options say.
    pub snapshots: Snapshots,
    /// Bytes of the newest entries that a restart reads back.
    pub restored_tail_bytes_max: usize,
    /// Whether frames carry a checksum.
    pub integrity: Integrity,
    /// The network when nothing is wrong with it.
    pub network: Network,
    /// Disks when nothing is wrong with them.
    pub disk: Disk,
    /// How much faster or slower than true time a node's clock goes at most, in millionths.
    pub drift_ppm_max: u32,
    /// How long a node gathers what happens before it takes it; zero to take everything at once.
    pub turn_delay_max: Duration,
    /// How long a state machine takes for a job at most.
    pub apply_delay_max: Duration,
    /// How long a state machine takes at most until it is as a snapshot says.
    pub restore_delay_max: Duration,
    /// Whether the log notes on disk that it is idle.
    pub marks_idle: bool,
    /// Whether a flush makes durable what the log writes at once, rather than all that waits.
    pub flushes_by_flight: bool,
    /// Who asks.
    pub clients: Clients,
    /// How long faults happen.
    pub chaos: Duration,
}

/// Limits and times of the protocol; see [`Config`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Protocol {
    /// [`Config::election_timeout`]
    pub election_timeout: Duration,
    /// [`Config::heartbeat_interval`]
    pub heartbeat_interval: Duration,
    /// [`Config::append_bytes_max`]
    pub append_bytes_max: usize,
    /// [`Config::in_flight_messages_max`]
    pub in_flight_messages_max: usize,
    /// [`Config::in_flight_bytes_max`]
    pub in_flight_bytes_max: usize,
    /// [`Config::gather_bytes_max`]
    pub gather_bytes_max: usize,
    /// [`Config::uncommitted_bytes_max`]
    pub uncommitted_bytes_max: usize,
    /// [`Config::tail_bytes_max`]
    pub tail_bytes_max: usize,
    /// [`Config::gather_after_entries`]
    pub gather_after_entries: usize,
    /// [`Config::lease`], for clocks that drift as much as [`Settings::drift_ppm_max`] says and
    /// never leap.
    pub has_lease: bool,
}

/// How snapshots are kept; see [`raft_snapshot::Options`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Snapshots {
    /// Bytes of a chunk.
    pub chunk_bytes: u32,
    /// How many are kept.
    pub retain: usize,
}

/// How packets travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Network {
    /// Shortest time from one node to another.
    pub delay_min: Duration,
    /// Longest time, unless something is wrong.
    pub delay_max: Duration,
    /// Whether the packets from one node to another keep their order.
    pub keeps_order: bool,
    /// How many packets in a million are lost although nothing is wrong.
    pub loss_per_million: u32,
    /// How many packets in a million arrive twice.
    pub repeat_per_million: u32,
    /// How often in a million the sender is told of a packet that was lost.
    pub notice_per_million: u32,
}

/// How long disks take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Disk {
    /// Shortest time of a write and its sync.
    pub sync_min: Duration,
    /// Longest time, unless something is wrong.
    pub sync_max: Duration,
    /// Longest time to read entries back.
    pub read_max: Duration,
}

/// Who asks, and how much.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Clients {
    /// How many there are; each waits for its reply before it asks again.
    pub count: u16,
    /// How long each waits between a reply and its next question, at most.
    pub pause_max: Duration,
    /// Whether they ask any node, or the one that they believe to lead.
    pub asks: Asks,
    /// How many questions a client asks at once.
    pub burst_max: u16,
    /// Registers of the default app.
    pub registers: u16,
    /// Bytes that fill each command of the default app.
    pub padding: u16,
}

/// Whom clients ask.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Asks {
    /// The node that answered last.
    TheLeader,
    /// Any of them.
    Anyone,
}

impl Settings {
    /// Three voters with heartbeats every 50 ms, elections after 150 to 300 ms, and at least 20
    /// operations a second: what speed is measured with.
    #[must_use]
    pub fn standard() -> Self {
        let millis = Duration::from_millis;
        let micros = Duration::from_micros;
        Self {
            voters: 3,
            learners: 0,
            spares: 0,
            protocol: Protocol {
                election_timeout: millis(150),
                heartbeat_interval: millis(50),
                append_bytes_max: 1 << 20,
                in_flight_messages_max: 256,
                in_flight_bytes_max: 8 << 20,
                gather_bytes_max: 64 << 10,
                uncommitted_bytes_max: 64 << 20,
                tail_bytes_max: 64 << 10,
                gather_after_entries: 32,
                has_lease: false,
            },
            priorities: [u8::MAX; 8],
            driver: Options {
                request_timeout: millis(2_000),
                forwarding: Forwarding::ToLeader,
                parked_bytes_max: 1 << 20,
                apply_bytes_max: 1 << 20,
                forward_bytes_max: 64 << 10,
                snapshots: no_snapshots(),
            },
            log: raft_wal::Options {
                segment_bytes: 128 << 10,
                queue_bytes_max: 512 << 20,
                tail_cache_bytes_max: 64 << 10,
                ..raft_wal::Options::default()
            },
            snapshots: Snapshots { chunk_bytes: 4_096, retain: 2 },
            restored_tail_bytes_max: 64 << 10,
            integrity: Integrity::Sealed,
            network: Network {
                delay_min: micros(200),
                delay_max: micros(1_000),
                keeps_order: true,
                loss_per_million: 0,
                repeat_per_million: 0,
                notice_per_million: 500_000,
            },
            disk: Disk { sync_min: micros(300), sync_max: micros(3_000), read_max: millis(2) },
            drift_ppm_max: 100,
            turn_delay_max: Duration::ZERO,
            apply_delay_max: Duration::ZERO,
            restore_delay_max: Duration::ZERO,
            marks_idle: false,
            flushes_by_flight: false,
            clients: Clients {
                count: 2,
                pause_max: millis(150),
                asks: Asks::TheLeader,
                burst_max: 1,
                registers: 8,
                padding: 0,
            },
            chaos: Duration::from_secs(120),
        }
    }

    /// The same for longer, with snapshots: a restart must not read all of a long log. There are
    /// more clients, for now and then they wait for a leader.
    pub(crate) fn long() -> Self {
        let mut settings = Self::standard();
        let policy = &mut settings.driver.snapshots.policy;
        (policy.log_entries_max, policy.trailing_entries) = (500, 100);
        settings.clients.count = 3;
        settings.clients.pause_max = Duration::from_millis(240);
        settings.chaos = Duration::from_mins(20);
        settings
    }

    /// What the seed draws.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut random = Random::of(seed, Stream::SETTINGS);
        let r = &mut random;
        let mut settings = Self::standard();
        settings.voters = r.pick(&[1, 2, 3, 3, 3, 3, 3, 4, 5, 5, 5, 7]);
        settings.learners = r.pick(&[0, 0, 0, 1, 2]);
        settings.protocol = Protocol::drawn(r);
        settings.driver = drawn_driver(r, settings.protocol.election_timeout);
        settings.log = drawn_log(r);
        settings.restored_tail_bytes_max = r.pick(&[0, 500, 64 << 10]);
        settings.integrity = r.pick(&[Integrity::Sealed, Integrity::Checksum]);
        settings.network = Network::drawn(r);
        settings.disk = Disk::drawn(r);
        settings.drift_ppm_max = r.pick(&[0, 100, 1_000, 50_000]);
        settings.turn_delay_max = Duration::from_micros(r.pick(&[0, 0, 0, 100, 2_000]));
        settings.apply_delay_max = Duration::from_micros(r.pick(&[0, 0, 0, 1_000, 30_000]));
        settings.marks_idle = r.coin();
        settings.clients = Clients::drawn(r);
        settings.chaos = Duration::from_secs(r.pick(&[10, 30, 60, 120]));
        if r.below(4) == 0 {
            settings.priorities = std::array::from_fn(|_| r.pick(&[u8::MAX, u8::MAX, 100, 0]));
        }
        settings.spares = r.pick(&[0, 0, 1, 2, 3, 4]);
        settings.snapshots = Snapshots::drawn(r);
        settings.driver.snapshots = drawn_snapshots(r, settings.protocol.election_timeout);
        settings.restore_delay_max = Duration::from_millis(r.pick(&[0, 0, 30, 1_000]));
        if Random::of(seed, Stream::TURNS).below(6) == 0 {
            // Much happens until a process gets its share of a processor.
            settings.turn_delay_max = settings.protocol.election_timeout / 3;
        }
        settings.flushes_by_flight = Random::of(seed, Stream::FLUSHES).below(3) == 0;
        settings
    }

    /// The configuration of one node's core.
    #[must_use]
    pub fn config(&self, id: NodeId) -> Config {
        let mut config = Config::new(id);
        let Protocol {
            election_timeout,
            heartbeat_interval,
            append_bytes_max,
            in_flight_messages_max,
            in_flight_bytes_max,
            gather_bytes_max,
            uncommitted_bytes_max,
            tail_bytes_max,
            gather_after_entries,
            has_lease,
        } = self.protocol;
        config.election_timeout = election_timeout;
        config.heartbeat_interval = heartbeat_interval;
        config.append_bytes_max = append_bytes_max;
        config.in_flight_messages_max = in_flight_messages_max;
        config.in_flight_bytes_max = in_flight_bytes_max;
        config.gather_bytes_max = gather_bytes_max;
        config.uncommitted_bytes_max = uncommitted_bytes_max;
        config.tail_bytes_max = tail_bytes_max;
        config.gather_after_entries = gather_after_entries;
        let number = usize::try_from(id.get() % 8).unwrap_or_default();
        config.priority = self.priorities[number];
        config.lease =
            has_lease.then_some(Lease { drift_ppm_max: self.drift_ppm_max, slack: Duration::ZERO });
        config
    }
}

impl Protocol {
    /// For how long a leader may rely on an answered heartbeat if all clocks are right but for
    /// `drift_ppm_max`: its own may be slow, and a voter's fast.
    pub(crate) fn lease(&self, drift_ppm_max: u32) -> Option<Duration> {
        let (slow, fast) = (1_000_000 - drift_ppm_max, 1_000_000 + drift_ppm_max);
        self.has_lease.then(|| self.election_timeout * slow / fast)
    }

    fn drawn(r: &mut Random) -> Self {
        let heartbeat_interval = Duration::from_millis(r.pick(&[20, 50, 50, 50, 50, 50, 50, 100]));
        Self {
            election_timeout: heartbeat_interval * r.pick(&[3, 3, 4, 10]),
            heartbeat_interval,
            append_bytes_max: r.pick(&[1, 300, 4_000, 1 << 20]),
            in_flight_messages_max: r.pick(&[1, 2, 8, 256]),
            in_flight_bytes_max: r.pick(&[1, 1_000, 8 << 20]),
            gather_bytes_max: r.pick(&[0, 300, 64 << 10]),
            uncommitted_bytes_max: r.pick(&[1, 2_000, 64 << 20]),
            tail_bytes_max: r.pick(&[0, 1_000, 64 << 10]),
            gather_after_entries: r.pick(&[1, 4, 32]),
            has_lease: r.coin(),
        }
    }
}

impl Snapshots {
    fn drawn(r: &mut Random) -> Self {
        Self { chunk_bytes: r.pick(&[20, 64, 4_096]), retain: r.pick(&[1, 2]) }
    }
}

impl Network {
    fn drawn(r: &mut Random) -> Self {
        let delay_min = Duration::from_micros(r.pick(&[10, 200, 1_000]));
        Self {
            delay_min,
            delay_max: delay_min * r.pick(&[1, 3, 10]),
            keeps_order: r.coin(),
            loss_per_million: r.pick(&[0, 0, 1_000, 20_000]),
            repeat_per_million: r.pick(&[0, 0, 1_000, 20_000]),
            notice_per_million: r.pick(&[0, 500_000, 1_000_000]),
        }
    }
}

impl Disk {
    fn drawn(r: &mut Random) -> Self {
        let sync_min = Duration::from_micros(r.pick(&[10, 300, 2_000]));
        Self {
            sync_min,
            sync_max: sync_min * r.pick(&[1, 4, 10]),
            read_max: Duration::from_micros(r.pick(&[10, 2_000, 20_000])),
        }
    }
}

impl Clients {
    fn drawn(r: &mut Random) -> Self {
        let count = r.pick(&[1, 2, 4, 8]);
        let burst_max = r.pick(&[1, 1, 1, 4]);
        // About 20 to 40 operations a second in all.
        let each = u64::from(count) * (1 + u64::from(burst_max)) / 2;
        let pause_max = Duration::from_millis(each * r.pick(&[45, 90, 95]));
        Self {
            count,
            pause_max,
            asks: r.pick(&[Asks::TheLeader, Asks::TheLeader, Asks::Anyone]),
            burst_max,
            registers: r.pick(&[1, 4, 16]),
            padding: r.pick(&[0, 0, 0, 100, 1_500]),
        }
    }
}

fn drawn_driver(r: &mut Random, election_timeout: Duration) -> Options {
    Options {
        request_timeout: election_timeout * r.pick(&[1, 5, 20]),
        forwarding: r.pick(&[Forwarding::ToLeader, Forwarding::ToLeader, Forwarding::Refused]),
        parked_bytes_max: r.pick(&[1, 2_000, 1 << 20]),
        apply_bytes_max: r.pick(&[1, 2_000, 1 << 20]),
        forward_bytes_max: r.pick(&[1, 500, 64 << 10]),
        snapshots: no_snapshots(),
    }
}

/// The cluster in which all runs take place.
pub(crate) const CLUSTER: ClusterId = ClusterId::new(*b"raft-sim cluster");

/// Mostly far too often, in some runs never.
fn drawn_snapshots(r: &mut Random, election: Duration) -> SnapshotOptions {
    let policy = SnapshotPolicy {
        log_bytes_min: r.pick(&[500, 5_000, 50_000, u64::MAX]),
        log_entries_max: r.pick(&[3, 20, 100, u64::MAX]),
        trailing_entries: r.pick(&[0, 1, 10, 100]),
        trailing_bytes: r.pick(&[0, 1_000, 64 << 20]),
    };
    let sender = SenderLimits {
        transfers_max: r.pick(&[1, 2]),
        requests_max: r.pick(&[1, 16]),
        idle_after: 4 * election,
        ..SenderLimits::default()
    };
    let receiver = ReceiverLimits {
        window: r.pick(&[1, 4]),
        retry_after: election,
        busy_for: election / 2,
        patience: 10 * election,
        ..ReceiverLimits::default()
    };
    SnapshotOptions { policy, sender, receiver, ..SnapshotOptions::new(CLUSTER) }
}

/// The log grows for ever.
fn no_snapshots() -> SnapshotOptions {
    let never = SnapshotPolicy {
        log_bytes_min: u64::MAX,
        log_entries_max: u64::MAX,
        ..SnapshotPolicy::default()
    };
    SnapshotOptions { policy: never, ..SnapshotOptions::new(CLUSTER) }
}

fn drawn_log(r: &mut Random) -> raft_wal::Options {
    raft_wal::Options {
        segment_bytes: r.pick(&[64 << 10, 64 << 10, 256 << 10]),
        queue_bytes_max: 512 << 20,
        flight_bytes_max: r.pick(&[1, 5_000, 1 << 20]),
        tail_cache_bytes_max: r.pick(&[0, 2_000, 64 << 10]),
        on_corruption: r.pick(&[OnCorruption::Fail, OnCorruption::Report, OnCorruption::Report]),
        ..raft_wal::Options::default()
    }
}

/// Names of the streams of chance of one seed.
#[derive(Debug)]
pub(crate) struct Stream;

impl Stream {
    pub(crate) const SETTINGS: u64 = 1;
    pub(crate) const SCHEDULE: u64 = 2;
    pub(crate) const LIVENESS: u64 = 3;
    pub(crate) const REST: u64 = 4;
    pub(crate) const FLUSHES: u64 = 5;
    pub(crate) const REHEARSALS: u64 = 6;
    pub(crate) const TURNS: u64 = 7;
    pub(crate) const NEWEST: u64 = 8;
    pub(crate) const PARTING: u64 = 9;
    pub(crate) const QUESTIONS: u64 = 10;
    pub(crate) const CLIENTS: u64 = 1 << 16;
    pub(crate) const NODES: u64 = 2 << 16;
    pub(crate) const DISKS: u64 = 3 << 16;
    pub(crate) const LINKS: u64 = 4 << 16;
    pub(crate) const STARTS: u64 = 5 << 16;
    pub(crate) const SHELVES: u64 = 6 << 16;
    pub(crate) const BASES: u64 = 7 << 16;
}
