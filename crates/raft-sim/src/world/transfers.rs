//! An operator has leadership handed over, and is told what became of it.

use raft::driver::TransferRefusal;
use raft_core::NodeId;

use super::World;
use super::refusals::Asked;
use crate::app::App;
use crate::check::{Rule, Violation, ensure};
use crate::schedule::{Class, Target};
use crate::tally::Point;

/// A transfer that was asked for.
#[derive(Debug)]
pub(super) struct Transfer {
    to: NodeId,
    asked: Asked,
}

impl<A: App> World<A> {
    /// An operator has the leader hand over.
    pub(super) fn transfer(&mut self, to: Target) -> Result<(), Violation> {
        let (Some(leader), Some(at)) = (self.leader(), self.find(to)) else { return Ok(()) };
        let to = self.nodes[at].id;
        let node = &mut self.nodes[leader];
        let now = node.clock.at(self.now);
        let Some(process) = node.process.as_mut().filter(|_| node.pauses == 0) else {
            return Ok(());
        };
        let asked = Asked::new(process.driver.raft());
        let call = self.operator.on_transfer(Transfer { to, asked });
        process.driver.transfer(now, to, call);
        let deadline = now.after(self.settings.driver.request_timeout);
        node.operators.on_taken(call, deadline.as_micros());
        self.tally.hit(Class::Transfer, self.standing(at));
        self.turn(leader)
    }

    /// Takes what the operator is told.
    pub(super) fn on_transfer(
        &mut self,
        at: usize,
        call: u32,
        outcome: Result<(), TransferRefusal>,
    ) -> Result<(), Violation> {
        let id = self.nodes[at].id;
        let Some(Transfer { to, asked }) = self.operator.take_transfer(call) else {
            return ensure(false, Rule::Callers, || format!("{id} answers transfer {call} again"));
        };
        self.nodes[at].operators.on_answer(call);
        let has_led = |leader| self.checks.elections.has_led(leader, asked.term());
        let (is_so, point) = match outcome {
            Ok(()) => (has_led(to), Some(Point::TransferDone)),
            Err(TransferRefusal::OtherLeader { leader }) => {
                (has_led(leader), Some(Point::TransferOvertaken))
            }
            Err(TransferRefusal::Refused(error)) => (asked.justifies_no_transfer(error), None),
            // Who waits is told in time; more is not known of these.
            Err(TransferRefusal::Failed | TransferRefusal::TimedOut) => (true, None),
        };
        if let Some(point) = point {
            self.tally.reach(point);
        }
        ensure(is_so, Rule::Callers, || {
            format!("{id} says that a transfer to {to} has ended with {outcome:?}")
        })
    }
}
