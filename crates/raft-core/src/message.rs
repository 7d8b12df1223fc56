//! What servers say to each other. One struct per RPC direction; no field is shared by accident.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::snapshot::SnapshotMeta;
use crate::types::{Entries, Entry, LogId, LogIndex, NodeId, Term};

/// A message between two servers.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Message {
    /// Sender.
    pub from: NodeId,
    /// Addressee.
    pub to: NodeId,
    /// Sender's term; for pre-votes, the term that the asker would campaign in.
    pub term: Term,
    /// The message proper.
    pub body: Body,
}

/// The message proper.
// A tag of a whole word: messages are moved often, and words that follow a single byte are moved
// slowly.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[repr(u64)]
pub enum Body {
    /// Leader to follower: append these entries (paper §5.3).
    AppendEntries(AppendEntries),
    /// Follower to leader: outcome of an [`AppendEntries`].
    AppendReply(AppendReply),
    /// Leader to follower: I lead, and this much is committed (paper §5.2).
    Heartbeat(Heartbeat),
    /// Leader to follower: this much is committed. Nobody answers.
    CommitNotice(CommitNotice),
    /// Leader to follower: my log no longer has what you need, but this snapshot does (paper §7).
    ///
    /// Unlike the paper's InstallSnapshot it carries no data: the follower fetches that when and
    /// where it likes. It answers with an [`AppendReply`] when its log goes on from there.
    InstallSnapshot(Box<SnapshotMeta>),
    /// Follower to leader: I follow.
    HeartbeatReply(HeartbeatReply),
    /// Pre-candidate to voter: would you vote for me? (thesis §9.6)
    PreVote(RequestVote),
    /// Voter to pre-candidate.
    PreVoteReply(VoteReply),
    /// Candidate to voter (paper §5.2).
    RequestVote(RequestVote),
    /// Candidate to voter, on behalf of a leader that hands over (thesis §3.10): to be heard although
    /// there is a leader.
    TransferVote(RequestVote),
    /// Voter to candidate.
    VoteReply(VoteReply),
    /// Leader to its successor: campaign at once (thesis §3.10).
    TimeoutNow,
    /// Anybody to a former member: you are none any more. Holds whatever the term.
    Removed(Removed),
    /// Follower to leader: I may have lost what I acknowledged last; where does your log end?
    EndRequest(EndRequest),
    /// Leader to follower: outcome of an [`EndRequest`].
    EndReply(EndReply),
    /// Anyone to anyone: I have lost these entries; give them back if you have them.
    RepairRequest(RepairRequest),
    /// Anyone to anyone: outcome of a [`RepairRequest`], from one who has them.
    RepairReply(RepairReply),
    /// Follower to leader: from which index on may I read? (thesis §6.4)
    ReadIndex(ReadIndex),
    /// Leader to follower: outcome of a [`ReadIndex`].
    ReadIndexReply(ReadIndexReply),
}

impl Body {
    /// What must be durable here before this may leave (thesis §3.8).
    ///
    /// A leader's appends wait for nothing: its own copy counts only when durable (thesis
    /// §10.2.1). Pre-votes wait for nothing: they promise nothing. Refusals need not wait,
    /// probably; they are rare, so they do.
    #[inline]
    pub(crate) const fn waits_for(&self) -> WaitsFor {
        match self {
            Self::AppendEntries(_)
            | Self::Heartbeat(_)
            | Self::CommitNotice(_)
            // It takes something back.
            | Self::EndRequest(_)
            // A bound from above: what is not durable is in it as well.
            | Self::EndReply(_)
            // An entry is what it is, whoever has it and however long.
            | Self::RepairRequest(_)
            | Self::RepairReply(_)
            // What is offered is durable.
            | Self::InstallSnapshot(_)
            | Self::PreVote(_)
            | Self::PreVoteReply(_)
            | Self::TimeoutNow
            | Self::Removed(_)
            | Self::ReadIndex(_)
            | Self::ReadIndexReply(_) => WaitsFor::Nothing,
            // It supports a leader in its term, and says nothing about the log: a slow append must
            // not make the follower look dead.
            Self::HeartbeatReply(_) => WaitsFor::HardState,
            Self::AppendReply(_)
            | Self::RequestVote(_)
            | Self::TransferVote(_)
            | Self::VoteReply(_) => WaitsFor::Everything,
        }
    }
}

/// What of a server's state a message rests on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WaitsFor {
    Nothing,
    /// Term and vote.
    HardState,
    /// Term, vote and log.
    Everything,
}

/// Arguments of AppendEntries (paper Figure 2).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct AppendEntries {
    /// Entry just before `entries`.
    pub prev: LogId,
    /// Entries to append, with consecutive indexes after `prev`; none to probe or to pass on
    /// `commit`.
    pub entries: Entries,
    /// Leader's commit index.
    pub commit: LogIndex,
}

/// Result of AppendEntries.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AppendReply {
    /// The follower's durable log equals the leader's up to here.
    Accepted {
        /// Last index known equal.
        matched: LogIndex,
    },
    /// The follower has no entry `prev`.
    Rejected {
        /// The index of the `prev` that was not found.
        prev: LogIndex,
        /// The follower's newest entry that could be equal to the leader's: at or before `prev`,
        /// of no later term.
        hint: LogId,
    },
}

/// Arguments of the heartbeat.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Heartbeat {
    /// What the follower may commit: never past what it is known to hold.
    pub commit: LogIndex,
    /// Newest round of reads that waits for proof of leadership; to be echoed.
    pub round: ReadRound,
}

/// What a follower may commit, told as soon as it is so.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct CommitNotice {
    /// Never past what the follower is known to hold.
    pub commit: LogIndex,
}

/// Answer to a [`Heartbeat`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct HeartbeatReply {
    /// The round that the heartbeat named.
    pub round: ReadRound,
    /// The end of the snapshot that the follower is fetching or installing, if any: it needs no
    /// offer.
    pub installing: Option<LogIndex>,
    /// The last entry of the follower's log, durable or not: never before what it has acknowledged in
    /// this term, nor of an earlier term than that.
    pub last: LogId,
    /// Whether the follower has room for entries. It says so here and not where it acknowledges some:
    /// one who has no room acknowledges none.
    pub room: Room,
}

/// Whether a server's disk has room for entries. There always is some for term and vote.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Room {
    /// As far as the server was told.
    Enough,
    /// It takes no entries ([`Input::StorageFull`]).
    ///
    /// [`Input::StorageFull`]: crate::Input::StorageFull
    None,
}

/// Arguments of RequestVote, TransferVote and PreVote.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RequestVote {
    /// The candidate's last entry.
    pub last: LogId,
}

/// Result of RequestVote, TransferVote and PreVote.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum VoteReply {
    /// Vote given.
    Granted,
    /// Vote given by one who may have lost what it acknowledged last: it cannot tell whether the
    /// candidate lacks that. It counts only if every voter gives its vote.
    GrantedInDoubt,
    /// Vote withheld.
    Denied,
}

/// What a former member is told.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Removed {
    /// The entry of the membership without it. It is committed.
    pub by: LogId,
}

/// A question of one who may have lost what it acknowledged last.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EndRequest {
    /// The run of the server that asks, as in [`ReadId::session`]: what it asks about was
    /// acknowledged before.
    pub session: u64,
    /// The last entry of its log. What it has acknowledged after that, or of another log, it has not.
    pub last: LogId,
}

/// Result of [`EndRequest`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EndReply {
    /// The run that asked.
    pub session: u64,
    /// Where the leader's log ended when it answered: no follower can have acknowledged more of it.
    pub last: LogIndex,
}

/// A request for entries whose bytes a server has lost, or for all that came before its log.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct RepairRequest {
    /// The first of them. Index 0, of whatever term, asks for a snapshot of the state with all entries up to
    /// `upto`: the server's own is lost.
    pub first: LogId,
    /// Index of the last of them; all have the same term.
    pub upto: LogIndex,
}

/// Some of the entries that a [`RepairRequest`] asked for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RepairReply {
    /// Entries with consecutive indexes and one term, at least one.
    pub entries: Vec<Entry>,
}

/// A follower's request for a read index.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ReadIndex {
    /// All reads of the follower up to this position ask.
    pub upto: ReadId,
}

/// Result of [`ReadIndex`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct ReadIndexReply {
    /// The position that was asked for.
    pub upto: ReadId,
    /// Reads up to `upto` are linearizable once this index is applied.
    pub index: LogIndex,
}

/// Numbers a leader's rounds of proof that it still leads, from 1; they mean nothing in another
/// term.
///
/// A position in a sequence rather than a name chosen by a caller: two reads cannot collide.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReadRound(u64);

impl ReadRound {
    /// Wraps a number read from the wire.
    #[must_use]
    pub const fn new(round: u64) -> Self {
        Self(round)
    }

    /// The round as a number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// A read's position in the sequence of reads of one server's run.
///
/// The order is that of the reads. `session` is drawn at random at each start, so that an answer
/// to a question of an earlier run answers nothing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReadId {
    session: u64,
    position: u64,
}

impl ReadId {
    /// Wraps numbers read from the wire.
    #[must_use]
    pub const fn new(session: u64, position: u64) -> Self {
        Self { session, position }
    }

    /// The run of the server that asked.
    #[must_use]
    pub const fn session(self) -> u64 {
        self.session
    }

    /// The position among the reads of that run.
    #[must_use]
    pub const fn position(self) -> u64 {
        self.position
    }

    pub(crate) const fn next(self) -> Self {
        Self { session: self.session, position: self.position.saturating_add(1) }
    }
}
