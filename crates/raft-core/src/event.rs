//! What happened, for logs and metrics. The core itself does not log.

use crate::types::{LogId, LogIndex, NodeId, Term};

/// Something an operator may want to know. Nothing has to be done about it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The server's role or term changed.
    RoleChanged {
        /// The role.
        role: RoleKind,
        /// The term.
        term: Term,
    },
    /// Another server leads, or it is unknown which.
    LeaderChanged {
        /// Who leads.
        leader: Option<NodeId>,
        /// In which term.
        term: Term,
    },
    /// This leader has not heard from a quorum for an election timeout, and has stepped down
    /// (thesis §6.2).
    QuorumLost {
        /// The term it led.
        term: Term,
    },
    /// The successor was not ready within an election timeout, or the transfer was called off; this
    /// leader takes proposals again, or has stepped down if it had to go.
    TransferFailed {
        /// Who was to lead.
        to: NodeId,
    },
    /// A membership that is not joint was committed: a change is complete.
    MembershipCommitted {
        /// Its entry.
        id: LogId,
    },
    /// This server is no longer a member. It campaigns no more.
    Removed {
        /// The entry of the membership that removed it.
        by: LogId,
    },
    /// A learner could not keep pace in ten rounds (thesis §4.2.1). If it was to be promoted, it
    /// still will be, should it catch up.
    LearnerTooSlow {
        /// The learner.
        peer: NodeId,
    },
    /// This server is not in doubt any more about what it acknowledged last: it has that. Its votes
    /// count in full.
    DoubtSettled,
    /// A follower needs entries that this leader's log no longer holds, and is offered a snapshot.
    /// It is repeated with the heartbeats until the follower fetches it.
    SnapshotOffered {
        /// The follower.
        peer: NodeId,
        /// The last entry that the snapshot contains.
        last: LogId,
    },
    /// A follower has lost its snapshot, and this leader's own does not reach as far as the
    /// follower's log begins. It had better take another one, of what it has applied; it is asked
    /// again until then.
    SnapshotWanted {
        /// The follower.
        peer: NodeId,
        /// The last entry that the snapshot must contain.
        upto: LogIndex,
    },
    /// A follower no longer has what it has acknowledged to this leader: its disk was wiped, or put
    /// back to an earlier state. What it had acknowledged counts no more; it is sent all of it
    /// again, and counts for what it acknowledges then.
    ///
    /// It may have forgotten its vote as well, and the leaders before this one may have counted on
    /// it. It had better be removed, and come back under another id. (Not one whose log says itself
    /// that its newest write may be lost: that is
    /// [`Status::is_in_doubt`](crate::Status::is_in_doubt).)
    LogRegressed {
        /// The follower.
        peer: NodeId,
        /// The last entry that it had acknowledged.
        acknowledged: LogIndex,
        /// The last entry that it has: before that, or of an earlier term.
        last: LogId,
    },
    /// A peer sent what no correct peer sends. It was ignored.
    PeerFaulted {
        /// The peer.
        peer: NodeId,
        /// What it did.
        fault: PeerFault,
    },
    /// A write has been under way for an election timeout, and this leader has stepped down: others
    /// could do what it cannot.
    DiskStuck {
        /// The term it led.
        term: Term,
    },
    /// A snapshot took the place of the log up to here.
    SnapshotInstalled {
        /// The last entry that it contains.
        last: LogId,
    },
    /// The driver reported a write that it was not given. It was ignored.
    UnknownWrite,
    /// The driver reported a snapshot that cannot be one of this server. It was ignored.
    UnknownSnapshot {
        /// The last entry that it is said to contain.
        last: LogId,
    },
}

/// What no correct peer sends.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PeerFault {
    /// It leads a term in which another server leads.
    SecondLeader,
    /// Its entries are out of order, or of a later term than its message.
    MalformedEntries,
    /// It offers a snapshot that cannot exist.
    MalformedSnapshot,
    /// Its entries differ from committed ones.
    ConflictsWithCommitted,
    /// It acknowledges entries that the leader does not have.
    AcknowledgesUnknownEntries,
    /// It answers a question that was not asked.
    AnswersUnasked,
    /// Its term is beyond any that elections could reach.
    ImpossibleTerm,
}

/// What a server is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum RoleKind {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks whether it could win an election.
    PreCandidate,
    /// Holds an election.
    Candidate,
    /// Leads.
    Leader,
}
