//! Nobody leads for long whom no quorum follows, or who does not vote (thesis §4.2.2, §6.2).

use std::time::Duration;

use raft_core::{LogId, Membership, NodeId, RoleKind, Term};

use super::{Rule, View, Violation, decides, ensure};

/// What keeps a leader in office, as its node sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Office {
    term: Term,
    /// Who was heard in this term, and when last.
    heard: Vec<(NodeId, u64)>,
    membership: LogId,
    /// Since when it leads with this membership.
    since: u64,
    /// Since when that is committed, and it is no voter.
    out_since: Option<u64>,
}

/// Clocks stray, and a leader that hands over has a little longer.
const PATIENCE: u32 = 4;

impl Office {
    /// Takes the news that a message has arrived.
    pub(crate) fn on_heard(&mut self, from: NodeId, term: Term, now: u64) {
        if term != self.term {
            return;
        }
        match self.heard.iter_mut().find(|(voter, _)| *voter == from) {
            Some((_, at)) => *at = now,
            None => self.heard.push((from, now)),
        }
    }

    /// Takes the news that the node's process was held, and goes on: meanwhile it could neither hear
    /// anybody nor leave.
    pub(crate) fn on_resumed(&mut self, now: u64) {
        self.since = now;
    }

    /// Takes a node after its turn.
    pub(crate) fn check(
        &mut self,
        now: u64,
        election: Duration,
        view: &View<'_>,
        (id, membership): (LogId, &Membership),
    ) -> Result<(), Violation> {
        let term = view.hard_state.term;
        if view.role != RoleKind::Leader || self.term != term {
            self.heard.clear();
            (self.term, self.since, self.membership, self.out_since) = (term, now, id, None);
            return Ok(());
        }
        if self.membership != id {
            (self.membership, self.since, self.out_since) = (id, now, None);
        }
        if view.commit >= id.index && !membership.is_voter(view.id) {
            self.out_since.get_or_insert(now);
        }
        let patience = u64::try_from((election * PATIENCE).as_micros()).unwrap_or(u64::MAX);
        let is_recent = |at: u64| now < at.saturating_add(patience);
        if is_recent(self.since) {
            return Ok(());
        }
        let is_heard = |voter| {
            let heard = self.heard.iter().find(|(other, _)| *other == voter);
            voter == view.id || heard.is_some_and(|(_, at)| is_recent(*at))
        };
        ensure(decides(membership, is_heard), Rule::Office, || {
            format!("{} leads term {term}, though no quorum of {id} is heard", view.id)
        })?;
        ensure(self.out_since.is_none_or(is_recent), Rule::Office, || {
            format!("{} leads term {term}, though {id} has made it no voter", view.id)
        })
    }
}
