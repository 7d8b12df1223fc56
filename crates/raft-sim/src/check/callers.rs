//! Every caller is answered once, and not later than it was told.

use std::collections::BTreeMap;

use super::{Rule, Violation, ensure};

/// The callers of one node's run that wait.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    waiting: BTreeMap<u32, Stage>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// The node has not taken note yet.
    Asked,
    /// To be answered, or handed to the state machine, by this time of the node's clock.
    Taken { deadline: u64 },
    /// The state machine has it, and takes as long as it takes.
    Handed,
}

impl Callers {
    pub(crate) fn on_call(&mut self, call: u32) {
        self.waiting.insert(call, Stage::Asked);
    }

    pub(crate) fn on_taken(&mut self, call: u32, deadline: u64) {
        self.waiting.insert(call, Stage::Taken { deadline });
    }

    pub(crate) fn on_handed(&mut self, call: u32) {
        self.waiting.insert(call, Stage::Handed);
    }

    /// Whether it still waits.
    pub(crate) fn on_answer(&mut self, call: u32) -> bool {
        self.waiting.remove(&call).is_some()
    }

    /// Fails if somebody still waits who should have been told by `now` of the node's clock.
    pub(crate) fn check(&self, now: u64) -> Result<(), Violation> {
        for (call, stage) in &self.waiting {
            if let Stage::Taken { deadline } = *stage {
                // All wait equally long: the first one has waited longest.
                return ensure(now <= deadline, Rule::Callers, || {
                    format!("call {call} should have been answered {} µs ago", now - deadline)
                });
            }
        }
        Ok(())
    }

    /// The node's process has ended: all who waited.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = u32> + use<> {
        std::mem::take(&mut self.waiting).into_keys()
    }
}
