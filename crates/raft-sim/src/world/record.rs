//! Writing down what happens, if somebody wants to know.

use raft_core::{LogId, NodeId, Quorum};
use raft_net::Packet;

use super::World;
use crate::app::App;
use crate::check::Violation;
use crate::schedule::Class;
use crate::trace::{NodeState, Record, Told, Trace, What};

impl<A: App> World<A> {
    fn record(&mut self, at: Option<usize>, what: impl FnOnce() -> What) {
        if self.trace.is_none() {
            return;
        }
        let node = at.map(|at| self.nodes[at].id);
        let state = at.and_then(|at| self.state(at));
        let record = Record { at: self.now, node, state, what: what() };
        if let Some(trace) = &mut self.trace {
            trace.records.push(record);
        }
    }

    fn state(&self, at: usize) -> Option<NodeState> {
        let process = self.nodes[at].process.as_ref()?;
        let status = process.driver.raft().status();
        let ids = |voters: &raft_core::Voters| voters.iter().map(NodeId::get).collect();
        let voters = match status.membership.quorum() {
            Quorum::Majority(voters) => [ids(voters), Vec::new()],
            Quorum::Joint { incoming, outgoing } => [ids(incoming), ids(outgoing)],
        };
        Some(NodeState {
            role: status.role,
            term: status.hard_state.term,
            vote: status.hard_state.vote,
            commit: status.commit,
            last: status.last,
            voters,
        })
    }

    pub(super) fn record_start(&mut self, at: usize) {
        self.record(Some(at), || What::Started);
    }

    pub(super) fn record_stop(&mut self, at: usize, how: &'static str) {
        self.record(Some(at), || What::Stopped { how });
    }

    pub(super) fn record_role(&mut self, at: usize) {
        self.record(Some(at), || What::Became);
    }

    pub(super) fn record_commit(&mut self, at: usize) {
        self.record(Some(at), || What::Committed);
    }

    pub(super) fn record_append(&mut self, at: usize, last: LogId) {
        self.record(Some(at), || What::Appended { last });
    }

    pub(super) fn record_durable(&mut self, at: usize) {
        let last = self.nodes[at].mirror.durable_last();
        self.record(Some(at), || What::Durable { last });
    }

    /// A packet leaves; its number.
    pub(super) fn record_sent(&mut self, at: usize, to: NodeId, packet: &Packet) -> u64 {
        self.packets += 1;
        let number = self.packets;
        self.record(Some(at), || What::Sent { packet: number, to, told: Told::of(packet) });
        number
    }

    pub(super) fn record_lost(&mut self, at: usize, to: NodeId, number: u64, by: Class) {
        self.record(Some(at), || What::Lost { packet: number, to, why: by.name() });
    }

    pub(super) fn record_arrival(&mut self, at: usize, from: NodeId, number: u64, packet: &Packet) {
        self.record(Some(at), || What::Arrived { packet: number, from, told: Told::of(packet) });
    }

    pub(super) fn record_fault(&mut self, number: usize) {
        let Some(fault) = self.schedule.faults.get(number).map(|planned| planned.fault) else {
            return;
        };
        self.record(None, || What::Fault { text: format!("{fault:?}") });
    }

    pub(super) fn record_relief(&mut self, text: impl FnOnce() -> String) {
        self.record(None, || What::Relief { text: text() });
    }

    pub(super) fn record_ask(&mut self, at: usize, call: u32) {
        if self.trace.is_some() {
            let text = format!("{:?}", self.checks.history.get(call).ask);
            self.record(Some(at), || What::Asked { call, text });
        }
    }

    pub(super) fn record_outcome(&mut self, call: u32) {
        if self.trace.is_some() {
            let text = format!("{:?}", self.checks.history.get(call).outcome);
            self.record(None, || What::Ended { call, text });
        }
    }

    /// Ends the trace, with what was violated.
    pub(crate) fn end_trace(&mut self, violation: Option<&Violation>) -> Option<Trace> {
        if let Some(Violation { rule, what }) = violation {
            self.record(None, || What::Violated { rule: rule.name(), text: what.clone() });
        }
        self.trace.take()
    }
}
