//! What is asked of a node directly, because a breach seldom does harm that anybody would see.

use raft_core::{
    Body, EntryPayload, Event, Input, LogId, LogIndex, Message, Raft, ReadId, ReadIndex,
    ReadIndexReply, Removed, RoleKind, Term, Timestamp, VoteReply, Write,
};

use super::node::Node;
use super::{Checks, World};
use crate::app::App;
use crate::check::{
    Lead, Rule, View, Violation, check_agreement, check_claim, check_promise, ensure, new_voters,
};

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
        check_claim(message, &node.mirror, || {
            let status = node.process.as_ref().map(|process| process.driver.raft().status());
            let role = status.map(|status| status.role);
            matches!(role, Some(RoleKind::PreCandidate | RoleKind::Candidate))
        })?;
        if let Body::VoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt) = message.body {
            self.checks.elections.on_vote(message.from, message.term, message.to)?;
        }
        // Of one that does not run, nobody knows yet what its disk has lost.
        let is_known = |to: &&Node<A>| to.process.is_some() || !to.is_damaged;
        if let Some(to) = target.map(|target| &self.nodes[target]).filter(is_known) {
            let leads = || {
                let status = to.process.as_ref().map(|process| process.driver.raft().status());
                let led = status.filter(|status| status.role == RoleKind::Leader);
                led.is_some_and(|status| status.hard_state.term == message.term)
            };
            // Of what is lost with a newest write, the leader may not know yet.
            let is_excused = |id: LogId| {
                let missed_in = to.mirror.forgot_in(id);
                missed_in
                    .is_some_and(|run| node.counted.may_count(to.id, run, message.term, self.now))
            };
            check_agreement(message, &node.mirror, &to.mirror, leads, is_excused)?;
        }
        let election = self.settings.protocol.election_timeout;
        let now = node.clock.at(self.now);
        node.voter.check_candidacy(message, now, election)?;
        self.check_vote(at, message)?;
        let node = &mut self.nodes[at];
        let has_asked = node.proofs.has_asked();
        node.proofs.check_sent(message, now)?;
        if !has_asked {
            self.answer_another_run(at, message)?;
        }
        self.check_handed_over(at, target, message)
    }

    /// A vote says whether who gives it is in doubt; a candidate has its own.
    fn check_vote(&mut self, at: usize, message: &Message) -> Result<(), Violation> {
        let Some(process) = &self.nodes[at].process else { return Ok(()) };
        let is_in_doubt = process.driver.raft().status().is_in_doubt;
        let is_vote = matches!(message.body, Body::VoteReply(VoteReply::Granted));
        ensure(!is_vote || !is_in_doubt, Rule::Doubt, || {
            format!("{} votes for {} and hides that it is in doubt", message.from, message.to)
        })?;
        let asks = matches!(message.body, Body::RequestVote(_) | Body::TransferVote(_));
        if is_vote || asks && !is_in_doubt {
            self.checks.elections.on_sure_vote(message.from, message.term);
        }
        Ok(())
    }

    /// The term is spent: the message may arrive late. Its receiver has everything (thesis §3.10).
    fn check_handed_over(
        &self,
        at: usize,
        target: Option<usize>,
        message: &Message,
    ) -> Result<(), Violation> {
        let Node { process: Some(process), mirror, .. } = &self.nodes[at] else { return Ok(()) };
        if !matches!(message.body, Body::TimeoutNow) {
            return Ok(());
        }
        let Message { from, to, term, .. } = *message;
        let status = process.driver.raft().status();
        if status.hard_state.term != term {
            // In the same turn it has heard of a later leader, whose entries it may have.
            return Ok(());
        }
        let leads = status.role == RoleKind::Leader;
        ensure(!leads, Rule::Office, || format!("{from} has told {to} to campaign, and goes on"))?;
        let last = mirror.last();
        let successor = target.map(|target| &self.nodes[target]).filter(|node| !node.is_damaged);
        let has_all = successor.is_none_or(|node| node.mirror.holds(last));
        ensure(has_all, Rule::Office, || {
            format!("{from} has told {to} to campaign, which lacks {last}")
        })
    }

    /// Answers the first question of a node's run as if an earlier run had asked it.
    fn answer_another_run(&self, at: usize, message: &Message) -> Result<(), Violation> {
        let Node { process: Some(process), clock, .. } = &self.nodes[at] else { return Ok(()) };
        let Body::ReadIndex(ReadIndex { upto }) = message.body else { return Ok(()) };
        let upto = ReadId::new(!upto.session(), upto.position());
        let body = Body::ReadIndexReply(ReadIndexReply { upto, index: LogIndex::ZERO });
        let Message { from, to, term, .. } = *message;
        let mut copy = process.driver.raft().clone();
        let answer = Message { from: to, to: from, term, body };
        copy.step(clock.at(self.now), Input::Message(answer));
        let output = copy.poll_output().unwrap_or_default();
        ensure(output.reads.is_empty(), Rule::ProvedRead, || {
            format!("{from} takes the answer to another run for one to this one")
        })
    }

    /// A write is about to be submitted: what follows a snapshot may be acknowledged, and stays.
    pub(super) fn check_reset(&self, at: usize, write: &Write) -> Result<(), Violation> {
        let Node { id, ref mirror, .. } = self.nodes[at];
        let Some(base) = write.reset else { return Ok(()) };
        let goes_on = mirror.id_at(base.index) == Some(base) && base.index < mirror.last().index;
        ensure(!goes_on || mirror.is_faulty(), Rule::KeptLog, || {
            format!("{id} drops what follows {base}, up to {}", mirror.last())
        })
    }

    /// Whom a leader is about to make a voter has caught up with it.
    pub(super) fn check_growth(&mut self, at: usize, write: &Write) -> Result<(), Violation> {
        let Node { process: Some(process), growth, clock, .. } = &mut self.nodes[at] else {
            return Ok(());
        };
        if process.driver.raft().status().role != RoleKind::Leader {
            return Ok(());
        }
        let election = self.settings.protocol.election_timeout;
        let now = clock.at(self.now);
        if let Some(last) = write.append.last() {
            growth.note(now, last.id, election);
        }
        let growth = &self.nodes[at].growth;
        for entry in &write.append {
            let EntryPayload::Membership(after) = &entry.payload else { continue };
            let Checks { memberships, committed, .. } = &self.checks;
            let before = memberships.in_force(&self.nodes[at].mirror, committed);
            for voter in before.into_iter().flat_map(|(_, before)| new_voters(before, after)) {
                let node = self.nodes.iter().find(|node| node.id == voter && !node.is_damaged);
                let holds = node.map(|node| (voter, node.mirror.durable_last().index));
                holds.map_or(Ok(()), |holds| growth.check(holds, now, election))?;
            }
        }
        Ok(())
    }

    /// A voter may have been freed of its promise by what has happened to it.
    pub(super) fn ask_voter(&self, at: usize) -> Result<(), Violation> {
        let Node { id, voter, mirror, process: Some(process), clock, .. } = &self.nodes[at] else {
            return Ok(());
        };
        // The only voter elects itself when it comes back, if its snapshot has the membership that says
        // so: whom it heard has committed that, and left its office.
        let status = process.driver.raft().status();
        let is_alone = status.membership.quorum().voters().all(|voter| voter == *id);
        if is_alone && status.membership_id.index <= mirror.snapshot().index {
            return Ok(());
        }
        let election = self.settings.protocol.election_timeout;
        voter.ask(process.driver.raft(), clock.at(self.now), election)
    }

    /// Who lacks entries of its log does not campaign, though a leader tells it to.
    pub(super) fn ask_to_campaign(&self, at: usize) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let Some(process) = node.process.as_ref().filter(|_| node.mirror.lacks_entries()) else {
            return Ok(());
        };
        let raft = process.driver.raft();
        let term = raft.status().hard_state.term.next();
        let Some(copy) = told(raft, node.clock.at(self.now), term, Body::TimeoutNow) else {
            return Ok(());
        };
        ensure(copy.status().role == RoleKind::Follower, Rule::WholeLog, || {
            format!("{} lacks entries of its log, and campaigns when it is told to", node.id)
        })
    }

    /// Who is refused in a later term enters it: it lags, and would ask in vain for ever.
    pub(super) fn ask_to_enter(&self, at: usize) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return Ok(()) };
        let raft = process.driver.raft();
        let (term, now) = (raft.status().hard_state.term.next(), node.clock.at(self.now));
        let denied = [Body::PreVoteReply(VoteReply::Denied), Body::VoteReply(VoteReply::Denied)];
        denied.into_iter().try_for_each(|body| {
            let entered = told(raft, now, term, body).map(|copy| copy.status().hard_state.term);
            ensure(entered.is_none_or(|entered| entered == term), Rule::LaterTerm, || {
                format!("{} is refused in term {term}, and stays in its own", node.id)
            })
        })
    }

    /// Who is a member is not removed by a membership from before.
    pub(super) fn ask_of_removal(&self, at: usize) -> Result<(), Violation> {
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return Ok(()) };
        let raft = process.driver.raft();
        let status = raft.status();
        let LogId { term, index } = status.membership_id;
        if !status.membership.contains(node.id) || index == LogIndex::ZERO {
            return Ok(());
        }
        let body = Body::Removed(Removed { by: LogId { term, index: index.prev() } });
        let now = node.clock.at(self.now);
        let Some(mut copy) = told(raft, now, status.hard_state.term, body) else { return Ok(()) };
        let outputs = std::iter::from_fn(|| copy.poll_output());
        let mut events = outputs.flat_map(|output| output.events);
        let is_removed = events.any(|event| matches!(event, Event::Removed { .. }));
        ensure(!is_removed, Rule::Membership, || {
            format!("{} believes to be removed by a membership from before {term}", node.id)
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

/// A copy of a server that is told something by another voter, if there is one.
fn told(raft: &Raft, now: Timestamp, term: Term, body: Body) -> Option<Raft> {
    let (from, to) =
        (raft.status().membership.quorum().voters().find(|id| *id != raft.id())?, raft.id());
    let mut copy = raft.clone();
    copy.step(now, Input::Message(Message { from, to, term, body }));
    Some(copy)
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
