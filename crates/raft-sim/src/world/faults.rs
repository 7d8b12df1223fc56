//! Carrying out what goes wrong, and ending it.

use std::time::Duration;

use raft_core::{LogIndex, Membership};

use super::network::{Weather, micros};
use super::process::End;
use super::{Event, World, small};
use crate::app::App;
use crate::check::Violation;
use crate::schedule::{Class, Fault, Storm, Target};
use crate::tally::{Point, Standing};

/// What ends a fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Relief {
    /// Links that were cut.
    Mend(Vec<(usize, usize)>),
    /// The weather.
    Clear,
    /// Machines that were down.
    Start(Vec<usize>),
    /// A process that was held.
    Resume(usize),
    /// A disk that was full.
    Space(usize),
}

impl<A: App> World<A> {
    /// The fault with this number begins.
    pub(super) fn on_fault(&mut self, number: usize) -> Result<(), Violation> {
        // None is left once a quorum is spared.
        let Some(planned) = self.schedule.faults.get(number).copied() else { return Ok(()) };
        self.record_fault(number);
        let lasts = micros(planned.lasts);
        if let Some(relief) = self.strike(planned.fault, self.now + lasts)? {
            self.reliefs.insert(number, relief);
            self.queue.push(self.now + lasts, Event::Relief(number));
        }
        Ok(())
    }

    /// It ends.
    pub(super) fn on_relief(&mut self, number: usize) -> Result<(), Violation> {
        match self.reliefs.remove(&number) {
            Some(relief) => self.relieve(relief),
            None => Ok(()),
        }
    }

    fn relieve(&mut self, relief: Relief) -> Result<(), Violation> {
        self.record_relief(|| format!("{relief:?}"));
        match relief {
            Relief::Mend(links) => {
                links.into_iter().for_each(|(from, to)| self.network.mend(from, to));
                Ok(())
            }
            Relief::Clear => {
                self.network.weather = Weather::default();
                Ok(())
            }
            Relief::Start(nodes) => nodes.into_iter().try_for_each(|at| {
                self.nodes[at].outages -= 1;
                self.start(at)
            }),
            Relief::Resume(at) => {
                let node = &mut self.nodes[at];
                node.pauses -= 1;
                node.office.on_resumed(self.now);
                self.turn(at)
            }
            Relief::Space(at) => {
                self.nodes[at].disk.set_capacity(u64::MAX);
                Ok(())
            }
        }
    }

    /// Makes a node as good as new, as far as that is possible, for good.
    pub(super) fn spare(&mut self, at: usize) -> Result<(), Violation> {
        self.end_stall(at);
        let node = &mut self.nodes[at];
        node.outages = 0;
        if std::mem::take(&mut node.pauses) > 0 {
            node.office.on_resumed(self.now);
        }
        node.planned = None;
        node.wayward = None;
        node.disk.set_capacity(u64::MAX);
        node.disk.forget_faults();
        node.shelf_disk.forget_faults();
        if std::mem::take(&mut node.is_shelf_faulty) {
            // Its shelf may be in doubt of what is there, until it is opened again.
            self.end_process(at, End::Killed)?;
        }
        if self.nodes[at].process.is_some() { self.turn(at) } else { self.start(at) }
    }

    /// What a disk has been at, if it would have been for ever, comes to its end now.
    fn end_stall(&mut self, at: usize) {
        let process = self.id_of(at);
        let node = &mut self.nodes[at];
        let was_for_good = node.stalled_until == u64::MAX;
        node.stalled_until = self.now;
        let Some(running) = node.process.as_ref().filter(|_| was_for_good) else { return };
        if running.is_flushing {
            self.queue.push(self.now, Event::Flush(process));
        }
        if running.is_shelving {
            self.queue.push(self.now, Event::Shelf(process));
        }
    }

    fn strike(&mut self, fault: Fault, until: u64) -> Result<Option<Relief>, Violation> {
        match fault {
            Fault::OneWay { from, to } => Ok(self.cut_pair(from, to, Class::OneWayCut)),
            Fault::Pair(one, other) => Ok(self.cut_pair(one, other, Class::PairCut)),
            Fault::Parts { sides } => Ok(Some(self.part(sides))),
            Fault::Isolation(node) => self.hit(node, |world, at| Ok(Some(world.isolate(at)))),
            Fault::Clog { from, to } => Ok(self.clog(from, to, until)),
            Fault::Weather(storm) => Ok(Some(self.turn_weather(storm))),
            Fault::PowerLoss { node, calls } => {
                self.hit(node, |world, at| world.lose_power(at, calls, Class::PowerLoss))
            }
            Fault::Blackout { calls } => self.black_out(calls),
            Fault::Kill(node) => self.hit(node, Self::kill),
            Fault::Pause(node) => self.hit(node, |world, at| Ok(Some(world.pause(at)))),
            Fault::Leap { node, by } => self.hit(node, |world, at| world.leap(at, by)),
            Fault::Stall(node) => self.hit(node, |world, at| Ok(world.stall(at, until))),
            Fault::DiskError { node, of, call, skip } => {
                self.hit(node, |world, at| Ok(world.break_disk(at, of, call, skip)))
            }
            Fault::DiskFull(node) => self.hit(node, |world, at| Ok(Some(world.fill_disk(at)))),
            Fault::Rot { node, of, at: place } => {
                self.hit(node, |world, at| Ok(world.rot(at, of, place)))
            }
            Fault::NewestDamaged { node, back, calls } => {
                self.hit(node, |world, at| world.damage_newest(at, back, calls))
            }
            Fault::WaywardWrite { node, goes } => {
                self.hit(node, |world, at| Ok(world.plan_wayward_write(at, goes)))
            }
            Fault::DiskLost(node) => self.hit(node, Self::lose_disk),
            Fault::Transfer { to } => self.transfer(to).map(|()| None),
            Fault::Members(change) => self.change_members(change).map(|()| None),
        }
    }

    /// Lets something happen to the node that is meant, if there is any.
    fn hit(
        &mut self,
        target: Target,
        what: impl FnOnce(&mut Self, usize) -> Result<Option<Relief>, Violation>,
    ) -> Result<Option<Relief>, Violation> {
        match self.find(target) {
            Some(at) => what(self, at),
            None => Ok(None),
        }
    }

    fn clog(&mut self, from: Target, to: Target, until: u64) -> Option<Relief> {
        let (from, to) = (self.find(from)?, self.find(to)?);
        self.network.clog(from, to, until);
        None
    }

    fn turn_weather(&mut self, storm: Storm) -> Relief {
        self.network.weather = weather(storm, self.settings.network.delay_max);
        Relief::Clear
    }

    fn black_out(&mut self, calls: u8) -> Result<Option<Relief>, Violation> {
        for at in 0..self.nodes.len() {
            self.lose_power(at, calls, Class::Blackout)?;
        }
        self.tally.reach(Point::AllDown);
        Ok(Some(Relief::Start((0..self.nodes.len()).collect())))
    }

    fn kill(&mut self, at: usize) -> Result<Option<Relief>, Violation> {
        self.tally.hit(Class::Kill, self.standing(at));
        self.nodes[at].outages += 1;
        self.end_process(at, End::Killed)?;
        Ok(Some(Relief::Start(vec![at])))
    }

    fn pause(&mut self, at: usize) -> Relief {
        self.tally.hit(Class::Pause, self.standing(at));
        self.nodes[at].pauses += 1;
        Relief::Resume(at)
    }

    fn leap(&mut self, at: usize, by: Duration) -> Result<Option<Relief>, Violation> {
        self.tally.hit(Class::ClockLeap, self.standing(at));
        self.nodes[at].clock.leap(self.now, micros(by));
        self.turn(at).map(|()| None)
    }

    /// The memberships by which somebody may count, now or later.
    pub(super) fn memberships_in_play(&self) -> impl Iterator<Item = &Membership> {
        let mirrors = self.nodes.iter().map(|node| &node.mirror);
        self.checks.memberships.relevant(&self.checks.committed, mirrors)
    }

    /// The node that a fault hits; `None` if there is none that it could hit.
    pub(super) fn find(&self, target: Target) -> Option<usize> {
        let with =
            |standing: Standing| (0..self.nodes.len()).find(|at| self.role(*at) == Some(standing));
        match target {
            Target::Node(number) => Some(usize::from(number) % self.nodes.len()),
            Target::Leader => self.leader(),
            Target::Candidate => with(Standing::Candidate),
            Target::Learner => with(Standing::Learner),
            Target::Outsider => self.outsider(),
        }
    }

    fn outsider(&self) -> Option<usize> {
        let newest =
            self.checks.memberships.committed(&self.checks.committed, LogIndex::new(u64::MAX));
        let is_member = |id| newest.is_some_and(|(_, membership)| membership.contains(id));
        (0..self.nodes.len()).find(|at| {
            let node = &self.nodes[*at];
            node.is_awake() && !is_member(node.id)
        })
    }

    fn role(&self, at: usize) -> Option<Standing> {
        let process = self.nodes[at].process.as_ref()?;
        let status = process.driver.raft().status();
        Some(Standing::of(status.role, status.membership.is_voter(status.id)))
    }

    /// What a node is; a follower, if it is down.
    pub(super) fn standing(&self, at: usize) -> Standing {
        self.role(at).unwrap_or(Standing::Follower)
    }

    fn cut_pair(&mut self, one: Target, other: Target, class: Class) -> Option<Relief> {
        let (one, other) = (self.find(one)?, self.find(other)?);
        let both = [(one, other), (other, one)];
        let links = both.into_iter().take(if class == Class::OneWayCut { 1 } else { 2 });
        let links: Vec<_> = links.collect();
        links.iter().for_each(|(from, to)| self.network.cut(*from, *to, class));
        Some(Relief::Mend(links))
    }

    fn part(&mut self, sides: u32) -> Relief {
        let side = |node: usize| sides >> (node % 20) & 1;
        let mut links = Vec::new();
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if side(from) != side(to) {
                    self.network.cut(from, to, Class::Partition);
                    links.push((from, to));
                }
            }
        }
        Relief::Mend(links)
    }

    fn isolate(&mut self, at: usize) -> Relief {
        let others = (0..self.nodes.len()).filter(|other| *other != at);
        let links: Vec<_> = others.flat_map(|other| [(at, other), (other, at)]).collect();
        links.iter().for_each(|(from, to)| self.network.cut(*from, *to, Class::Isolation));
        Relief::Mend(links)
    }

    pub(super) fn lose_power(
        &mut self,
        at: usize,
        calls: u8,
        class: Class,
    ) -> Result<Option<Relief>, Violation> {
        let standing = self.standing(at);
        let node = &mut self.nodes[at];
        node.outages += 1;
        if let Some(process) = &mut node.process {
            self.tally.hit(class, standing);
            if process.is_flushing && calls > 0 {
                // The write under way is carried out up to a point.
                node.disk.crash_at_call(node.disk.calls() + u64::from(calls));
                let is_complete = process.log.flush().is_ok();
                self.tally.hit(Class::TornWrite, standing);
                self.tally.reach_if(!is_complete, Point::CrashedWithWritesUnderWay);
            }
        }
        self.end_process(at, End::PowerLost)?;
        Ok(Some(Relief::Start(vec![at])))
    }

    /// Starts a process again after a while, as somebody who looks after it would.
    pub(super) fn start_later(&mut self, at: usize) {
        const PATIENCE: Duration = Duration::from_secs(2);
        self.queue.push(self.now + micros(PATIENCE), Event::Start(small(at)));
    }

    pub(super) fn is_led_by(&self, at: usize) -> bool {
        let node = &self.nodes[at];
        let leader = |process: &super::node::Process<A>| process.driver.raft().leader();
        node.process.as_ref().and_then(leader) == Some(node.id)
    }
}

fn weather(storm: Storm, delay_max: Duration) -> Weather {
    let calm = Weather::default();
    match storm {
        Storm::Loss => Weather { loss_per_million: 200_000, ..calm },
        Storm::Repeat => Weather { repeat_per_million: 300_000, ..calm },
        Storm::Reorder => Weather { reorder_per_million: 300_000, ..calm },
        Storm::Delay => Weather { delay: 30 * delay_max, ..calm },
        Storm::Corrupt => Weather { corrupt_per_million: 100_000, ..calm },
    }
}
