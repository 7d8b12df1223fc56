//! What must hold of a node after its turn.

use std::cell::Cell;

use raft_core::{LogId, LogIndex, Membership, NodeId, RoleKind};

use super::direct::check_no_lease_before;
use super::node::{Node, Process};
use super::{Checks, World};
use crate::app::App;
use crate::check::{
    Monotone, Office, Rule, View, Violation, check_completeness, check_memory, ensure,
};
use crate::tally::Point;

/// What a turn has made of a node.
struct Turned {
    role: RoleKind,
    last: LogId,
    before: Monotone,
    now: Monotone,
    office: Office,
    /// If it is another one.
    membership: Option<(LogId, Membership)>,
}

impl<A: App> World<A> {
    /// Checks a node after its turn, and remembers what it is now.
    pub(super) fn check_node(&mut self, at: usize) -> Result<(), Violation> {
        let Some(turned) = self.check_turned(at)? else { return Ok(()) };
        let Turned { role, before, now, .. } = turned;
        if turned.membership.is_some() {
            self.ask_of_removal(at)?;
        }
        self.remember(at, turned);
        if now.commit > before.commit {
            self.record_commit(at);
            self.note_commit(at, before.commit, now.commit);
        }
        if now.term > before.term || before.commit == LogIndex::ZERO {
            self.ask_voter(at)?;
            self.ask_to_campaign(at)?;
            self.ask_to_enter(at)?;
        }
        if role == RoleKind::Leader { self.check_lease(at) } else { Ok(()) }
    }

    fn check_turned(&mut self, at: usize) -> Result<Option<Turned>, Violation> {
        let Self { nodes, checks, settings, .. } = self;
        let mut office = std::mem::take(&mut nodes[at].office);
        let node = &nodes[at];
        let Some(process) = &node.process else { return Ok(None) };
        let view = view(node, process);
        let status = view.raft.status();
        let mut monotone = node.monotone;
        let before = monotone.check(&view)?;
        checks.leaders.check(at, &view)?;
        let in_use = (status.membership_id, status.membership);
        checks.memberships.check_in_force(&view, in_use, &checks.committed)?;
        if view.role == RoleKind::Leader && checks.elections.on_leader(&view)? {
            // What it has appended since, if anything, counts for what is to come.
            let membership = &process.membership.1;
            let took_all = check_elected(checks, &view, membership)?;
            self.tally.reach_if(took_all, Point::ElectedInDoubt);
            self.tally.reach_if(membership.is_joint(), Point::JointElection);
            check_no_lease_before(&view, nodes, self.now)?;
        }
        let competes = match view.role {
            RoleKind::PreCandidate | RoleKind::Candidate | RoleKind::Leader => true,
            RoleKind::Follower => false,
        };
        ensure(!competes || !node.mirror.lacks_entries(), Rule::WholeLog, || {
            format!("{} is a {:?} and lacks entries of its log", view.id, view.role)
        })?;
        if view.commit > before.commit {
            // It counted by either, if this turn changed it.
            let memberships = [&process.membership.1, status.membership];
            let (term, now) = (view.hard_state.term, self.now);
            let counts_lost = |voter, run| node.counted.may_count(voter, run, term, now);
            let is_missing =
                check_committed(checks, before.commit, &view, memberships, nodes, counts_lost)?;
            self.tally.reach_if(is_missing, Point::CommittedByForgotten);
        }
        if view.role == RoleKind::Leader {
            let limit = settings.protocol.uncommitted_bytes_max;
            check_memory(&view, limit, 64 << 10, process.inherited)?;
        }
        office.check(self.now, settings.protocol.election_timeout, &view, in_use)?;
        let membership = (status.membership_id != process.membership.0)
            .then(|| (status.membership_id, status.membership.clone()));
        let (role, last) = (view.role, view.last);
        Ok(Some(Turned { role, last, before, now: monotone, office, membership }))
    }

    fn remember(&mut self, at: usize, turned: Turned) {
        let Turned { role, last, now, office, membership, .. } = turned;
        let node = &mut self.nodes[at];
        node.monotone = now;
        node.office = office;
        let Some(process) = &mut node.process else { return };
        if role != RoleKind::Leader {
            process.inherited = last;
        }
        if let Some(changed) = membership {
            let (id, after) = (changed.0, changed.1.clone());
            let before = std::mem::replace(&mut process.membership, changed);
            self.tally.reach_if(id.index < before.0.index, Point::MembershipTakenBack);
            self.note_membership(at, &before.1, &after);
        }
    }
}

fn view<'a, A: App>(node: &'a Node<A>, process: &'a Process<A>) -> View<'a> {
    let raft = process.driver.raft();
    let status = raft.status();
    View {
        id: node.id,
        role: status.role,
        hard_state: status.hard_state,
        commit: status.commit,
        base: status.base,
        has_snapshot: status.snapshot.is_some(),
        last: status.last,
        applied: process.machine.applied(),
        raft,
        mirror: &node.mirror,
    }
}

/// A leader that has just taken office, by this membership; whether only because every voter agrees.
fn check_elected<A: App>(
    checks: &mut Checks<A>,
    view: &View<'_>,
    membership: &Membership,
) -> Result<bool, Violation> {
    check_completeness(&checks.committed, view)?;
    checks.elections.check_quorum(view, membership)
}

/// A commit index that has grown from `before` on; whether a copy may have counted that is lost.
///
/// One that a node in doubt has forgotten counts where nobody has said so yet.
fn check_committed<A: App>(
    checks: &mut Checks<A>,
    before: LogIndex,
    view: &View<'_>,
    memberships: [&Membership; 2],
    nodes: &[Node<A>],
    counts_lost: impl Fn(NodeId, u32) -> bool,
) -> Result<bool, Violation> {
    let is_missing = Cell::new(false);
    let counts = |voter: NodeId, id: LogId| {
        let Some(node) = nodes.iter().find(|node| node.id == voter) else { return false };
        let is_forgotten = node.mirror.forgot_in(id);
        let counts = is_forgotten.is_some_and(|run| counts_lost(voter, run));
        is_missing.set(is_missing.get() || counts);
        counts || node.mirror.holds(id)
    };
    checks.committed.on_commit(before, view, memberships, counts)?;
    checks.reads.on_committed(checks.committed.last());
    Ok(is_missing.get())
}
