//! A node at a glance.

use std::sync::Arc;

use raft_core::{FollowerStatus, LogId, LogIndex, Membership, NodeId, RoleKind, Term};

use crate::log_store::LogStats;
use crate::snapshot::SnapshotMetrics;

/// A node at a glance.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// This node.
    pub id: NodeId,
    /// What it is.
    pub role: RoleKind,
    /// Its term.
    pub term: Term,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Highest index known to be committed.
    pub commit: LogIndex,
    /// Highest index that the state machine has applied.
    pub applied: LogIndex,
    /// First index in the log.
    pub first: LogIndex,
    /// Last index in the log.
    pub last: LogIndex,
    /// The entry of `membership`; zero as long as a node that joins has received none.
    pub membership_id: LogId,
    /// The members, learners included. The newest in the log, committed or not.
    pub membership: Arc<Membership>,
    /// The entry of the membership that removed this node, as far as it knows. It votes and
    /// campaigns no more, serves no reads, and can be stopped.
    pub removed_by: Option<LogId>,
    /// Whether this node may have lost what it acknowledged last, because its log ended in a write that
    /// is damaged or was interrupted. Its vote counts only if every voter gives one, until it has
    /// caught up with a leader; that needs nobody's doing.
    pub is_in_doubt: bool,
    /// Whom this leader is handing over to.
    pub successor: Option<NodeId>,
}

/// What a node measures. See [`Node::metrics`](crate::Node::metrics).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// The node at a glance.
    pub status: Status,
    /// A leader's view of the others; empty on any other node.
    pub followers: Vec<FollowerStatus>,
    /// What the log store has done.
    pub log: LogStats,
    /// What the node knows of its snapshots.
    pub snapshots: SnapshotMetrics,
}
