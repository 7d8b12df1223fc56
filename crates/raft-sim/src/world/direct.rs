//! What is asked of a node directly, because a breach seldom does harm that anybody would see.

use raft_core::{Body, Message, RoleKind};

use super::World;
use super::node::Node;
use crate::app::App;
use crate::check::{Lead, Rule, View, Violation, check_agreement, check_promise, ensure};

impl<A: App> World<A> {
    /// What must hold of a message that leaves.
    pub(super) fn check_message(
        &mut self,
        at: usize,
        target: Option<usize>,
        message: &Message,
    ) -> Result<(), Violation> {
        let node = &self.nodes[at];
        check_promise(message, &node.mirror)?;
        if let Some(to) = target.map(|target| &self.nodes[target]).filter(|to| !to.is_damaged) {
            let leads = || {
                let status = to.process.as_ref().map(|process| process.driver.raft().status());
                let led = status.filter(|status| status.role == RoleKind::Leader);
                led.is_some_and(|status| status.hard_state.term == message.term)
            };
            check_agreement(message, &node.mirror, &to.mirror, leads)?;
        }
        let election = self.settings.protocol.election_timeout;
        let now = node.clock.at(self.now);
        node.voter.check_candidacy(message, now, election)?;
        let node = &mut self.nodes[at];
        node.proofs.check_sent(message, now)?;
        self.check_handed_over(at, message)
    }

    /// The term is spent: the message may arrive late (thesis §3.10).
    fn check_handed_over(&self, at: usize, message: &Message) -> Result<(), Violation> {
        let Some(process) = &self.nodes[at].process else { return Ok(()) };
        if !matches!(message.body, Body::TimeoutNow) {
            return Ok(());
        }
        let status = process.driver.raft().status();
        let leads = status.role == RoleKind::Leader && status.hard_state.term == message.term;
        ensure(!leads, Rule::Office, || {
            format!("{} has told {} to campaign, and goes on", message.from, message.to)
        })
    }

    /// What a leader has heard proves something to readers, and its lease must be proved.
    pub(super) fn check_lease(&mut self, at: usize) -> Result<(), Violation> {
        let lease = self.settings.protocol.lease(self.settings.drift_ppm_max);
        let Node { process: Some(process), proofs, clock, .. } = &mut self.nodes[at] else {
            return Ok(());
        };
        if lease.is_none() && !proofs.has_readers() {
            return Ok(());
        }
        let raft = process.driver.raft();
        let Some(lead) = Lead::of(raft, &process.membership.1, clock.at(self.now)) else {
            return Ok(());
        };
        proofs.on_heard(&lead);
        match raft.lease_until().zip(lease) {
            Some((until, lease)) => proofs.check_lease(until, &lead, lease),
            None => Ok(()),
        }
    }
}

/// Nobody has a lease of an earlier term when another is elected.
pub(super) fn check_no_lease_before<A: App>(
    view: &View<'_>,
    nodes: &[Node<A>],
    now: u64,
) -> Result<(), Violation> {
    nodes.iter().try_for_each(|node| {
        let Some(process) = &node.process else { return Ok(()) };
        let raft = process.driver.raft();
        let is_earlier = raft.status().hard_state.term < view.hard_state.term;
        let holds = raft.lease_until().is_none_or(|until| until <= node.clock.at(now));
        ensure(!is_earlier || holds, Rule::Lease, || {
            format!("{} leads while {} has a lease of an earlier term", view.id, node.id)
        })
    })
}
