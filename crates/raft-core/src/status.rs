//! A server at a glance.

use crate::event::RoleKind;
use crate::membership::Membership;
use crate::message::Room;
use crate::snapshot::SnapshotMeta;
use crate::types::{HardState, LogId, LogIndex, NodeId};

/// A server at a glance, for operators and tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status<'a> {
    /// This server.
    pub id: NodeId,
    /// What it is.
    pub role: RoleKind,
    /// Its term and vote.
    pub hard_state: HardState,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Highest index known to be committed.
    pub commit: LogIndex,
    /// Last index that is durable here.
    pub durable: LogIndex,
    /// The entry before the first one in the log.
    pub base: LogId,
    /// The newest durable snapshot.
    pub snapshot: Option<&'a SnapshotMeta>,
    /// The snapshot that is being fetched or installed, if any.
    pub installing: Option<&'a SnapshotMeta>,
    /// The last entry of the log.
    pub last: LogId,
    /// Whether this server may have lost what it acknowledged last, so that its vote counts only if
    /// every voter gives one. It ends when a leader is heard and the log has caught up with it.
    pub is_in_doubt: bool,
    /// The entry of `membership`.
    pub membership_id: LogId,
    /// The newest membership in the log, committed or not.
    pub membership: &'a Membership,
    /// The entry of the committed membership that removed this server, as far as it knows.
    pub removed_by: Option<LogId>,
}

/// A leader's view of one follower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FollowerStatus {
    /// The follower.
    pub id: NodeId,
    /// Whether it was heard within an election timeout. A leader that is new takes it for granted.
    pub is_live: bool,
    /// Highest index known to be equal and durable there.
    pub matched: LogIndex,
    /// First index not sent to it yet.
    pub next: LogIndex,
    /// The end of the snapshot that it was offered, while nothing else helps it.
    pub snapshot: Option<LogIndex>,
    /// Whether it has room for entries, as it said last. A leader that is new takes it for granted.
    pub room: Room,
}
