//! The core's boundary: everything that goes in, everything that comes out.

use alloc::vec::Vec;
use core::time::Duration;

use crate::event::Event;
use crate::message::{Body, Message, ReadId};
use crate::snapshot::SnapshotMeta;
use crate::types::{Entries, Entry, HardState, LogId, LogIndex, NodeId};

/// Everything that can happen to a server. None of it can be refused.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message arrived.
    Message(Message),
    /// The deadline of [`Raft::next_deadline`](crate::Raft::next_deadline) has passed.
    Timeout,
    /// The write with this number, and all before it, are durable.
    Persisted(WriteSeq),
    /// The answer to a [`Fetch`].
    Fetched {
        /// What was asked.
        fetch: Fetch,
        /// Entries from `fetch.from` on, at least one; none if they could not be read.
        entries: Vec<Entry>,
    },
    /// Messages to this peer may have been lost.
    Unreachable(NodeId),
    /// The disk has no room for entries. Writes that were handed out wait until there is some, but
    /// term and vote must still become durable, and the log can still be compacted.
    ///
    /// A leader refuses proposals, and hands over when others that have room can do without it; a
    /// follower takes no entries, and tells the leader that it has no room. Both go on voting.
    StorageFull,
    /// There is room again.
    StorageAvailable,
    /// A snapshot of the own state machine is durable; [`Raft::describe_snapshot`] made its
    /// description.
    ///
    /// [`Raft::describe_snapshot`]: crate::Raft::describe_snapshot
    SnapshotTaken(SnapshotMeta),
    /// An [`Install`] is done: the snapshot is durable, and the state machine is as it says. From
    /// there it goes on with the next entry after `last`; [`Output::commit`] says how far.
    SnapshotInstalled(SnapshotMeta),
    /// An [`Install`] was given up; the state machine is as it was.
    SnapshotFailed {
        /// The end of the snapshot.
        last: LogId,
    },
}

/// Numbers the writes handed out in [`Output`], from 1.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct WriteSeq(u64);

impl WriteSeq {
    /// Wraps the number of a write.
    #[must_use]
    pub const fn new(seq: u64) -> Self {
        Self(seq)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Work for the driver.
///
/// The fields are independent: nothing in one has to wait for another. Messages that promise
/// something about the disk are kept back by the core until the driver reports the write.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Output {
    /// To be made durable, then acknowledged with [`Input::Persisted`]. Writes are carried out in
    /// the order in which they come.
    pub write: Option<Write>,
    /// To be sent; losing, repeating or reordering any of them is safe.
    pub messages: Vec<Message>,
    /// Newly committed, and durable here: apply everything up to here, in order.
    pub commit: Option<LogIndex>,
    /// A snapshot to be fetched and installed, in place of any before it that is not installed.
    pub install: Option<Install>,
    /// To be read from the log and answered with [`Input::Fetched`].
    pub fetches: Vec<Fetch>,
    /// Reads that may be served.
    pub reads: Vec<ReadReady>,
    /// What happened, for logs and metrics.
    pub events: Vec<Event>,
}

impl Output {
    /// Whether it is a heartbeat or the answer to one, and nothing else.
    pub(crate) fn is_a_sign_of_life(&self) -> bool {
        let Self { write, messages, commit, install, fetches, reads, events } = self;
        let is_sign = |message: &Message| match message.body {
            Body::Heartbeat(_) | Body::HeartbeatReply(_) => true,
            Body::AppendEntries(_)
            | Body::AppendReply(_)
            | Body::CommitNotice(_)
            | Body::InstallSnapshot(_)
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
            | Body::RepairReply(_)
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => false,
        };
        messages.first().is_some_and(is_sign)
            && messages.iter().all(is_sign)
            && write.is_none()
            && commit.is_none()
            && install.is_none()
            && fetches.is_empty()
            && reads.is_empty()
            && events.is_empty()
    }
}

/// One batch for the write-ahead log, to be made durable as a whole, in the order of the fields.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Write {
    /// Number to acknowledge.
    pub seq: WriteSeq,
    /// New term and vote, if they changed.
    pub hard_state: Option<HardState>,
    /// Forget the whole log, and begin an empty one after this entry: a snapshot has what was
    /// there.
    pub reset: Option<LogId>,
    /// Forget this entry and all before it. They may come back after a crash; no harm is done.
    pub compact: Option<LogId>,
    /// Remove this entry and all after it, before appending.
    pub truncate: Option<LogIndex>,
    /// The log is not in doubt any more ([`Restored::is_in_doubt`](crate::Restored::is_in_doubt)), as
    /// far as it goes before `append`. Where no log is ever in doubt, nothing has to be done.
    pub settles_doubt: bool,
    /// Entries to append. The core keeps handles to the same ones.
    pub append: Entries,
    /// Entries that are in the log and cannot be read, to be written again. An entry may have been
    /// taken back by a later write, so they are to be carried out in order, too.
    pub repair: Vec<Entry>,
}

/// A snapshot to be fetched from a peer and installed.
///
/// It may take as long as it takes: the server answers heartbeats meanwhile. A driver that finds
/// the state machine at or past `snapshot.last` has nothing to do and may report either outcome.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Install {
    /// Who offers it. Anyone else who has the same one will do as well.
    pub from: NodeId,
    /// What it contains.
    pub snapshot: SnapshotMeta,
}

/// Entries that a peer needs and that are no longer in memory.
///
/// The last of them may be in writes that were handed out and are not durable yet.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Fetch {
    /// The peer.
    pub peer: NodeId,
    /// The first entry.
    pub from: LogIndex,
    /// The last entry.
    pub upto: LogIndex,
    /// Stop before this many bytes, but not before the first entry.
    pub bytes_max: usize,
    /// What for.
    pub purpose: FetchPurpose,
}

/// What a [`Fetch`] is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum FetchPurpose {
    /// A follower lacks them.
    Append,
    /// A peer has lost them.
    Repair,
}

/// How much a read must see. Whatever it is, a read never sees what is not committed.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum ReadLevel {
    /// Everything that was committed anywhere when the read was asked (thesis §6.4). Costs a round
    /// of heartbeats, shared with the reads that come meanwhile.
    #[default]
    Linearizable,
    /// The same, as long as clocks run as evenly as [`Lease`](crate::Lease) says: a leader answers
    /// from its lease, without asking anybody. Without a lease in force, and on other servers, it
    /// is [`ReadLevel::Linearizable`].
    Lease,
    /// Everything up to this index, on any server: what a client has written or read before. It
    /// waits until that is applied here, for ever if it never is.
    AtLeast(LogIndex),
    /// Everything that was committed longer ago than this, by the clock of this server alone. What
    /// was learned for a read within that time serves others without a question.
    BoundedStale(Duration),
}

/// Reads that may be served once an index is applied.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ReadReady {
    /// Every read from this one on, in the order in which they were asked; those among them that
    /// were served before stay so.
    pub first: ReadId,
    /// Every read up to this one.
    pub upto: ReadId,
    /// They may be served from a state machine that has applied this index.
    pub index: LogIndex,
}
