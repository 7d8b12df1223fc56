//! An operator changes the members, and is told what became of it.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is of no interest is not listed")]

use std::collections::{BTreeMap, BTreeSet};

use raft::driver::ChangeRefusal;
use raft_core::{
    Event, LogId, Membership, MembershipChange, NodeId, Quorum, ReadError, RoleKind, Voters,
};

use super::World;
use super::refusals::{Aim, Asked, Purpose};
use super::transfers::Transfer;
use crate::app::App;
use crate::check::{Rule, Violation, ensure, survives};
use crate::random::Random;
use crate::schedule::{Change, Class};
use crate::settings::Stream;
use crate::tally::Point;

/// More voters than anybody would have.
const VOTERS_MAX: usize = 7;

/// Changes whose outcome the operator waits for.
#[derive(Debug, Default)]
pub(super) struct Operator {
    asked: u32,
    /// By number: the node that was asked, and the entry that it appended.
    waiting: BTreeMap<u32, (NodeId, LogId)>,
    /// The entries in whose place others are, as the operator was told.
    superseded: Vec<LogId>,
    /// Of those that were refused, until the operator is told why: how the node stood.
    refused: BTreeMap<u32, (Asked, Purpose)>,
    /// Those that were begun, and have not ended; what a node forgets when it crashes, stays.
    transfers: BTreeMap<u32, Transfer>,
}

impl Operator {
    fn next(&mut self) -> u32 {
        self.asked += 1;
        self.asked
    }

    pub(super) fn on_transfer(&mut self, transfer: Transfer) -> u32 {
        let call = self.next();
        self.transfers.insert(call, transfer);
        call
    }

    pub(super) fn take_transfer(&mut self, call: u32) -> Option<Transfer> {
        self.transfers.remove(&call)
    }
}

/// A change as it is asked for, and who votes once it is complete.
struct Wish {
    change: MembershipChange,
    voters: BTreeSet<NodeId>,
    aim: Aim,
    members: Members,
}

/// Who is to be what.
#[derive(Debug, Eq, PartialEq)]
struct Members {
    all: BTreeMap<NodeId, String>,
    /// Those who vote, or will once they have caught up.
    voters: BTreeSet<NodeId>,
}

impl Members {
    fn of(membership: &Membership) -> Self {
        let address = |id| membership.address(id).unwrap_or_default().to_owned();
        let incoming = membership.quorum().incoming().iter();
        let settled = incoming.clone().chain(membership.learners());
        Self {
            all: settled.map(|id| (id, address(id))).collect(),
            voters: incoming.chain(membership.promotions()).collect(),
        }
    }

    fn edit(&mut self, part: Part, id: NodeId) {
        match part {
            Part::AddVoter | Part::AddLearner => drop(self.all.insert(id, address_of(id))),
            Part::Promote | Part::Demote => {}
            Part::Remove => drop(self.all.remove(&id)),
        }
        if part.makes_voter() {
            self.voters.insert(id);
        } else {
            self.voters.remove(&id);
        }
    }
}

/// Who has an address can be told from who has none.
fn address_of(id: NodeId) -> String {
    format!("node-{id}")
}

/// What a change does to one server.
#[derive(Clone, Copy, Debug)]
enum Part {
    AddVoter,
    AddLearner,
    Promote,
    Demote,
    Remove,
}

impl Part {
    /// What a change of many does to a member, if anything.
    const fn of_many(parts: u32, id: NodeId) -> Option<Self> {
        match parts >> (2 * (id.get() % 16)) & 3 {
            1 => Some(Self::Promote),
            2 => Some(Self::Demote),
            3 => Some(Self::Remove),
            _ => None,
        }
    }

    fn edit(self, change: MembershipChange, id: NodeId) -> MembershipChange {
        match self {
            Self::AddVoter => change.add_voter(id, address_of(id)),
            Self::AddLearner => change.add_learner(id, address_of(id)),
            Self::Promote => change.promote(id),
            Self::Demote => change.demote(id),
            Self::Remove => change.remove(id),
        }
    }

    const fn makes_voter(self) -> bool {
        match self {
            Self::AddVoter | Self::Promote => true,
            Self::AddLearner | Self::Demote | Self::Remove => false,
        }
    }

    /// Whether it leaves a server as it is.
    fn is_so_already(self, membership: &Membership, id: NodeId) -> bool {
        let is_to_vote = || membership.promotions().any(|promoted| promoted == id);
        match self {
            Self::AddVoter => membership.is_voter(id) || is_to_vote(),
            Self::Promote => membership.is_voter(id),
            Self::AddLearner | Self::Demote => membership.is_learner(id) && !is_to_vote(),
            Self::Remove => false,
        }
    }
}

impl Wish {
    fn new(membership: &Membership, parts: &[(NodeId, Part)]) -> Self {
        let mut voters: BTreeSet<_> = membership.quorum().incoming().iter().collect();
        let (mut change, mut members) = (MembershipChange::new(), Members::of(membership));
        for &(id, part) in parts {
            change = part.edit(change, id);
            members.edit(part, id);
            if part.makes_voter() {
                voters.insert(id);
            } else {
                voters.remove(&id);
            }
        }
        let aim = if parts.iter().all(|(id, part)| part.is_so_already(membership, *id)) {
            Aim::AsBefore
        } else if voters.is_empty() {
            Aim::NoVoters
        } else {
            Aim::Others
        };
        Self { change, voters, aim, members }
    }
}

/// The membership that an operator says he means to change, if he says so: mostly the right one.
fn draw_base(seed: u64, call: u32, current: LogId) -> Option<LogId> {
    let mut random = Random::of(seed, Stream::BASES + u64::from(call));
    match random.below(8) {
        0 => Some(LogId { index: current.index.prev(), ..current }),
        1..=3 => Some(current),
        _ => None,
    }
}

impl<A: App> World<A> {
    /// An operator has the leader change the members.
    pub(super) fn change_members(&mut self, change: Change) -> Result<(), Violation> {
        let Some(leader) = self.leader().filter(|at| self.nodes[*at].is_awake()) else {
            return Ok(());
        };
        let Some(wish) = self.wish(leader, change) else { return Ok(()) };
        // Nobody in his senses makes a cluster of machines that are gone.
        let Some(voters) = Voters::new(wish.voters.iter().copied()) else { return Ok(()) };
        if voters.count() > VOTERS_MAX || !self.survives(&Quorum::Majority(voters)) {
            return Ok(());
        }
        let (call, seed) = (self.operator.next(), self.seed);
        let standing = self.standing(change.target().and_then(|t| self.find(t)).unwrap_or(leader));
        let node = &mut self.nodes[leader];
        let (id, now) = (node.id, node.clock.at(self.now));
        let Some(process) = &mut node.process else { return Ok(()) };
        let raft = process.driver.raft();
        let before = raft.status().membership_id;
        let asked = Asked::new(raft);
        let Wish { mut change, aim, members, .. } = wish;
        let base = draw_base(seed, call, before);
        if let Some(base) = base {
            change = change.based_on(base);
        }
        process.driver.change_membership(now, &change, call);
        let status = process.driver.raft().status();
        let first = status.membership_id;
        if first == before {
            self.operator.refused.insert(call, (asked, Purpose { aim, base }));
        } else {
            let becomes = Members::of(status.membership);
            ensure(becomes == members, Rule::Membership, || {
                format!("{id} makes {becomes:?} of what is to be {members:?}")
            })?;
            ensure(base.is_none_or(|base| base == before), Rule::Membership, || {
                format!("{id} changes {before} as was meant for {base:?}")
            })?;
            let deadline = now.after(self.settings.driver.request_timeout);
            node.operators.on_taken(call, deadline.as_micros());
            self.operator.waiting.insert(call, (id, first));
            self.tally.hit(Class::MemberChange, standing);
        }
        self.turn(leader)
    }

    /// What a change means for the members as the leader knows them; `None` if there is nobody to
    /// whom it could be done.
    fn wish(&self, leader: usize, change: Change) -> Option<Wish> {
        let process = self.nodes[leader].process.as_ref()?;
        let membership = process.driver.raft().status().membership;
        let one = |target, part| Some(vec![(self.nodes[self.find(target)?].id, part)]);
        let parts = match change {
            Change::AddVoter(target) => one(target, Part::AddVoter)?,
            Change::AddLearner(target) => one(target, Part::AddLearner)?,
            Change::Promote(target) => one(target, Part::Promote)?,
            Change::Demote(target) => one(target, Part::Demote)?,
            Change::Remove(target) => one(target, Part::Remove)?,
            Change::Many { parts } => {
                let part = |id| Some((id, Part::of_many(parts, id)?));
                membership.members().filter_map(part).collect()
            }
        };
        let mut wish = Wish::new(membership, &parts);
        wish.voters.extend(membership.promotions().filter(|id| self.is_hurt(*id)));
        Some(wish)
    }

    /// Takes what the operator is told.
    pub(super) fn on_change(
        &mut self,
        at: usize,
        call: u32,
        outcome: Result<LogId, ChangeRefusal>,
    ) -> Result<(), Violation> {
        let id = self.nodes[at].id;
        let Some((_, first)) = self.operator.waiting.remove(&call) else {
            return self.on_refused(id, call, outcome);
        };
        self.nodes[at].operators.on_answer(call);
        let agreed = self.checks.committed.id_at(first.index);
        match outcome {
            Ok(done) => {
                self.tally.reach(Point::ChangeDone);
                let is_done = self.checks.committed.id_at(done.index) == Some(done)
                    && self.checks.memberships.get(done).is_some_and(|m| !m.is_joint());
                ensure(is_done && agreed == Some(first), Rule::Membership, || {
                    format!("{id} says that the change at {first} is complete with {done}")
                })
            }
            Err(ChangeRefusal::Superseded) => {
                self.tally.reach(Point::ChangeSuperseded);
                self.operator.superseded.push(first);
                ensure(agreed != Some(first), Rule::Membership, || {
                    format!("{id} says that another entry took the place of {first}")
                })
            }
            Err(ChangeRefusal::TimedOut | ChangeRefusal::ResponseLost) => {
                self.tally.reach(Point::ChangeTimedOut);
                Ok(())
            }
            Err(ChangeRefusal::Refused(error)) => ensure(false, Rule::Membership, || {
                format!("{id} refuses the change that it has appended at {first}: {error}")
            }),
        }
    }

    /// Of no change that was superseded, as the operator was told, anything is committed later.
    pub(super) fn check_superseded(&self) -> Result<(), Violation> {
        let committed = &self.checks.committed;
        self.operator.superseded.iter().try_for_each(|first| {
            ensure(committed.id_at(first.index) != Some(*first), Rule::Membership, || {
                format!("the change at {first} was said to be superseded, and is made")
            })
        })
    }

    /// Takes why a change was refused.
    fn on_refused(
        &mut self,
        id: NodeId,
        call: u32,
        outcome: Result<LogId, ChangeRefusal>,
    ) -> Result<(), Violation> {
        let asked = self.operator.refused.remove(&call);
        let (Some((asked, purpose)), Err(ChangeRefusal::Refused(error))) = (asked, outcome) else {
            return ensure(false, Rule::Callers, || {
                format!("{id} answers change {call} again, or one that it refused: {outcome:?}")
            });
        };
        self.tally.reach(Point::ChangeRefused);
        let is_so = asked.justifies_no_change(purpose, error, &self.checks.committed);
        ensure(is_so, Rule::Membership, || {
            format!("{id} refuses change {call} without reason: {error}")
        })
    }

    /// Checks why a server answers no read.
    pub(super) fn check_read_refusal(
        &mut self,
        at: usize,
        error: ReadError,
    ) -> Result<(), Violation> {
        match error {
            ReadError::Removed { by } => {
                self.tally.reach(Point::ReadAfterRemoval);
                self.check_membership_event(at, &Event::Removed { by })
            }
            // Nobody asks for leases where there are none.
            ReadError::LeasesOff | _ => ensure(false, Rule::Callers, || {
                format!("{} answers no read: {error}", self.nodes[at].id)
            }),
        }
    }

    /// Checks what a server says about members.
    pub(super) fn check_membership_event(
        &mut self,
        at: usize,
        event: &Event,
    ) -> Result<(), Violation> {
        let id = self.nodes[at].id;
        let (memberships, committed) = (&self.checks.memberships, &self.checks.committed);
        let agreed = |entry: LogId| committed.id_at(entry.index) == Some(entry);
        match *event {
            Event::Removed { by } => {
                self.tally.reach(Point::RemovedAndTold);
                let without = memberships.get(by).is_some_and(|m| !m.contains(id));
                ensure(without && agreed(by), Rule::Membership, || {
                    format!("{id} believes to be removed by the membership of {by}")
                })
            }
            Event::MembershipCommitted { id: entry } => {
                let is_complete = memberships.get(entry).is_some_and(|m| !m.is_joint());
                ensure(is_complete && agreed(entry), Rule::Membership, || {
                    format!("{id} believes that the membership of {entry} is committed")
                })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn note_membership(&mut self, at: usize, before: &Membership, after: &Membership) {
        let leads = self.nodes[at]
            .process
            .as_ref()
            .is_some_and(|process| process.driver.raft().status().role == RoleKind::Leader);
        let is_voter = |m: &Membership, id| m.quorum().incoming().contains(id);
        let id = self.nodes[at].id;
        let tally = &mut self.tally;
        if leads {
            tally.reach_if(after.is_joint(), Point::JointBegun);
            tally.reach_if(before.is_joint() && !after.is_joint(), Point::JointLeft);
            tally.reach_if(!is_voter(after, id), Point::LeaderLeaves);
            tally.reach_if(after.quorum().voters().count() >= 7, Point::SevenVoters);
            let promoted = before.promotions().any(|learner| is_voter(after, learner));
            tally.reach_if(promoted, Point::LearnerPromoted);
            let is_strange = after.quorum().incoming().iter().all(|v| !self.founding.is_voter(v));
            tally.reach_if(is_strange, Point::FoundersReplaced);
        }
        tally.reach_if(!before.contains(id) && after.contains(id), Point::MemberJoins);
    }

    /// Whether those who decide are enough without the nodes whose data are gone.
    fn survives(&self, quorum: &Quorum) -> bool {
        let all = Membership::new(quorum.clone(), BTreeSet::new(), BTreeMap::new());
        all.is_ok_and(|membership| survives(&membership, |id| self.is_hurt(id)))
    }

    pub(super) fn is_hurt(&self, id: NodeId) -> bool {
        let node = self.nodes.iter().find(|node| node.id == id);
        node.is_some_and(|node| node.is_lost || node.is_damaged)
    }
}
