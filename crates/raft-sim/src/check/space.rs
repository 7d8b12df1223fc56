//! What a log has forgotten takes no room on the disk.

use std::collections::VecDeque;

use raft_core::{LogIndex, NodeId};

use super::{Rule, Violation, ensure};

/// How much a log has written since the oldest entry that it keeps.
#[derive(Debug, Default)]
pub(crate) struct Space {
    /// Where the log ended, when so many bytes had been written, as far as that may count.
    ends: VecDeque<(LogIndex, u64)>,
    checks: u64,
}

impl Space {
    /// The log ends at `last` after `written` bytes of this run.
    pub(crate) fn on_durable(&mut self, last: LogIndex, written: u64) {
        self.ends.push_back((last, written));
    }

    /// Whether a look at the disk is due: not each time, for a look takes a while.
    pub(crate) fn is_due(&mut self) -> bool {
        const EVERY: u64 = 16;
        self.checks += 1;
        self.checks.is_multiple_of(EVERY)
    }

    /// Checks how many segments there are of a log that begins behind `base`.
    ///
    /// None is known to be too many until it begins behind something that was written in this run.
    pub(crate) fn check(
        &mut self,
        node: NodeId,
        base: LogIndex,
        segments: usize,
        segment_bytes: u64,
    ) -> Result<(), Violation> {
        /// The active one, one that is being sealed, those in reserve, and one that is going.
        const SLACK: u64 = 8;
        while self.ends.get(1).is_some_and(|(last, _)| *last <= base) {
            self.ends.pop_front();
        }
        let (Some((first, forgotten)), Some((_, written))) = (self.ends.front(), self.ends.back())
        else {
            return Ok(());
        };
        if *first > base {
            return Ok(());
        }
        // A segment ends before it is full, if the next batch does not fit.
        let most = 2 * (written - forgotten) / segment_bytes + SLACK;
        ensure(
            u64::try_from(segments).is_ok_and(|segments| segments <= most),
            Rule::BoundedSpace,
            || format!("{node} has {segments} segments for what follows {base}, at most {most}"),
        )
    }
}
