//! Why something was refused. Inputs cannot be; only what a caller asks for can.

use crate::types::{LogIndex, NodeId};

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
