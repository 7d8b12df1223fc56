//! Why something was refused. Inputs cannot be; only what a caller asks for can.

use crate::types::{LogId, LogIndex, NodeId};

/// Why [`Raft::propose`](crate::Raft::propose) refused a command. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// Only the leader appends; try `leader` if it is known.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// The leader's disk has no room; another server may lead soon ([`Input::StorageFull`]).
    ///
    /// [`Input::StorageFull`]: crate::Input::StorageFull
    #[error("the disk is full")]
    StorageFull,
    /// Too much is on its way already; try again when some of it has been committed.
    #[error("{uncommitted_bytes} bytes are waiting to be committed")]
    Busy {
        /// Bytes of entries appended and not committed.
        uncommitted_bytes: usize,
    },
    /// The leader is handing over; try again with the next one, or when it has failed
    /// ([`Event::TransferFailed`](crate::Event::TransferFailed)).
    #[error("leadership is being transferred to node {to}")]
    Transferring {
        /// Who is to lead.
        to: NodeId,
    },
}

/// Why [`Raft::change_membership`](crate::Raft::change_membership) refused a change. Nothing has
/// changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Only the leader changes the membership; try `leader` if it is known.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// The leader is handing over; try again with the next one.
    #[error("leadership is being transferred to node {to}")]
    Transferring {
        /// Who is to lead.
        to: NodeId,
    },
    /// The leader has not committed anything in its term yet; try again in a moment.
    #[error("the leader is new and does not know yet what is committed")]
    NotReady,
    /// Another change is under way; try again when it is done.
    #[error("the change of membership at {id} is not complete")]
    Pending {
        /// The newest entry of that change.
        id: LogId,
    },
    /// Another membership is in force than the one that the change was meant for.
    #[error("the membership in force is the one at {current}")]
    Outdated {
        /// Its entry.
        current: LogId,
    },
    /// It is so already.
    #[error("nothing would change")]
    Unchanged,
    /// Nobody could decide anything.
    #[error("a cluster needs at least one voter")]
    NoVoters,
    /// It has no such member.
    #[error("node {id} is not a member")]
    UnknownMember {
        /// The node.
        id: NodeId,
    },
    /// It would hold up commitment, or others would go before it can take their place: add it as a
    /// learner, and try again when it has the log; or have it promoted then
    /// ([`MembershipChange::add_voter`](crate::MembershipChange::add_voter)).
    #[error("node {id} has not caught up")]
    NotCaughtUp {
        /// The node.
        id: NodeId,
    },
}

/// Why [`Raft::read`](crate::Raft::read) refused a read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// This server was told nothing about clocks ([`Config::lease`](crate::Config::lease)); read at
    /// another level.
    #[error("leases are off")]
    LeasesOff,
    /// This server is no longer a member, and nobody would answer it.
    #[error("this server was removed by the membership at {by}")]
    Removed {
        /// The entry of the membership that removed it.
        by: LogId,
    },
}

/// Why [`Raft::transfer`](crate::Raft::transfer) refused to hand over. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Only the leader can hand over; try `leader` if it is known.
    #[error("not the leader")]
    NotLeader {
        /// Who leads, as far as this server knows.
        leader: Option<NodeId>,
    },
    /// It has no such member.
    #[error("node {id} is not a member")]
    UnknownMember {
        /// The node.
        id: NodeId,
    },
    /// It could not win: it is a learner, or a voter on its way out.
    #[error("node {id} is a member that does not vote, or will not for long")]
    NotAVoter {
        /// The node.
        id: NodeId,
    },
}

/// Why [`Raft::compact`](crate::Raft::compact) refused. Nothing has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The entries are in no durable snapshot that was reported; they would be lost.
    #[error("the newest durable snapshot does not reach that far (it ends at {last:?})")]
    NotInSnapshot {
        /// Where the newest durable snapshot ends, if there is one.
        last: Option<LogIndex>,
    },
}
