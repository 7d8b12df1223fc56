//! What an open found.

use std::collections::BTreeMap;

use raft_core::{GroupId, HardState, LogId, LogIndex, Term};

use crate::error::Corruption;

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
    /// Where the damage is because of which entries are [`faulty`](RecoveredGroup::faulty), for those
    /// who look after the disk.
    pub damage: Vec<Corruption>,
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
    /// The first entry of each run of one term that is there, ascending. An entry whose term is
    /// not known (see `faulty`) counts to the run before it.
    pub term_starts: Vec<LogId>,
    /// Indexes of the membership entries that are there, ascending.
    pub memberships: Vec<LogIndex>,
    /// Entries between `first` and `last` that may have been acknowledged and cannot be read,
    /// ascending; and perhaps, as the last item, an unknown number behind `last`. Empty unless
    /// [`OnCorruption::Report`](crate::OnCorruption::Report) was asked for.
    pub faulty: Vec<Faulty>,
    /// Whether the newest write may have been acknowledged and be lost: entries behind `last`, a
    /// term, a vote. An open that could not tell dropped it ([`Tail::Ambiguous`], with bytes), and
    /// the log remembers that until [`Batch::settles_doubt`](crate::Batch::settles_doubt).
    ///
    /// A server in doubt must not count in elections as if it had everything (FAST '18,
    /// protocol-aware recovery) until it knows that it has: because the leader says how far it may have
    /// acknowledged, and it has that. See
    /// [`Restored::is_in_doubt`](raft_core::Restored::is_in_doubt).
    pub is_in_doubt: bool,
}

/// Entries that may have been acknowledged and cannot be read.
///
/// A server must not act as if it had never had them: it fetches them from others, and until then
/// neither acknowledges what is behind them nor votes for whoever has less (FAST '18,
/// protocol-aware recovery). [`Batch::repairs`](crate::Batch::repairs) gives them back, a
/// truncation removes them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Faulty {
    /// The first of them.
    pub first: LogIndex,
    /// The last of them; `None` if it is not known how many there were, behind the end of the log.
    pub last: Option<LogIndex>,
    /// Their term, if it is known.
    pub term: Option<Term>,
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
            faulty: Vec::new(),
            is_in_doubt: false,
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
    /// If bytes were dropped, every group is in doubt from then on, see
    /// [`RecoveredGroup::is_in_doubt`].
    Ambiguous(TailPosition),
}

impl Tail {
    /// Whether something was dropped that may have been acknowledged.
    ///
    /// Not if nothing was found behind the end: a medium would have had to return zeros for all of
    /// the last write.
    #[must_use]
    pub const fn is_doubtful(self) -> bool {
        match self {
            Self::Clean | Self::Torn(_) => false,
            Self::Ambiguous(at) => at.bytes > 0,
        }
    }
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

/// How far an open has come with reading the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenProgress {
    /// Bytes of segments that were read.
    pub done: u64,
    /// Bytes of all of them.
    pub total: u64,
}

/// Tells how far an open has come.
pub(crate) struct Progress<'a> {
    at: OpenProgress,
    tell: &'a mut dyn FnMut(OpenProgress),
}

impl<'a> Progress<'a> {
    pub(crate) fn new(tell: &'a mut dyn FnMut(OpenProgress)) -> Self {
        Self { at: OpenProgress { done: 0, total: 0 }, tell }
    }

    /// So many bytes of `total` were read since.
    pub(crate) fn add(&mut self, bytes: u64, total: u64) {
        self.at = OpenProgress { done: total.min(self.at.done + bytes), total };
        (self.tell)(self.at);
    }

    pub(crate) fn finish(&mut self, total: u64) {
        self.add(total, total);
    }
}
