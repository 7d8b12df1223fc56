//! What an open found.

use std::collections::BTreeMap;

use raft_core::{GroupId, HardState, LogId, LogIndex};

/// What an open found. All of it is durable.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recovered {
    /// Number of the segment that this open began: larger than at any open before.
    pub generation: u64,
    /// Whether this open created the log.
    pub created: bool,
    /// How the log ended.
    pub tail: Tail,
    /// Every group that was ever written to.
    pub groups: BTreeMap<GroupId, RecoveredGroup>,
}

impl Recovered {
    /// What was found of `group`; an empty log if it was never written to.
    #[must_use]
    pub fn group(&self, group: GroupId) -> RecoveredGroup {
        self.groups.get(&group).cloned().unwrap_or_default()
    }
}

/// What an open found of one group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RecoveredGroup {
    /// Term and vote.
    pub hard_state: HardState,
    /// Index of the first entry that is there, or would be: the one after `base`.
    pub first: LogIndex,
    /// The last entry that was compacted away; [`LogId::ZERO`] if none was.
    pub base: LogId,
    /// The last entry; `base` if the log is empty.
    pub last: LogId,
    /// The first entry of each run of one term that is there, ascending.
    pub term_starts: Vec<LogId>,
    /// Indexes of the membership entries that are there, ascending.
    pub memberships: Vec<LogIndex>,
}

impl Default for RecoveredGroup {
    fn default() -> Self {
        Self {
            hard_state: HardState::default(),
            first: LogIndex::ZERO.next(),
            base: LogId::ZERO,
            last: LogId::ZERO,
            term_starts: Vec::new(),
            memberships: Vec::new(),
        }
    }
}

/// How the log ended.
///
/// A log that can be proven to have lost something acknowledged does not open at all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tail {
    /// At the last batch, after an orderly close or an idle moment.
    Clean,
    /// In a write that had not reached the disk entirely, and so was never reported durable. It
    /// was dropped.
    Torn(TailPosition),
    /// In a write that was interrupted, most likely: but if the medium damaged the newest write
    /// after it was reported durable, the log looks just the same. It was dropped.
    ///
    /// A careful server takes no part in elections until it has caught up with a leader, for it
    /// may have lost the newest of what it had acknowledged.
    Ambiguous(TailPosition),
}

/// Where a log ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TailPosition {
    /// Number of the segment.
    pub segment: u64,
    /// Where in its file the last batch that was kept ends.
    pub offset: u64,
    /// Bytes found behind it that were dropped. Zero is usual after a crash between two writes:
    /// there is no sign of a lost write, but no marker either that says there was none.
    pub bytes: u64,
}
