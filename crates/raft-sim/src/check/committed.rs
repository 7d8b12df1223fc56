//! State Machine Safety, and that what is committed is durable on a quorum.

use raft_core::{Entry, LogId, LogIndex, Membership, NodeId, Term};

use super::matching::content;
use super::{Matching, Rule, View, Violation, decides, ensure};

/// The one sequence of entries that all servers agree on.
#[derive(Debug, Default)]
pub(crate) struct Committed {
    /// By index; the first one at index 1.
    entries: Vec<Agreed>,
}

#[derive(Clone, Copy, Debug)]
struct Agreed {
    id: LogId,
    /// Term of the server that knew it first.
    known_in: Term,
}

impl Committed {
    /// Index of the last one.
    pub(crate) fn last(&self) -> LogIndex {
        self.entries.last().map_or(LogIndex::ZERO, |agreed| agreed.id.index)
    }

    pub(crate) fn id_at(&self, index: LogIndex) -> Option<LogId> {
        let position = usize::try_from(index.get().checked_sub(1)?).ok()?;
        self.entries.get(position).map(|agreed| agreed.id)
    }

    /// The last entry that was known to be committed in a term before `term`.
    pub(super) fn last_before(&self, term: Term) -> Option<LogId> {
        let known = self.entries.iter().rev().find(|agreed| agreed.known_in < term);
        known.map(|agreed| agreed.id)
    }

    /// Takes what a server has committed since `before`. `memberships` are those that it had before
    /// and after: what it committed, it counted by one of them. `holds` tells whether a server has
    /// an entry on its disk.
    pub(crate) fn on_commit(
        &mut self,
        before: LogIndex,
        view: &View<'_>,
        memberships: [&Membership; 2],
        holds: impl Fn(NodeId, LogId) -> bool,
    ) -> Result<(), Violation> {
        let known = self.last();
        let mut index = before.max(view.base.index);
        // Log Matching makes what is before the last one equal, too.
        let shared = view.commit.min(known);
        if shared > index {
            self.check_equal(shared, view)?;
            index = shared;
        }
        if view.commit <= known {
            return Ok(());
        }
        while index < view.commit {
            index = index.next();
            let id = view.mirror.id_at(index).ok_or_else(|| Violation {
                rule: Rule::StateMachineSafety,
                what: format!("{} has committed {index}, which is not in its log", view.id),
            })?;
            self.entries.push(Agreed { id, known_in: view.hard_state.term });
        }
        let last = self.entries.last().map_or(LogId::ZERO, |agreed| agreed.id);
        let is_durable = memberships
            .into_iter()
            .any(|membership| decides(membership, |voter| holds(voter, last)));
        ensure(is_durable, Rule::QuorumDurability, || {
            format!("{} has committed {last}, which is not on the disks of a quorum", view.id)
        })
    }

    fn check_equal(&self, index: LogIndex, view: &View<'_>) -> Result<(), Violation> {
        let (ours, agreed) = (view.mirror.id_at(index), self.id_at(index));
        ensure(ours == agreed, Rule::StateMachineSafety, || {
            format!("{} has committed {ours:?}, others {agreed:?}", view.id)
        })
    }

    /// Takes an entry that a state machine is about to apply.
    pub(crate) fn on_apply(
        &self,
        node: NodeId,
        applied: LogIndex,
        entry: &Entry,
        matching: &Matching,
    ) -> Result<(), Violation> {
        let LogId { index, .. } = entry.id;
        ensure(index == applied.next(), Rule::StateMachineSafety, || {
            format!("{node} applies {index} after {applied}")
        })?;
        let agreed = self.id_at(index);
        ensure(agreed == Some(entry.id), Rule::StateMachineSafety, || {
            format!("{node} applies {}, but {agreed:?} was committed there", entry.id)
        })?;
        ensure(matching.content(entry.id) == Some(content(entry)), Rule::StateMachineSafety, || {
            format!("{node} applies something else under the name {}", entry.id)
        })
    }
}
