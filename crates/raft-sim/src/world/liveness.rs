//! The second half of a run: a quorum is spared, everything else stays broken for good, and there
//! must be progress.

use std::time::Duration;

use raft_core::{LogIndex, Quorum};

use super::network::micros;
use super::{Checks, Event, World};
use crate::app::App;
use crate::check::{Rule, Violation, survives};
use crate::random::Random;
use crate::settings::Stream;
use crate::tally::Point;

/// What is asked of a quorum that is spared.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) quorum: Vec<usize>,
    /// Everything committed before; what comes must be later.
    after: LogIndex,
    /// Calls that were made before.
    calls: usize,
    /// Whether everything must come to an end before anybody calls again: what is held up until the
    /// next command is held up for good if there is none.
    rests_first: bool,
}

impl Goal {
    /// The same of more nodes.
    pub(super) fn with(&self, others: &[usize]) -> Self {
        let quorum = self.quorum.iter().chain(others).copied().collect();
        Self { quorum, ..*self }
    }

    /// Everybody with everybody.
    pub(super) fn pairs(&self) -> Vec<(usize, usize)> {
        let with_all = |from: &usize| self.quorum.iter().map(|to| (*from, *to)).collect::<Vec<_>>();
        self.quorum.iter().flat_map(with_all).collect()
    }

    pub(super) const fn after(&self) -> LogIndex {
        self.after
    }
}

impl<A: App> World<A> {
    /// Ends the faults for a quorum, and waits until it makes progress.
    pub(crate) fn settle(&mut self) -> Result<(), Violation> {
        self.break_disks_for_good()?;
        self.come_to_progress()?;
        self.check_superseded()
    }

    fn come_to_progress(&mut self) -> Result<(), Violation> {
        let Some(goal) = self.spare_quorum()? else { return Ok(()) };
        if goal.rests_first {
            let client = self.clients.pop();
            if !self.comes_to(&goal, Self::is_at_rest)? {
                return Ok(());
            }
            self.tally.reach(Point::RestedWithoutCalls);
            self.clients.extend(client);
        }
        self.queue.push(self.now, Event::Client(0));
        if !self.comes_to(&goal, Self::is_reached)? {
            return Ok(());
        }
        self.tally.reach_if(goal.quorum.len() < self.nodes.len(), Point::QuorumHealed);
        self.check_peace(&goal)
    }

    /// Goes on until something is so; `false` if there is an excuse why it never is.
    fn comes_to(
        &mut self,
        goal: &Goal,
        is_so: impl Fn(&Self, &Goal) -> bool,
    ) -> Result<bool, Violation> {
        const STEP: Duration = Duration::from_millis(20);
        let end = self.now + self.patience(goal);
        while self.now < end {
            self.run_until(self.now + micros(STEP))?;
            if is_so(self, goal) {
                return Ok(true);
            }
        }
        if self.may_wait_for_others(goal) {
            self.tally.reach(Point::WaitedInDoubt);
            return Ok(false);
        }
        if self.is_led_in_vain(goal) {
            return Ok(false);
        }
        Err(Violation { rule: Rule::Progress, what: self.lack(goal) })
    }

    /// Whether those who are spared may be unable to elect a leader without the others: the vote of one
    /// that may have lost its newest write counts only if every voter gives one.
    pub(super) fn may_wait_for_others(&self, goal: &Goal) -> bool {
        let spared = |id| goal.quorum.iter().map(|at| &self.nodes[*at]).find(|node| node.id == id);
        let is_sure = |id| {
            let process = spared(id).and_then(|node| node.process.as_ref());
            process.is_some_and(|process| !process.driver.raft().status().is_in_doubt)
        };
        let mut memberships = self.memberships_in_play();
        memberships.any(|membership| {
            let may_agree = membership.quorum().voters().all(|id| spared(id).is_some());
            !may_agree && !survives(membership, |id| !is_sure(id))
        })
    }

    /// Whether some who are spared follow a leader who is not, and who hears too few that store
    /// entries, itself included. Nothing is committed then; but the leader serves reads, and whoever
    /// took its place would serve none unless he reached more, which it cannot know.
    pub(super) fn is_led_in_vain(&self, goal: &Goal) -> bool {
        let Some(leader) = self.leader().filter(|leader| !goal.quorum.contains(leader)) else {
            return false;
        };
        let raft_of = |at: usize| self.nodes[at].process.as_ref().map(|p| p.driver.raft());
        let Some(status) = raft_of(leader).map(|raft| raft.status()) else { return false };
        let follows = |at: &usize| raft_of(*at).is_some_and(|r| r.leader() == Some(status.id));
        let is_heard = |at| at == leader || self.network.is_open(at, leader);
        let stores = |id| self.slot(id).is_some_and(|at| is_heard(at) && self.stores_entries(at));
        goal.quorum.iter().any(follows) && !survives(status.membership, |id| !stores(id))
    }

    /// Whether a node runs, has room, and a disk that does not hang.
    fn stores_entries(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let has_room = node.process.as_ref().is_some_and(|process| !process.log.is_full());
        node.is_awake() && has_room && node.stalled_until <= self.now
    }

    /// Why a node may not be counted on, though nothing is wrong with the network: all there are.
    fn is_excused(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        // Its disk is gone, so it is another node.
        node.is_lost
            // What it had made durable may be gone; until the log says which entries are faulty it
            // must not vote.
            || node.is_damaged
    }

    /// Nodes that are enough to decide by every membership that may count; `None` if there are no
    /// such.
    fn draw_quorum(&self) -> Option<Vec<usize>> {
        let mut random = Random::of(self.seed, Stream::LIVENESS);
        let memberships: Vec<_> = self.memberships_in_play().collect();
        let is_able = |at: &usize| !self.is_excused(*at);
        let suffices = |nodes: &[usize]| {
            let has = |id| nodes.iter().any(|at| self.nodes[*at].id == id);
            memberships.iter().all(|membership| survives(membership, |id| !has(id)))
        };
        let mut quorum: Vec<_> = (0..self.nodes.len()).filter(is_able).collect();
        if !suffices(&quorum) {
            return None;
        }
        // Everybody who is able, or as few as possible.
        if random.coin() {
            return Some(quorum);
        }
        let mut candidates = quorum.clone();
        // First a leader that is of no use: those who follow it must get rid of it.
        let mut useless = self.leader().filter(|at| !self.stores_entries(*at));
        while !candidates.is_empty() {
            let drawn = random.position(candidates.len());
            let useless =
                useless.take().and_then(|leader| candidates.iter().position(|at| *at == leader));
            let at = candidates.swap_remove(useless.unwrap_or(drawn));
            let id = self.nodes[at].id;
            // Who is about to vote changes how many are needed.
            let may_vote_soon = memberships.iter().any(|m| m.promotions().any(|other| other == id));
            let others: Vec<_> = quorum.iter().copied().filter(|other| *other != at).collect();
            if !may_vote_soon && suffices(&others) {
                quorum = others;
            }
        }
        Some(quorum)
    }

    fn spare_quorum(&mut self) -> Result<Option<Goal>, Violation> {
        let Some(quorum) = self.draw_quorum() else { return Ok(None) };
        self.is_settling = true;
        self.record_relief(|| format!("faults are over for the nodes at {quorum:?}"));
        self.schedule.faults.clear();
        self.network.weather = Default::default();
        for from in &quorum {
            for to in &quorum {
                self.network.heal(*from, *to);
            }
        }
        // Nobody mends what is not a part of the quorum.
        self.reliefs.clear();
        self.leave_one_client();
        self.targets.clone_from(&quorum);
        for at in &quorum {
            self.spare(*at)?;
        }
        let (after, calls) = (self.checks.committed.last(), self.checks.history.calls().len());
        let rests_first = Random::of(self.seed, Stream::REST).below(4) == 0;
        Ok(Some(Goal { quorum, after, calls, rests_first }))
    }

    /// In some runs, the leader stores nothing from now on, unless it is spared.
    ///
    /// The others hear that all is well, and must get rid of it.
    fn break_disks_for_good(&mut self) -> Result<(), Violation> {
        /// As long as it takes to use up what a log keeps in reserve.
        const UNTIL_FULL: Duration = Duration::from_secs(20);
        const STEP: Duration = Duration::from_millis(100);
        let Some(leader) = self.leader() else { return Ok(()) };
        match Random::of(self.seed, Stream::PARTING).below(12) {
            0 => {
                drop(self.fill_disk(leader));
                let end = self.now + micros(UNTIL_FULL);
                while self.now < end && self.stores_entries(leader) {
                    self.run_until(self.now + micros(STEP))?;
                }
            }
            1 => drop(self.stall(leader, u64::MAX)),
            _ => {}
        }
        Ok(())
    }

    /// How long progress may take: some elections, and what those who lag have to catch up with,
    /// one entry after the other if the configuration wants it so.
    pub(super) fn patience(&self, goal: &Goal) -> u64 {
        let settings = &self.settings;
        let known = goal.quorum.iter().map(|at| self.nodes[*at].mirror.durable_last().index);
        let applied = known.min().unwrap_or_default();
        let newest = self.nodes.iter().map(|node| node.mirror.last().index).max();
        let lag = newest.unwrap_or_default().distance_from(applied) + 100;
        let trip = 4 * micros(settings.network.delay_max) + 8 * micros(settings.turn_delay_max);
        let disk = 3 * micros(settings.disk.sync_max) + micros(settings.disk.read_max);
        let heartbeat = micros(settings.protocol.heartbeat_interval);
        let entry = trip + disk + 2 * micros(settings.apply_delay_max) + heartbeat / 4;
        80 * micros(settings.protocol.election_timeout)
            + 4 * micros(settings.driver.request_timeout)
            + 10 * micros(settings.restore_delay_max)
            + lag * entry
    }

    fn is_reached(&self, goal: &Goal) -> bool {
        let answered = self.checks.history.calls()[goal.calls..].iter();
        let is_answered = |call: &crate::check::Call<A>| call.is_answered_command();
        answered.into_iter().any(is_answered)
            && !self.is_between_memberships()
            && goal.quorum.iter().filter(|at| self.is_expected(**at)).all(|at| {
                let process = self.nodes[*at].process.as_ref();
                process.is_some_and(|process| process.machine.applied() > goal.after)
            })
    }

    /// Whether there is a leader, and nothing left to do for anybody who can be reached.
    fn is_at_rest(&self, goal: &Goal) -> bool {
        let Some(leader) = self.leader() else { return false };
        let last = self.nodes[leader].mirror.last().index;
        !self.is_between_memberships()
            && !self.is_promotion_due(goal)
            && goal.quorum.iter().filter(|at| self.is_expected(**at)).all(|at| {
                let process = self.nodes[*at].process.as_ref();
                process.is_some_and(|process| process.machine.applied() == last)
            })
    }

    /// Whether a membership change is half done: whoever leads has to complete it.
    fn is_between_memberships(&self) -> bool {
        let Checks { memberships, committed, .. } = &self.checks;
        let newest = memberships.committed(committed, LogIndex::new(u64::MAX));
        newest.is_some_and(|(_, membership)| matches!(membership.quorum(), Quorum::Joint { .. }))
    }

    /// Whether a learner of the quorum is to become a voter.
    fn is_promotion_due(&self, goal: &Goal) -> bool {
        let Checks { memberships, committed, .. } = &self.checks;
        let newest = memberships.committed(committed, LogIndex::new(u64::MAX));
        let is_spared =
            |id| goal.quorum.iter().any(|at| self.nodes[*at].id == id && self.is_expected(*at));
        newest.is_some_and(|(_, membership)| membership.promotions().any(is_spared))
    }

    /// Whether a member of the quorum must come as far as the others.
    pub(super) fn is_expected(&self, at: usize) -> bool {
        let Checks { memberships, committed, .. } = &self.checks;
        let newest = memberships.committed(committed, LogIndex::new(u64::MAX));
        let is_member = newest.is_none_or(|(_, m)| m.contains(self.nodes[at].id));
        is_member && !self.is_out_of_reach(at)
    }

    /// Whether a member of the quorum is cut off from a leader who is none, or needs a snapshot that
    /// such a leader cannot read. The others may follow
    /// that one, and go on without it: they would be wrong to depose a leader who serves them.
    fn is_out_of_reach(&self, at: usize) -> bool {
        let is_bad = |leader: usize| {
            let node = &self.nodes[leader];
            node.is_damaged || node.is_shelf_faulty || node.stalled_until > self.now
        };
        self.leader().is_some_and(|leader| !self.network.is_open(at, leader) || is_bad(leader))
    }

    fn lack(&self, goal: &Goal) -> String {
        let states = goal.quorum.iter().map(|at| {
            let node = &self.nodes[*at];
            let Some(process) = &node.process else { return format!("{} is down", node.id) };
            let status = process.driver.raft().status();
            format!(
                "{} is {:?} of term {} with {} entries, {} committed, {} applied",
                node.id,
                status.role,
                status.hard_state.term,
                status.last.index,
                status.commit,
                process.machine.applied(),
            )
        });
        let states: Vec<_> = states.collect();
        let lack = if self.is_between_memberships() {
            "a joint membership was not left"
        } else if !self.clients.is_empty() {
            "no command went through"
        } else if self.is_promotion_due(goal) {
            "a learner was not promoted"
        } else {
            "not everybody has everything"
        };
        format!("{lack} after {}: {}", goal.after, states.join("; "))
    }
}
