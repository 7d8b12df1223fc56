//! Terms, commit and applied indexes only grow.

use raft_core::{LogIndex, Term};

use super::{Rule, View, Violation, ensure};

/// How far a node was when it was last seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Monotone {
    pub(crate) term: Term,
    pub(crate) commit: LogIndex,
    pub(crate) applied: LogIndex,
}

impl Monotone {
    /// Takes a node after its turn; gives how far it was before.
    pub(crate) fn check(&mut self, view: &View<'_>) -> Result<Self, Violation> {
        let before = *self;
        let term = view.hard_state.term;
        ensure(term >= before.term, Rule::Monotonicity, || {
            format!("{} went from term {} back to {term}", view.id, before.term)
        })?;
        ensure(view.commit >= before.commit, Rule::Monotonicity, || {
            format!("{} had committed {} and now {}", view.id, before.commit, view.commit)
        })?;
        ensure(view.applied >= before.applied, Rule::Monotonicity, || {
            format!("{} had applied {} and now {}", view.id, before.applied, view.applied)
        })?;
        ensure(view.applied <= view.commit, Rule::Monotonicity, || {
            format!("{} has applied {} and committed {}", view.id, view.applied, view.commit)
        })?;
        *self = Self { term, commit: view.commit, applied: view.applied };
        Ok(before)
    }

    /// The process has ended; its term is on its disk.
    pub(crate) fn restart(&mut self, durable: Term) {
        *self = Self { term: durable, ..Self::default() };
    }
}
