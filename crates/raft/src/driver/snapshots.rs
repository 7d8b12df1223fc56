//! When a snapshot is taken, whom it is sent to, and whose is received.

use std::num::NonZeroU64;

use bytes::Bytes;
use raft_core::{ClusterId, GroupId, Install, LogIndex, NodeId, SnapshotMeta, Timestamp};
use raft_net::{Packet, SnapshotOutcome, SnapshotReply, SnapshotRequest};
use raft_snapshot::{
    Manifest, Owner, Prepared, Progress, ReceiveError, Receiver, ReceiverAction, ReceiverLimits,
    Refusal, Reply, Request, Sender, SenderAction, SenderLimits, Serving, SnapshotId,
    VerifiedChunk,
};

/// When snapshots are taken, how much of the log stays, and bounds on their transfer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotOptions {
    /// Whose snapshots these are.
    pub owner: Owner,
    /// When one is taken.
    pub policy: SnapshotPolicy,
    /// Bounds on sending.
    pub sender: SenderLimits,
    /// Bounds on receiving.
    pub receiver: ReceiverLimits,
}

/// When a snapshot is taken, and how much of the log stays.
///
/// One is due when the log has grown since the last one by as many bytes as that one has, but by
/// `log_bytes_min` at least; or by `log_entries_max` entries. So a node writes no more than twice
/// for snapshots what it writes for the log, and a restart applies a bounded number of entries.
/// Each node waits a little longer than that, by up to a quarter and never the same, so that not
/// all of them take theirs at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SnapshotPolicy {
    /// Bytes by which the log grows before another one is taken, at the least. Default: 64 MiB.
    pub log_bytes_min: u64,
    /// Entries by which the log grows before another one is taken, at the most. Default: a million.
    pub log_entries_max: u64,
    /// Entries before the snapshot that stay in the log, for followers that lag a little. Default:
    /// 10 000.
    pub trailing_entries: u64,
    /// Bytes of those, about. Default: 64 MiB.
    pub trailing_bytes: u64,
}

impl Default for SnapshotPolicy {
    fn default() -> Self {
        Self {
            log_bytes_min: 64 << 20,
            log_entries_max: 1_000_000,
            trailing_entries: 10_000,
            trailing_bytes: 64 << 20,
        }
    }
}

impl SnapshotOptions {
    /// The usual ones, for the first group of a cluster.
    #[must_use]
    pub fn new(cluster: ClusterId) -> Self {
        Self {
            owner: Owner { cluster, group: GroupId::FIRST },
            policy: SnapshotPolicy::default(),
            sender: SenderLimits::default(),
            receiver: ReceiverLimits::default(),
        }
    }
}

/// Work on the shelf of snapshots, to be answered with [`TransferDone`]. What concerns the one that
/// is being received is to be done in order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SnapshotTask {
    /// Read this part for a peer, and keep the snapshot for it.
    Read {
        /// For whom.
        to: NodeId,
        /// Which.
        request: Request,
    },
    /// Forget what was kept for this peer.
    Release {
        /// Whose.
        to: NodeId,
    },
    /// Look what of this snapshot is there.
    Prepare {
        /// Of the snapshot.
        manifest: Manifest,
    },
    /// Write a part of the snapshot that was prepared last.
    Write {
        /// The part.
        chunk: VerifiedChunk,
    },
    /// Publish the snapshot that was prepared last.
    Publish {
        /// Its name.
        id: SnapshotId,
    },
}

/// What has become of a [`SnapshotTask`].
#[derive(Debug)]
pub enum TransferDone {
    /// Of [`SnapshotTask::Read`].
    Read {
        /// For whom.
        to: NodeId,
        /// What was asked.
        request: Request,
        /// What there is of it.
        outcome: Result<Bytes, Refusal>,
    },
    /// Of [`SnapshotTask::Prepare`].
    Prepared {
        /// Of which snapshot.
        id: SnapshotId,
        /// What of it is there.
        outcome: Result<Prepared, ReceiveError>,
    },
    /// Of [`SnapshotTask::Write`].
    Written {
        /// Of which snapshot.
        id: SnapshotId,
        /// Which part.
        number: u32,
        /// Whether it is written.
        outcome: Result<(), ReceiveError>,
    },
    /// Of [`SnapshotTask::Publish`].
    Published {
        /// Of which snapshot.
        id: SnapshotId,
        /// Whether it is durable.
        outcome: Result<(), ReceiveError>,
    },
}

/// What has become of a [`Job`](super::Job) about snapshots.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SnapshotDone {
    /// Of [`Job::Snapshot`](super::Job::Snapshot): it is durable.
    Taken {
        /// What it covers.
        meta: SnapshotMeta,
        /// Its length.
        bytes: u64,
    },
    /// Of [`Job::Snapshot`](super::Job::Snapshot): there is none.
    NotTaken,
    /// Of [`Job::Restore`](super::Job::Restore): the state machine is as the snapshot says.
    Restored {
        /// What it covers.
        meta: SnapshotMeta,
    },
}

/// What a transfer came to.
pub(super) enum Received {
    /// It is published, and to be installed.
    Complete(SnapshotId, SnapshotMeta),
    /// It will not come.
    Failed(SnapshotMeta),
}

/// A driver's part in snapshots.
#[derive(Debug)]
pub(super) struct Snapshots {
    id: NodeId,
    policy: SnapshotPolicy,
    sender: Sender,
    receiver: Receiver,
    growth: Growth,
    taking: Taking,
    /// What the state machine is being restored from.
    pub(super) restoring: Option<SnapshotMeta>,
    /// To be published then, and not before: what the state machine is restored from must not give
    /// way to it.
    publishable: Option<SnapshotId>,
}

/// By how much the log has grown since a snapshot was last begun.
#[derive(Debug)]
struct Growth {
    /// Where the state machine was.
    from: LogIndex,
    /// Bytes since, about.
    bytes: u64,
    /// Bytes of the newest snapshot.
    snapshot_bytes: u64,
    /// Bytes of an entry, about.
    entry_bytes: u64,
    /// How many were begun; decides the next wait.
    begun: u64,
}

/// What is being sent of snapshots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sending {
    /// Nothing.
    Nothing,
    /// The newest one.
    Newest,
    /// One after which another was begun: what follows it may soon be gone from the log.
    Superseded,
}

/// Whether a snapshot is being taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Taking {
    Idle,
    /// Somebody wants one.
    Wanted,
    UnderWay,
    /// Somebody wants one that begins after the one under way.
    UnderWayAndWanted,
}

impl Snapshots {
    pub(super) fn new(id: NodeId, base: LogIndex, options: SnapshotOptions) -> Self {
        let SnapshotOptions { owner, policy, sender, receiver } = options;
        Self {
            id,
            policy,
            sender: Sender::new(sender),
            receiver: Receiver::new(owner, receiver),
            growth: Growth { from: base, bytes: 0, snapshot_bytes: 0, entry_bytes: 1, begun: 0 },
            taking: Taking::Idle,
            restoring: None,
            publishable: None,
        }
    }

    /// Whether the state machine is being restored from a snapshot that reaches as far as `last`.
    pub(super) fn is_restoring(&self, last: LogIndex) -> bool {
        self.restoring.as_ref().is_some_and(|restoring| restoring.last.index >= last)
    }

    /// Says how long the newest snapshot is.
    pub(super) const fn on_known(&mut self, bytes: u64) {
        self.growth.snapshot_bytes = bytes;
    }

    /// Entries of so many bytes were appended to the log.
    pub(super) const fn on_append(&mut self, bytes: u64) {
        self.growth.bytes += bytes;
    }

    pub(super) const fn want(&mut self) {
        self.taking = match self.taking {
            Taking::Idle | Taking::Wanted => Taking::Wanted,
            Taking::UnderWay | Taking::UnderWayAndWanted => Taking::UnderWayAndWanted,
        };
    }

    /// A snapshot is wanted that may be the one under way.
    pub(super) const fn want_first(&mut self) {
        self.taking = match self.taking {
            Taking::Idle => Taking::Wanted,
            Taking::Wanted | Taking::UnderWay | Taking::UnderWayAndWanted => self.taking,
        };
    }

    /// Whether a snapshot is to be taken of a state machine that has applied `handed`.
    pub(super) fn is_due(&self, handed: LogIndex) -> bool {
        match self.taking {
            Taking::Idle => self.is_long(handed),
            Taking::Wanted => true,
            Taking::UnderWay | Taking::UnderWayAndWanted => false,
        }
    }

    /// One is under way from now on, of a state machine that has applied `handed`.
    pub(super) fn begin(&mut self, handed: LogIndex) {
        self.taking = Taking::UnderWay;
        self.growth.begun += 1;
        self.restart(handed);
    }

    /// The log grows from `from` on.
    pub(super) fn restart(&mut self, from: LogIndex) {
        let entries = from.distance_from(self.growth.from).max(1);
        self.growth.entry_bytes = (self.growth.bytes / entries).max(1);
        self.growth.from = from;
        self.growth.bytes = 0;
    }

    /// The number of the attempt that is under way, or was the last one.
    pub(super) const fn begun(&self) -> u64 {
        self.growth.begun
    }

    /// The one under way has come to its end, good or bad.
    pub(super) const fn end(&mut self) {
        self.taking = match self.taking {
            Taking::UnderWay | Taking::Idle => Taking::Idle,
            Taking::UnderWayAndWanted | Taking::Wanted => Taking::Wanted,
        };
    }

    fn is_long(&self, handed: LogIndex) -> bool {
        let entries = handed.distance_from(self.growth.from);
        let bytes_max = self.policy.log_bytes_min.max(self.growth.snapshot_bytes);
        let is_long = entries >= self.later(self.policy.log_entries_max);
        entries > 0 && (is_long || self.growth.bytes >= self.later(bytes_max))
    }

    /// A little more than `threshold`, and not the same on every node nor every time.
    fn later(&self, threshold: u64) -> u64 {
        let mut z = self.id.get().wrapping_add(self.growth.begun << 32);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Of 1024 parts at most 255.
        let more = u128::from(threshold) * u128::from(z >> 56) / 1024;
        threshold.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
    }

    /// How far the log may be forgotten once a snapshot up to `last` is durable.
    pub(super) fn compact_to(&self, last: LogIndex) -> LogIndex {
        let by_bytes = self.policy.trailing_bytes / self.growth.entry_bytes;
        let trailing = self.policy.trailing_entries.min(by_bytes);
        LogIndex::new(last.get().saturating_sub(trailing))
    }

    pub(super) fn install(&mut self, now: Timestamp, install: Install) {
        self.receiver.start(now, install.from, install.snapshot);
    }

    /// The log has come as far without a snapshot.
    pub(super) fn on_committed(&mut self, commit: LogIndex) {
        if self.receiver.progress().is_some_and(|progress| progress.last.index <= commit) {
            self.receiver.cancel();
        }
    }

    pub(super) fn on_request(&mut self, now: Timestamp, from: NodeId, request: SnapshotRequest) {
        self.sender.on_request(now, from, request_of(request));
    }

    pub(super) fn on_reply(&mut self, now: Timestamp, from: NodeId, reply: SnapshotReply) {
        let SnapshotReply { request, outcome } = reply;
        let outcome = match outcome {
            SnapshotOutcome::Bytes(bytes) => Ok(bytes),
            SnapshotOutcome::Unknown => Err(Refusal::Unknown),
            SnapshotOutcome::OutOfRange => Err(Refusal::OutOfRange),
            SnapshotOutcome::Busy => Err(Refusal::Busy),
            SnapshotOutcome::Unreadable => Err(Refusal::Unreadable),
        };
        self.receiver.on_reply(now, from, Reply { request: request_of(request), outcome });
    }

    /// What was to be read, written or published for a transfer is.
    pub(super) fn on_transfer(&mut self, now: Timestamp, done: TransferDone) {
        match done {
            TransferDone::Read { to, request, outcome } => {
                self.sender.on_read(now, to, request, outcome);
            }
            TransferDone::Prepared { id, outcome } => self.receiver.on_prepared(now, id, outcome),
            TransferDone::Written { id, number, outcome } => {
                self.receiver.on_written(now, id, number, outcome);
            }
            TransferDone::Published { id, outcome } => self.receiver.on_published(id, outcome),
        }
    }

    pub(super) fn on_gone(&mut self, peer: NodeId) {
        self.sender.on_gone(peer);
        self.receiver.on_gone(peer);
    }

    pub(super) const fn is_taking(&self) -> bool {
        matches!(self.taking, Taking::UnderWay | Taking::UnderWayAndWanted)
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        self.receiver.progress()
    }

    pub(super) fn serving(&self) -> Vec<Serving> {
        self.sender.serving().collect()
    }

    pub(super) fn sending(&self) -> Sending {
        match self.sender.serving().map(|serving| serving.last.index).min() {
            None => Sending::Nothing,
            Some(oldest) if oldest < self.growth.from => Sending::Superseded,
            Some(_) => Sending::Newest,
        }
    }

    pub(super) fn set_sending_rate(&mut self, bytes_per_second: Option<NonZeroU64>) {
        self.sender.set_rate(bytes_per_second);
    }

    /// Whether no snapshot is on its way, as nearly always.
    #[inline]
    fn is_idle(&self) -> bool {
        self.sender.is_idle() && self.receiver.is_idle() && self.publishable.is_none()
    }

    #[inline]
    pub(super) fn next_deadline(&self) -> Timestamp {
        if self.is_idle() {
            return Timestamp::NEVER;
        }
        self.sender.next_deadline().min(self.receiver.next_deadline())
    }

    /// Everything that is to be done; what transfers have come to.
    pub(super) fn poll(
        &mut self,
        now: Timestamp,
        packets: &mut Vec<(NodeId, Packet)>,
        tasks: &mut Vec<SnapshotTask>,
    ) -> Vec<Received> {
        if self.is_idle() {
            return Vec::new();
        }
        while let Some(action) = self.sender.poll(now) {
            match action {
                SenderAction::Read { to, request } => {
                    tasks.push(SnapshotTask::Read { to, request });
                }
                SenderAction::Release { to } => tasks.push(SnapshotTask::Release { to }),
                SenderAction::Send { to, reply } => packets.push((to, reply_packet(reply))),
            }
        }
        let mut received = Vec::new();
        while let Some(action) = self.receiver.poll(now) {
            match action {
                ReceiverAction::Ask { to, request } => {
                    packets.push((to, Packet::SnapshotRequest(wire_request(request))));
                }
                ReceiverAction::Prepare { manifest } => {
                    tasks.push(SnapshotTask::Prepare { manifest });
                }
                ReceiverAction::Write { chunk } => tasks.push(SnapshotTask::Write { chunk }),
                ReceiverAction::Publish { id } => self.publishable = Some(id),
                ReceiverAction::Finished { meta, outcome: Ok(id), .. } => {
                    received.push(Received::Complete(id, *meta));
                }
                ReceiverAction::Finished { meta, outcome: Err(_), .. } => {
                    received.push(Received::Failed(*meta));
                }
            }
        }
        if self.restoring.is_none()
            && let Some(id) = self.publishable.take()
        {
            tasks.push(SnapshotTask::Publish { id });
        }
        received
    }
}

const fn request_of(request: SnapshotRequest) -> Request {
    match request {
        SnapshotRequest::Manifest { last, offset } => Request::Manifest { last, offset },
        SnapshotRequest::Chunk { last, digest, number } => {
            Request::Chunk { id: SnapshotId { last, digest }, number }
        }
    }
}

const fn wire_request(request: Request) -> SnapshotRequest {
    match request {
        Request::Manifest { last, offset } => SnapshotRequest::Manifest { last, offset },
        Request::Chunk { id: SnapshotId { last, digest }, number } => {
            SnapshotRequest::Chunk { last, digest, number }
        }
    }
}

fn reply_packet(reply: Reply) -> Packet {
    let Reply { request, outcome } = reply;
    let outcome = match outcome {
        Ok(bytes) => SnapshotOutcome::Bytes(bytes),
        Err(Refusal::Unknown) => SnapshotOutcome::Unknown,
        Err(Refusal::OutOfRange) => SnapshotOutcome::OutOfRange,
        Err(Refusal::Busy) => SnapshotOutcome::Busy,
        Err(Refusal::Unreadable | _) => SnapshotOutcome::Unreadable,
    };
    Packet::SnapshotReply(SnapshotReply { request: wire_request(request), outcome })
}
