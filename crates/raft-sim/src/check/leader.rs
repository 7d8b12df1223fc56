//! What holds of leaders: their logs only grow, and hold all that was committed before them.

use raft_core::{LogId, RoleKind, Term};

use super::{Committed, Rule, View, Violation, ensure};

/// The leaders' logs, as last seen; by node.
#[derive(Debug, Default)]
pub(crate) struct Leaders {
    seen: Vec<Option<(Term, LogId)>>,
}

impl Leaders {
    /// Leader Append-Only (paper §5.3).
    pub(crate) fn check_append_only(
        &mut self,
        node: usize,
        view: &View<'_>,
    ) -> Result<(), Violation> {
        if self.seen.len() <= node {
            self.seen.resize(node + 1, None);
        }
        let seen = &mut self.seen[node];
        if view.role != RoleKind::Leader {
            *seen = None;
            return Ok(());
        }
        let (term, last) = (view.hard_state.term, view.last);
        let before = seen.replace((term, last));
        let Some((_, held)) = before.filter(|(led, held)| *led == term && *held != last) else {
            return Ok(());
        };
        let holds = held.index <= view.base.index || view.raft.log_id_at(held.index) == Some(held);
        ensure(holds, Rule::LeaderAppendOnly, || {
            format!("{} leads term {term} and has dropped its entry {held}", view.id)
        })
    }
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
