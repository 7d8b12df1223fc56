//! What is handed to the log, and what it says when that is durable.

use std::fmt;
use std::sync::Arc;

use raft_core::{ClusterId, Entry, GroupId, HardState, LogIndex, NodeId};

use crate::error::{DiskError, WalError};

/// Whose log a directory holds. Written at creation, checked at every open.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The server within the cluster.
    pub node: NodeId,
}

/// Changes of one group's log that become durable together: after a crash all or none are there.
///
/// They apply in the order of the fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Batch {
    /// The group.
    pub group: GroupId,
    /// New term and vote.
    pub hard_state: Option<HardState>,
    /// Remove this entry and all after it. Required if `entries` begin at or before the last
    /// entry of the log; without effect if nothing is there.
    pub truncate_from: Option<LogIndex>,
    /// The server knows that nothing that it acknowledged is missing behind the end of its log (as it
    /// is after `truncate_from`): the log is not in doubt any more, see
    /// [`RecoveredGroup::is_in_doubt`](crate::RecoveredGroup::is_in_doubt). Without effect if it was
    /// not.
    pub settles_doubt: bool,
    /// Entries that are in the log already, to be written again in a new place because they cannot
    /// be read (see [`RecoveredGroup::faulty`](crate::RecoveredGroup::faulty)): each must be the
    /// entry that it stands for. They can be read once the batch is durable.
    pub repairs: Vec<Entry>,
    /// Entries to append, without gaps.
    pub entries: Vec<Entry>,
}

impl Batch {
    /// A batch that changes nothing, to be filled in.
    #[must_use]
    pub const fn new(group: GroupId) -> Self {
        Self {
            group,
            hard_state: None,
            truncate_from: None,
            settles_doubt: false,
            repairs: Vec::new(),
            entries: Vec::new(),
        }
    }
}

/// Numbers the accepted calls of one opened log: 1, 2, 3 and so on.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BatchSeq(u64);

impl BatchSeq {
    /// Wraps a number.
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

impl fmt::Display for BatchSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What became of submitted batches.
#[derive(Clone, Debug)]
pub enum Completion {
    /// Everything up to `seq` is durable. Numbers grow from one completion to the next.
    Durable {
        /// The newest durable call.
        seq: BatchSeq,
    },
    /// There is no space for another segment. Entries are refused with
    /// [`AppendError::NoSpace`](crate::AppendError::NoSpace) once the active segment is full; terms,
    /// votes and compactions go on, in segments that were prepared for that.
    Full(Arc<DiskError>),
    /// There is space again.
    Available,
    /// The log has stopped. Whatever was not reported durable may or may not be found at the next
    /// open; nothing more is written. It is the last completion.
    Failed(Arc<WalError>),
}
