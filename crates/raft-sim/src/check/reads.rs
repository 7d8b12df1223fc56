//! Reads are never stale: they see all that was acknowledged, or seen, when they were asked.

use raft_core::LogIndex;

use super::{Rule, Violation, ensure};

/// How much of the log clients know the effects of.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    seen: LogIndex,
}

impl Reads {
    /// What a client that asks at this moment must see at least.
    pub(crate) const fn floor(&self) -> LogIndex {
        self.seen
    }

    /// A client learns of the effects of everything up to `index`.
    pub(crate) fn on_seen(&mut self, index: LogIndex) {
        self.seen = self.seen.max(index);
    }

    /// A read is answered from a state that has applied `applied`.
    pub(crate) fn check(
        &mut self,
        floor: LogIndex,
        applied: LogIndex,
        who: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        ensure(applied >= floor, Rule::StaleRead, || {
            format!("{} is answered as of {applied}, but {floor} was seen before", who())
        })?;
        self.on_seen(applied);
        Ok(())
    }
}
