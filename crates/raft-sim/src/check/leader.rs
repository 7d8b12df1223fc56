//! What holds of leaders: their logs only grow, and hold all that was committed before them; they
//! commit by counting for entries of their own.

use raft_core::{LogId, LogIndex, RoleKind, Term};

use super::{Committed, Rule, View, Violation, ensure};

/// The leaders, as last seen; by node.
#[derive(Debug, Default)]
pub(crate) struct Leaders {
    seen: Vec<Option<Seen>>,
}

/// A leader after a turn.
#[derive(Clone, Copy, Debug)]
struct Seen {
    term: Term,
    last: LogId,
    commit: LogIndex,
}

impl Leaders {
    /// Compares a node with what it was if it led then, too, and in the same term.
    pub(crate) fn check(&mut self, node: usize, view: &View<'_>) -> Result<(), Violation> {
        if self.seen.len() <= node {
            self.seen.resize(node + 1, None);
        }
        let seen = &mut self.seen[node];
        if view.role != RoleKind::Leader {
            *seen = None;
            return Ok(());
        }
        let now = Seen { term: view.hard_state.term, last: view.last, commit: view.commit };
        let before = seen.replace(now);
        let Some(before) = before.filter(|before| before.term == now.term) else { return Ok(()) };
        check_append_only(before, view)?;
        check_counted(before, view)
    }
}

/// Leader Append-Only (paper §5.3).
fn check_append_only(before: Seen, view: &View<'_>) -> Result<(), Violation> {
    let Seen { term, last: held, .. } = before;
    let holds = held == view.last
        || held.index <= view.base.index
        || view.raft.log_id_at(held.index) == Some(held);
    ensure(holds, Rule::LeaderAppendOnly, || {
        format!("{} leads term {term} and has dropped its entry {held}", view.id)
    })
}

/// An entry of an earlier term may give way although a quorum holds it, until one of the leader's own
/// is committed behind it (paper §5.4.2).
fn check_counted(before: Seen, view: &View<'_>) -> Result<(), Violation> {
    let holds = view.commit == before.commit
        || view.raft.log_id_at(view.commit).is_some_and(|id| id.term == before.term);
    ensure(holds, Rule::CommitsOwnTerm, || {
        format!(
            "{} leads term {} and commits {} of an earlier one",
            view.id, before.term, view.commit
        )
    })
}

/// Leader Completeness (paper §5.4), of a server that has just taken office. By Log Matching it is
/// enough to look at the last of what it must hold.
pub(crate) fn check_completeness(committed: &Committed, view: &View<'_>) -> Result<(), Violation> {
    let term = view.hard_state.term;
    let Some(must) = committed.last_before(term) else { return Ok(()) };
    let holds = must.index <= view.base.index || view.raft.log_id_at(must.index) == Some(must);
    ensure(holds, Rule::LeaderCompleteness, || {
        format!("{} leads term {term} without {must}, which was committed before", view.id)
    })
}
