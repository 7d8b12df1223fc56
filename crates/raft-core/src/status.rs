//! A server at a glance.

use crate::event::RoleKind;
use crate::membership::Membership;
use crate::message::Room;
use crate::snapshot::SnapshotMeta;
use crate::types::{HardState, LogId, LogIndex, NodeId, Timestamp};

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
    /// The entry of a committed membership without this server, which was a member before: the one
    /// that removed it or a later one. `None` as well if a server that was removed has not been told
    /// since it was started.
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
    /// First index that it is sent next, or again: while it is probed, the one after the entry that it
    /// is asked for.
    pub next: LogIndex,
    /// How it is sent entries.
    pub state: ReplicationState,
    /// When it last answered, by this server's clock. A leader that is new takes its election for
    /// that.
    pub heard: Timestamp,
    /// Whether it has room for entries, as it said last. A leader that is new takes it for granted.
    pub room: Room,
}

/// How a leader sends entries to a follower.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ReplicationState {
    /// The last entry that both have is being looked for, one message at a time.
    Probe,
    /// Entries are sent as they come, within [`Config`](crate::Config)'s bounds on what is under way.
    Replicate {
        /// Messages with entries that are under way.
        messages: usize,
        /// What their entries weigh: their commands, and 64 bytes for each.
        bytes: usize,
    },
    /// The next entry is gone from the log. The follower was offered a snapshot, which it fetches on its
    /// own.
    Snapshot {
        /// The last entry that the snapshot contains.
        last: LogIndex,
    },
}
