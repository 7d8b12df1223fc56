//! What must be so once a quorum makes progress: states agree, every node answers, the leader stays,
//! and who was damaged is repaired.

use std::time::Duration;

use raft_core::ReadLevel;

use super::World;
use super::clients::position;
use super::liveness::Goal;
use super::network::micros;
use crate::app::{App, Ask};
use crate::check::{Outcome, Rule, Violation, ensure};
use crate::random::Random;
use crate::settings::{Settings, Stream};

impl<A: App> World<A> {
    pub(super) fn check_peace(&mut self, goal: &Goal) -> Result<(), Violation> {
        self.compare_states()?;
        self.come_to_answers(goal)?;
        self.stay_in_office(goal)?;
        self.come_to_health(goal)
    }

    /// Compares the states of all nodes that have applied equally much.
    fn compare_states(&mut self) -> Result<(), Violation> {
        let Self { nodes, checks, .. } = self;
        nodes.iter().try_for_each(|node| {
            let Some(process) = &node.process else { return Ok(()) };
            let state = A::digest(&process.machine.state_machine().0);
            checks.replicas.on_state(node.id, process.machine.applied(), state)
        })
    }

    /// Nobody takes the place of a leader with whom nothing is wrong.
    fn stay_in_office(&mut self, goal: &Goal) -> Result<(), Violation> {
        let election = self.settings.protocol.election_timeout;
        let is_voter = |id| self.memberships_in_play().all(|membership| membership.is_voter(id));
        let reign = |world: &Self| {
            let leader = world.leader().filter(|at| goal.quorum.contains(at))?;
            let status = world.nodes[leader].process.as_ref()?.driver.raft().status();
            Some((status.id, status.hard_state.term))
        };
        let Some(before) = reign(self).filter(|(id, _)| is_voter(*id) && self.is_calm()) else {
            return Ok(());
        };
        self.run_until(self.now + micros(election * 10))?;
        let after = reign(self);
        ensure(after == Some(before), Rule::Progress, || {
            format!("{before:?} led, and now {after:?}, though nothing was wrong")
        })
    }

    /// Whether what is usual here is far from what makes elections.
    fn is_calm(&self) -> bool {
        let Settings { network, disk, turn_delay_max, protocol, .. } = &self.settings;
        let trip = 2 * network.delay_max + 4 * *turn_delay_max + 4 * disk.sync_max;
        network.loss_per_million == 0 && trip < protocol.election_timeout / 4
    }

    /// Asks every node that has come as far as the others, again and again, until it has answered.
    fn come_to_answers(&mut self, goal: &Goal) -> Result<(), Violation> {
        let mut random = Random::of(self.seed, Stream::QUESTIONS);
        let mut wanting = goal.quorum.clone();
        let end = self.now + self.patience(goal);
        while self.now < end {
            wanting.retain(|at| self.is_expected(*at));
            let mut asked = Vec::new();
            for at in wanting.iter().copied() {
                let question = self.draw_question(&mut random);
                if let Some(question) = question.filter(|_| self.nodes[at].is_awake()) {
                    asked.push((at, self.ask_for(0, at, question, ReadLevel::Linearizable)?));
                }
            }
            let calls = asked.iter().map(|(_, call)| *call);
            self.wait_for(calls.collect(), end)?;
            let outcome = |call: u32| &self.checks.history.calls()[position(call)].outcome;
            let is_answered = |call| matches!(outcome(call), Outcome::Answered(..));
            wanting.retain(|at| !asked.iter().any(|(of, call)| of == at && is_answered(*call)));
            if wanting.is_empty() {
                return Ok(());
            }
        }
        if self.may_wait_for_others(goal) || self.is_led_in_vain(goal) {
            return Ok(());
        }
        let silent: Vec<_> = wanting.iter().map(|at| self.nodes[*at].id).collect();
        Err(Violation { rule: Rule::Progress, what: format!("{silent:?} answer no read") })
    }

    fn draw_question(&self, random: &mut Random) -> Option<Ask<A>> {
        const DRAWS: usize = 100;
        let mut asks = (0..DRAWS).map(|_| self.app.draw(random));
        asks.find(|ask| matches!(ask, Ask::Query(_)))
    }

    /// Goes on until nobody waits for any of `calls`, or `end`.
    fn wait_for(&mut self, calls: Vec<u32>, end: u64) -> Result<(), Violation> {
        const STEP: Duration = Duration::from_millis(20);
        loop {
            self.run_until(self.now + micros(STEP))?;
            let waits = |call: &u32| {
                matches!(self.checks.history.calls()[position(*call)].outcome, Outcome::Waiting)
            };
            if self.now >= end || !calls.iter().any(waits) {
                return Ok(());
            }
        }
    }

    /// Spares those whose disks were damaged as well: they get back from the others all that they have
    /// lost.
    fn come_to_health(&mut self, goal: &Goal) -> Result<(), Violation> {
        const STEP: Duration = Duration::from_millis(20);
        let hurt: Vec<_> = (0..self.nodes.len()).filter(|at| self.may_recover(*at)).collect();
        if hurt.is_empty() {
            return Ok(());
        }
        let all = goal.with(&hurt);
        for (from, to) in all.pairs() {
            self.network.heal(from, to);
        }
        for at in &hurt {
            self.spare(*at)?;
        }
        let end = self.now + self.patience(&all);
        while self.now < end {
            self.run_until(self.now + micros(STEP))?;
            if hurt.iter().all(|at| self.is_well(*at, goal)) {
                return Ok(());
            }
        }
        if self.may_wait_for_others(&all) || self.is_led_in_vain(&all) {
            return Ok(());
        }
        let ill = hurt.iter().filter(|at| !self.is_well(**at, goal)).map(|at| self.nodes[*at].id);
        let ill: Vec<_> = ill.collect();
        Err(Violation { rule: Rule::Progress, what: format!("{ill:?} are not repaired") })
    }

    /// Whether a node was damaged, and knows what it has lost.
    fn may_recover(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        node.is_damaged && !node.is_lost && !node.is_shelf_faulty && !node.may_lose_unnoticed()
    }

    /// Whether a node has all that it had lost, or waits for an operator.
    fn is_well(&self, at: usize, goal: &Goal) -> bool {
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return true };
        let sound = process.driver.raft().status().durable;
        let has_all = sound > goal.after() && process.machine.applied() > goal.after();
        has_all || !self.is_expected(at)
    }
}
