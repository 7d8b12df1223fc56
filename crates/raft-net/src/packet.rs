//! What travels between nodes, and on which lane.

use bytes::Bytes;
use raft_core::{Body, Entry, EntryPayload, LogId, Message, NodeId};

/// One thing that a node tells another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet {
    /// A message of the protocol.
    Raft(Message),
    /// Commands for the leader to propose.
    Forward(Forward),
    /// What became of a [`Forward`].
    ForwardReply(ForwardReply),
    /// Asks for a part of a snapshot.
    SnapshotRequest(SnapshotRequest),
    /// Answers a [`SnapshotRequest`].
    SnapshotReply(SnapshotReply),
}

/// Asks the leader to propose these commands, as one batch and in this order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forward {
    /// Chosen by the sender, echoed in the reply.
    pub id: u64,
    /// Encoded commands.
    pub commands: Vec<Bytes>,
}

/// Answers a [`Forward`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ForwardReply {
    /// The id of the [`Forward`].
    pub id: u64,
    /// What became of the commands.
    pub outcome: ForwardOutcome,
}

/// What became of forwarded commands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ForwardOutcome {
    /// They stand in the leader's log, with consecutive indexes. That is not committed yet.
    Appended {
        /// The entry of the first command.
        first: LogId,
        /// How many commands there were.
        count: u32,
    },
    /// Certainly not appended: the receiver does not lead.
    NotLeader {
        /// Who does, as far as the receiver knows.
        leader: Option<NodeId>,
    },
    /// Certainly not appended: the leader has too much in flight. Try again later.
    Busy,
}

/// Asks for a part of a snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SnapshotRequest {
    /// The manifest of the snapshot that ends with `last`.
    Manifest {
        /// The last entry that it covers.
        last: LogId,
        /// Where in the manifest to begin, in bytes.
        offset: u32,
    },
    /// A chunk of the data.
    Chunk {
        /// The last entry that the snapshot covers.
        last: LogId,
        /// Checksum of its manifest; the two together name a snapshot.
        digest: u32,
        /// Counted from zero.
        number: u32,
    },
}

/// Answers a [`SnapshotRequest`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotReply {
    /// What was asked.
    pub request: SnapshotRequest,
    /// What there is of it.
    pub outcome: SnapshotOutcome,
}

/// What there is of a snapshot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SnapshotOutcome {
    /// What was asked, or as much as fits.
    Bytes(Bytes),
    /// There is no such snapshot, or not any more.
    Unknown,
    /// The snapshot has no such part.
    OutOfRange,
    /// Others are being served; ask again later.
    Busy,
    /// The snapshot is there, and cannot be read.
    Unreadable,
}

/// Keeps packets that must not wait for each other apart.
///
/// Packets of one lane to one peer arrive in the order of sending (heartbeats aside); there is no
/// order between lanes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lane {
    /// Elections, heartbeats, read indexes: small, urgent.
    Control,
    /// Entries and their acknowledgements.
    Append,
    /// Parts of snapshots: many bytes that can wait.
    Bulk,
}

impl Packet {
    /// The lane that this packet takes.
    #[must_use]
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Raft(message) => match message.body {
                Body::AppendEntries(_)
                | Body::AppendReply(_)
                | Body::RepairReply(_)
                | Body::InstallSnapshot(_) => Lane::Append,
                Body::Heartbeat(_)
                | Body::HeartbeatReply(_)
                | Body::CommitNotice(_)
                | Body::PreVote(_)
                | Body::PreVoteReply(_)
                | Body::RequestVote(_)
                | Body::TransferVote(_)
                | Body::VoteReply(_)
                | Body::TimeoutNow
                | Body::Removed(_)
                | Body::EndRequest(_)
                | Body::EndReply(_)
                | Body::RepairRequest(_)
                | Body::ReadIndex(_)
                | Body::ReadIndexReply(_) => Lane::Control,
            },
            Self::Forward(_) | Self::ForwardReply(_) => Lane::Append,
            Self::SnapshotRequest(_) => Lane::Control,
            Self::SnapshotReply(_) => Lane::Bulk,
        }
    }

    /// How many entries or commands the packet carries, and the total length of their bytes.
    #[must_use]
    pub fn payload(&self) -> PayloadSize {
        match self {
            Self::Raft(Message { body: Body::AppendEntries(append), .. }) => {
                PayloadSize::of_entries(&append.entries)
            }
            Self::Raft(Message { body: Body::RepairReply(reply), .. }) => {
                PayloadSize::of_entries(&reply.entries)
            }
            Self::Raft(Message { body: Body::InstallSnapshot(snapshot), .. }) => {
                PayloadSize { items: 0, bytes: snapshot.encode().len() }
            }
            Self::Forward(forward) => PayloadSize {
                items: forward.commands.len(),
                bytes: forward.commands.iter().map(Bytes::len).sum(),
            },
            Self::SnapshotReply(SnapshotReply {
                outcome: SnapshotOutcome::Bytes(bytes), ..
            }) => PayloadSize { items: 1, bytes: bytes.len() },
            Self::Raft(_)
            | Self::ForwardReply(_)
            | Self::SnapshotRequest(_)
            | Self::SnapshotReply(_) => PayloadSize { items: 0, bytes: 0 },
        }
    }
}

/// How long an entry's bytes are on the wire.
pub(crate) fn wire_len(payload: &EntryPayload) -> usize {
    match payload {
        EntryPayload::Command(bytes) => bytes.len(),
        own @ (EntryPayload::Membership(_) | EntryPayload::Noop) => own.to_bytes().len(),
    }
}

/// How much a [`Packet`] carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PayloadSize {
    /// Entries or commands.
    pub items: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl PayloadSize {
    fn of_entries(entries: &[Entry]) -> Self {
        let bytes = entries.iter().map(|entry| wire_len(&entry.payload)).sum();
        Self { items: entries.len(), bytes }
    }

    /// Memory that the packet holds while it is queued, roughly.
    #[must_use]
    pub const fn weight(self) -> usize {
        const PACKET: usize = 128;
        const ITEM: usize = 64;
        PACKET + self.items * ITEM + self.bytes
    }
}
