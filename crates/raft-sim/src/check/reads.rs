//! Reads are never stale: they see all that was committed anywhere when they were asked; or as much of
//! it as their level promises.

use std::collections::VecDeque;
use std::time::Duration;

use raft_core::{LogIndex, ReadLevel};

use super::{Rule, Violation, ensure};

/// How much of the log is committed, and how much of that clients know the effects of.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    seen: LogIndex,
    committed: LogIndex,
    /// When that was how much, of late.
    history: VecDeque<(u64, LogIndex)>,
    now: u64,
}

/// No bound on age that is asked for is longer.
const HISTORY: Duration = Duration::from_secs(10);

impl Reads {
    /// What clients have seen the effects of.
    pub(crate) const fn seen(&self) -> LogIndex {
        self.seen
    }

    /// What a client that asks at this moment must see at least, or come after.
    pub(crate) const fn floor(&self) -> LogIndex {
        self.committed
    }

    /// What a read of this level, that is asked now, must see at least.
    pub(crate) fn floor_of(&self, level: ReadLevel) -> LogIndex {
        match level {
            ReadLevel::Linearizable | ReadLevel::Lease => self.committed,
            ReadLevel::AtLeast(index) => index,
            ReadLevel::BoundedStale(age) => self.committed_before(age),
        }
    }

    /// What was committed longer ago than `age`, by any clock that is no more than a fifth slow.
    fn committed_before(&self, age: Duration) -> LogIndex {
        let age = u64::try_from((age * 6 / 5).as_micros()).unwrap_or(u64::MAX);
        let until = self.now.saturating_sub(age);
        let known = self.history.partition_point(|(at, _)| *at <= until);
        known.checked_sub(1).and_then(|at| self.history.get(at)).map_or(LogIndex::ZERO, |h| h.1)
    }

    /// True time passes.
    pub(crate) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// A client learns of the effects of everything up to `index`.
    pub(crate) fn on_seen(&mut self, index: LogIndex) {
        self.seen = self.seen.max(index);
    }

    /// Everything up to `index` is committed.
    pub(crate) fn on_committed(&mut self, index: LogIndex) {
        if index <= self.committed {
            return;
        }
        self.committed = index;
        self.history.push_back((self.now, index));
        let old = self.now.saturating_sub(u64::try_from(HISTORY.as_micros()).unwrap_or(u64::MAX));
        // The newest of the old ones says what was committed before all others.
        while self.history.get(1).is_some_and(|(at, _)| *at < old) {
            self.history.pop_front();
        }
    }

    /// A read is answered from a state that has applied `applied`.
    pub(crate) fn check(
        &mut self,
        floor: LogIndex,
        applied: LogIndex,
        who: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        ensure(applied >= floor, Rule::StaleRead, || {
            format!("{} is answered as of {applied}, but {floor} was committed before", who())
        })?;
        self.on_seen(applied);
        Ok(())
    }
}
