//! One node: its disk, its clock, and the process while it runs.

use std::collections::VecDeque;

use bytes::Bytes;
use raft::Frozen;
use raft::driver::{Driver, Job, SnapshotDone, SnapshotTask, TransferDone};
use raft::sim::{Machine, SteppedLog, SteppedShelf};
use raft_core::{
    Entry, Fetch, LogId, Membership, NodeId, ReadLevel, SnapshotMeta, Timestamp, WriteSeq,
};
use raft_net::Packet;
use raft_wal::sim::SimDisk;

use super::mirror::Mirror;
use super::notes::Noticed;
use crate::app::App;
use crate::check::{Callers, Counted, Doubt, Growth, Monotone, Office, Proofs, Space, Voter};
use crate::random::Random;
use crate::schedule::{Class, Wayward};
use crate::tracked::Tracked;

/// A machine, on which at most one process runs.
pub(super) struct Node<A: App> {
    pub(super) id: NodeId,
    pub(super) disk: SimDisk,
    /// Where its snapshots are.
    pub(super) shelf_disk: SimDisk,
    /// A call to that one fails, or has failed.
    pub(super) is_shelf_faulty: bool,
    pub(super) clock: Clock,
    pub(super) random: Random,
    pub(super) process: Option<Process<A>>,
    /// Counts processes: what belongs to an earlier one does not happen.
    pub(super) life: u32,
    /// How many faults hold it.
    pub(super) pauses: u16,
    /// How many faults keep it from starting.
    pub(super) outages: u16,
    /// It will never start again.
    pub(super) is_lost: bool,
    /// The disk takes no write before.
    pub(super) stalled_until: u64,
    /// The medium was damaged: what was durable may be gone.
    pub(super) is_damaged: bool,
    /// How often that of the log was, since the log was last opened.
    pub(super) wounds: u32,
    /// The fault of the disk that is to come.
    pub(super) planned: Option<Class>,
    /// Where the log's next write goes, if not where it should.
    pub(super) wayward: Option<Wayward>,
    /// A write went astray: what was durable may be gone, and nothing be left that says so.
    pub(super) is_deceived: bool,
    pub(super) mirror: Mirror,
    pub(super) noticed: Noticed,
    pub(super) monotone: Monotone,
    pub(super) office: Office,
    pub(super) growth: Growth,
    pub(super) voter: Voter,
    pub(super) doubt: Doubt,
    /// What it counts if it leads.
    pub(super) counted: Counted,
    pub(super) proofs: Proofs,
    pub(super) callers: Callers,
    /// Those who wait for a change of the members, or of the leader.
    pub(super) operators: Callers,
}

/// A process.
pub(super) struct Process<A: App> {
    pub(super) driver: Driver<u32, u32>,
    pub(super) log: SteppedLog<SimDisk>,
    pub(super) shelf: SteppedShelf<SimDisk>,
    pub(super) machine: Machine<Tracked<A::Machine>>,
    pub(super) inbox: Vec<Happening>,
    pub(super) jobs: VecDeque<Job<u32, u32>>,
    /// A job is under way.
    pub(super) is_applying: bool,
    /// What the shelf has to do.
    pub(super) chores: VecDeque<Chore>,
    /// It is doing something.
    pub(super) is_shelving: bool,
    /// A flush is under way.
    pub(super) is_flushing: bool,
    /// Writes so far.
    pub(super) writes: u32,
    /// Bytes of the log that are known to be durable.
    pub(super) durable_bytes: u64,
    pub(super) space: Space,
    /// Whether the log has room for entries, as far as the driver was told.
    pub(super) has_room: bool,
    /// A turn is due that takes what has gathered.
    pub(super) is_turn_due: bool,
    /// When it is woken next, in true time.
    pub(super) wakes_at: u64,
    /// The last entry when it took office, or its last entry otherwise.
    pub(super) inherited: LogId,
    /// The newest membership when it was last looked at, and its entry.
    pub(super) membership: (LogId, Membership),
}

/// Something that has happened to a process.
#[derive(Debug)]
pub(super) enum Happening {
    /// `run` is the sender's, when it sent that.
    Packet {
        from: NodeId,
        run: u32,
        packet: Packet,
    },
    Durable(WriteSeq),
    Fetched {
        fetch: Fetch,
        entries: Vec<Entry>,
    },
    Unreachable(NodeId),
    Gone(NodeId),
    Transfer(TransferDone),
    Snapshot(SnapshotDone),
    Propose(Vec<(Bytes, u32)>),
    Read(ReadLevel, Vec<u32>),
}

/// Work for the shelf of snapshots.
#[derive(Debug)]
pub(super) enum Chore {
    Task(SnapshotTask),
    Take { meta: SnapshotMeta, frozen: Frozen },
}

/// A clock that is wrong about how fast time passes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// True time at which it showed `shown`.
    set_at: u64,
    shown: u64,
    /// What it counts in a million true microseconds.
    rate: u64,
}

const MILLION: u64 = 1_000_000;

impl Clock {
    /// A clock that is started at `now`.
    pub(super) fn start(now: u64, drift_ppm_max: u32, random: &mut Random) -> Self {
        let drift = u64::from(drift_ppm_max);
        let rate = MILLION - drift + random.below(2 * drift + 1);
        Self { set_at: now, shown: random.below(60 * MILLION), rate }
    }

    /// What it shows at a true time.
    pub(super) const fn at(&self, now: u64) -> Timestamp {
        let passed = now.saturating_sub(self.set_at);
        Timestamp::from_micros(self.shown + passed * self.rate / MILLION)
    }

    /// The true time at which it will show `timestamp`, or has.
    pub(super) const fn when(&self, timestamp: Timestamp) -> u64 {
        if timestamp.as_micros() == Timestamp::NEVER.as_micros() {
            return u64::MAX;
        }
        let wait = timestamp.as_micros().saturating_sub(self.shown);
        self.set_at + (wait * MILLION).div_ceil(self.rate)
    }

    /// Makes it leap ahead.
    pub(super) const fn leap(&mut self, now: u64, micros: u64) {
        self.shown = self.at(now).as_micros() + micros;
        self.set_at = now;
    }
}

impl<A: App> Node<A> {
    /// Whether its log may be shorter than it was, or lack a term or a vote, and not know it. All that
    /// excuses that:
    ///
    /// * A write went nowhere, or elsewhere. Behind the end are zeros then, as if nothing had been
    ///   written there, or such a part of it as a write leaves that was under way: no log could tell.
    /// * The log was damaged in two places at once. What is not the newest write is vouched for once,
    ///   and a term and a vote stand twice.
    pub(super) const fn may_lose_unnoticed(&self) -> bool {
        self.is_deceived || self.wounds > 1
    }

    /// Whether a process runs and is not held.
    pub(super) const fn is_awake(&self) -> bool {
        self.process.is_some() && self.pauses == 0
    }
}
