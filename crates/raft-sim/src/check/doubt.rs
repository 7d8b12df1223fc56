//! Doubt about the end of a log (docs/adr/0010): what must be there when it ends, and which copies
//! that are lost a leader may still count.

use std::collections::BTreeMap;

use raft_core::{AppendReply, Body, LogId, Message, NodeId, Raft, Restored, RoleKind, Term};
use raft_wal::Tail;

use super::{Elections, Rule, Violation, ensure};
use crate::world::Mirror;

/// What a server in doubt may have acknowledged, by whom it may have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doubt {
    /// Where the logs of those ended that led when it was started.
    ends: Vec<(Term, LogId)>,
}

impl Doubt {
    /// A process starts while `leaders` are in office, whose logs end so.
    pub(crate) fn restart(&mut self, leaders: Vec<(Term, LogId)>) {
        self.ends = leaders;
    }

    /// Checks a server whose doubt has ended: with an election won, or because it has on its disk all
    /// that the leader of its term had when it was started, or took office with.
    pub(crate) fn check_settled(
        &self,
        raft: &Raft,
        disk: &Mirror,
        elections: &Elections,
    ) -> Result<(), Violation> {
        let status = raft.status();
        let term = status.hard_state.term;
        if status.role == RoleKind::Leader {
            return Ok(());
        }
        let end = self.ends.iter().find(|(led, _)| *led == term).map(|(_, end)| *end);
        let end = end.or_else(|| elections.began_with(term));
        let has_all = end.is_some_and(|end| disk.holds(end));
        ensure(has_all, Rule::Doubt, || {
            format!(
                "{} is not in doubt any more in term {term}, whose leader had entries up to {end:?}, \
                 with entries up to {} on its disk",
                raft.id(),
                disk.durable_last(),
            )
        })
    }
}

/// Checks that a log says of its newest write what it must.
pub(crate) fn check_doubt(
    node: NodeId,
    disk: &Mirror,
    found: &Restored,
    tail: Tail,
) -> Result<(), Violation> {
    let doubts = disk.doubts(tail);
    let holds = if found.is_in_doubt { doubts.may } else { !doubts.must };
    ensure(holds, Rule::Doubt, || {
        let is = if found.is_in_doubt { "in doubt" } else { "not in doubt" };
        format!("{node} finds a log that is {is}: {doubts:?}, and it ends {tail:?}")
    })
}

/// Whose copies a leader counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    term: Term,
    by: BTreeMap<NodeId, Confirmed>,
}

/// Which run of a node has confirmed what a leader counts of it.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    /// All of that was there in this run, or in a later one.
    in_run: u32,
    /// The same before the node said what it lacks, and the true time of that.
    before: Option<(u32, u64)>,
}

impl Counted {
    /// A message is about to be taken, which this run of its sender has sent.
    pub(crate) fn on_message(&mut self, message: &Message, run: u32, raft: &Raft, now: u64) {
        let status = raft.status();
        let Message { from, term, ref body, .. } = *message;
        if status.role != RoleKind::Leader || status.hard_state.term != term {
            return;
        }
        if self.term != term {
            *self = Self { term, by: BTreeMap::new() };
        }
        let accepts = matches!(body, Body::AppendReply(AppendReply::Accepted { .. }));
        let says_what_it_lacks = matches!(body, Body::EndRequest(_));
        if accepts {
            let new = Confirmed { in_run: run, before: None };
            let known = self.by.entry(from).or_insert(new);
            known.in_run = known.in_run.min(run);
        } else if says_what_it_lacks && let Some(known) = self.by.get_mut(&from) {
            let of_this_turn = known.before.filter(|(_, told_at)| *told_at == now);
            known.before = of_this_turn.or(Some((known.in_run, now)));
            known.in_run = known.in_run.max(run);
        }
    }

    /// Whether a copy may still count here that the run `missed_in` of a node has found missing: this
    /// leader has not heard of that, or only in this turn, of which what it does now may be an earlier
    /// part; or it has heard since what an earlier run had said.
    pub(crate) fn may_count(&self, node: NodeId, missed_in: u32, term: Term, now: u64) -> bool {
        let Some(known) = self.by.get(&node).filter(|_| self.term == term) else { return false };
        let before = known.before.filter(|(_, told_at)| *told_at == now);
        known.in_run < missed_in || before.is_some_and(|(run, _)| run < missed_in)
    }
}
