//! Taking note of what a run meets.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is of no interest is not listed")]

use std::collections::BTreeMap;

use raft::driver::Refusal;
use raft_core::{
    AppendReply, Body, Event, LogId, LogIndex, Message, NodeId, RoleKind, Term, VoteReply, Write,
};
use raft_net::{ForwardOutcome, Packet};

use super::World;
use crate::app::App;
use crate::check::{Outcome, decides};
use crate::schedule::Class;
use crate::tally::Point;

/// What was noticed of a node's process.
#[derive(Clone, Debug)]
pub(super) struct Noticed {
    role: (RoleKind, Term),
    /// The term that it asked pre-votes for last, and when.
    asked: (Term, u64),
    /// It lags far behind what is committed.
    lags: bool,
    /// When the connection to a peer broke last.
    broken: BTreeMap<NodeId, u64>,
}

impl Default for Noticed {
    fn default() -> Self {
        Self {
            role: (RoleKind::Follower, Term::ZERO),
            asked: (Term::ZERO, 0),
            lags: false,
            broken: BTreeMap::new(),
        }
    }
}

impl Noticed {
    /// Whether the connection to a peer breaks now: it takes a while until it can again.
    pub(super) fn breaks(&mut self, peer: NodeId, now: u64) -> bool {
        const AGAIN: u64 = 100_000;
        let breaks = self.broken.get(&peer).is_none_or(|at| now >= at + AGAIN);
        if breaks {
            self.broken.insert(peer, now);
        }
        breaks
    }
}

impl<A: App> World<A> {
    pub(super) fn note_event(&mut self, at: usize, event: &Event) {
        match *event {
            Event::RoleChanged { role, term } => {
                self.record_role(at);
                self.note_role_change(at, role, term);
            }
            Event::QuorumLost { .. } => self.tally.reach(Point::LeaderResigned),
            Event::TransferFailed { .. } => self.tally.reach(Point::TransferFailed),
            Event::DoubtSettled if self.is_led_by(at) => {
                self.tally.reach(Point::DoubtEndedByElection);
            }
            Event::DoubtSettled => self.tally.reach(Point::DoubtSettled),
            Event::DiskStuck { .. } => self.tally.reach(Point::LeaderStuck),
            Event::SnapshotOffered { .. } => self.tally.reach(Point::SnapshotOffered),
            _ => {}
        }
    }

    fn note_role_change(&mut self, at: usize, role: RoleKind, term: Term) {
        let (before, earlier) = std::mem::replace(&mut self.nodes[at].noticed.role, (role, term));
        let tally = &mut self.tally;
        match (before, role) {
            (_, RoleKind::Leader) => {
                self.tally.reach(Point::LeaderElected);
                self.tally.reach_if(term.get() > self.newest_led.get() + 1, Point::TermSkipped);
                self.note_voters(at);
                self.newest_led = self.newest_led.max(term);
                self.led_since = self.now;
                let leaders = (0..self.nodes.len()).filter(|at| self.is_led_by(*at)).count();
                self.tally.reach_if(leaders > 1, Point::TwoLeaders);
            }
            (RoleKind::Leader, RoleKind::Follower) => {
                tally.reach_if(term > earlier, Point::LeaderDeposed);
            }
            (RoleKind::Candidate, RoleKind::PreCandidate) => tally.reach(Point::ElectionRepeated),
            (RoleKind::Candidate, RoleKind::Follower) => {
                tally.reach_if(term == earlier, Point::CandidateYields);
            }
            (RoleKind::PreCandidate, RoleKind::Follower) => tally.reach(Point::PreCandidateYields),
            (_, RoleKind::Follower | RoleKind::PreCandidate | RoleKind::Candidate) => {}
        }
    }

    /// Somebody takes office.
    fn note_voters(&mut self, at: usize) {
        let Some(process) = &self.nodes[at].process else { return };
        let voters = process.membership.1.quorum().voters().count();
        self.tally.reach_if(voters == 1, Point::LeaderOfOne);
        self.tally.reach_if(voters >= 7, Point::SevenVoters);
    }

    pub(super) fn note_sent(&mut self, at: usize, packet: &Packet) {
        let node = &mut self.nodes[at];
        let tally = &mut self.tally;
        let Packet::Raft(Message { term, body, .. }) = packet else {
            return match packet {
                Packet::Forward(_) => tally.reach(Point::ProposalForwarded),
                Packet::ForwardReply(reply) => {
                    let refused = matches!(reply.outcome, ForwardOutcome::NotLeader { .. });
                    tally.reach_if(refused, Point::ForwardRefused);
                }
                Packet::Raft(_) | Packet::SnapshotRequest(_) | Packet::SnapshotReply(_) => {}
            };
        };
        match body {
            Body::VoteReply(reply @ (VoteReply::Granted | VoteReply::GrantedInDoubt)) => {
                tally.reach_if(node.life > 1, Point::VoteAfterRestart);
                tally.reach_if(*reply == VoteReply::GrantedInDoubt, Point::VoteInDoubt);
            }
            Body::VoteReply(VoteReply::Denied) => tally.reach(Point::VoteRefused),
            Body::PreVoteReply(VoteReply::Granted) => tally.reach(Point::PreVoteGranted),
            Body::PreVoteReply(VoteReply::Denied) => tally.reach(Point::PreVoteRefused),
            Body::PreVote(_) => {
                let (asked, when) = std::mem::replace(&mut node.noticed.asked, (*term, self.now));
                tally.reach_if(asked == *term && when < self.now, Point::PreElectionRepeated);
            }
            Body::AppendReply(AppendReply::Rejected { prev, hint }) => {
                tally.reach(Point::AppendRejected);
                let is_far = prev.distance_from(hint.index) >= 4;
                tally.reach_if(is_far, Point::AppendRejectedFar);
            }
            Body::RepairRequest(_) => tally.reach(Point::RepairAsked),
            Body::RepairReply(_) => tally.reach(Point::RepairGiven),
            Body::AppendEntries(append) => {
                tally.reach_if(append.entries.len() >= 4, Point::AppendOfMany);
                tally.reach_if(append.entries.is_empty(), Point::AppendEmpty);
            }
            _ => {}
        }
    }

    /// A packet of a leader is lost on a link that is cut.
    pub(super) fn note_cut(&mut self, at: usize, by: Class) {
        if by == Class::Loss || !self.is_led_by(at) {
            return;
        }
        let Some(process) = &self.nodes[at].process else { return };
        let reaches =
            |voter| self.slot(voter).is_some_and(|to| to == at || self.network.is_open(at, to));
        let has_quorum = decides(&process.membership.1, reaches);
        self.tally.reach_if(!has_quorum, Point::MinorityLeads);
    }

    pub(super) fn note_arrival(&mut self, at: usize, packet: &Packet) {
        let node = &self.nodes[at];
        let Packet::Raft(Message { term, body, .. }) = packet else { return };
        match body {
            Body::AppendEntries(append) => {
                let old = *term < node.monotone.term;
                self.tally.reach_if(old, Point::AppendOfOldTerm);
                let last = append.entries.last().map(|entry| entry.id);
                let known = last.is_some_and(|id| node.mirror.id_at(id.index) == Some(id));
                self.tally.reach_if(known, Point::AppendLate);
            }
            Body::Heartbeat(heartbeat) => {
                let is_news = heartbeat.commit > node.monotone.commit;
                self.tally.reach_if(is_news, Point::CommitByHeartbeat);
            }
            _ => {}
        }
    }

    pub(super) fn note_write(&mut self, at: usize, write: &Write) {
        self.note_snapshot_write(write);
        let leads = self.is_led_by(at);
        let mirror = &self.nodes[at].mirror;
        let tally = &mut self.tally;
        tally.reach_if(!leads && !write.append.is_empty(), Point::AckWithheld);
        let vote = write.hard_state.and_then(|state| state.vote);
        tally.reach_if(vote.is_some_and(|vote| vote != self.nodes[at].id), Point::VoteWithheld);
        let last = mirror.last().index;
        let Some(from) = write.truncate.filter(|from| *from <= last) else { return };
        tally.reach(Point::Truncated);
        tally.reach_if(last.distance_from(from) >= 3, Point::TruncatedMuch);
        tally.reach_if(mirror.durable_last().index < last, Point::TruncatedWhileWriting);
        let Some(removed) = mirror.id_at(from) else { return };
        let Some(process) = &self.nodes[at].process else { return };
        let holds = |voter| self.slot(voter).is_some_and(|at| self.nodes[at].mirror.holds(removed));
        let is_majority = decides(&process.membership.1, holds);
        self.tally.reach_if(is_majority, Point::FigureEight);
    }

    pub(super) fn note_commit(&mut self, at: usize, before: LogIndex, commit: LogIndex) {
        let is_new = commit >= self.checks.committed.last();
        let node = &mut self.nodes[at];
        let lags = self.checks.committed.last().distance_from(commit);
        if node.noticed.lags && lags < 2 {
            self.tally.reach(Point::CatchUp);
            node.noticed.lags = false;
        }
        node.noticed.lags |= lags > 100;
        if commit == before || !is_new {
            return;
        }
        let id = node.mirror.id_at(commit).unwrap_or(LogId::ZERO);
        let is_old = id.term < node.monotone.term;
        let is_elsewhere = node.mirror.durable_last().index < commit;
        self.tally.reach_if(is_old, Point::EntryOfOldTermCommitted);
        self.tally.reach_if(is_elsewhere, Point::CommittedWithoutLeadersDisk);
        let Some(process) = &self.nodes[at].process else { return };
        let voters = process.membership.1.quorum().incoming();
        let is_up = |voter| self.slot(voter).is_some_and(|at| self.nodes[at].is_awake());
        let up = voters.iter().filter(|voter| is_up(*voter)).count();
        let is_bare = voters.count() > 1 && up == voters.majority();
        self.tally.reach_if(is_bare, Point::CommittedByFewest);
    }

    pub(super) fn note_read(&mut self, at: usize, called: u64) {
        let leads = self.is_led_by(at);
        let point = if leads { Point::ReadOnLeader } else { Point::ReadOnFollower };
        self.tally.reach(point);
        self.tally.reach_if(called < self.led_since, Point::ReadSurvivesElection);
    }

    pub(super) fn note_refusal(&mut self, refusal: Refusal) {
        self.tally.reach(match refusal {
            Refusal::NotLeader { .. } => Point::RefusedNotLeader,
            Refusal::NoLeader => Point::RefusedNoLeader,
            Refusal::Overloaded => Point::RefusedOverloaded,
            Refusal::StorageFull => Point::RefusedStorageFull,
            Refusal::Superseded => Point::RefusedSuperseded,
            Refusal::TimedOut => Point::UnknownTimedOut,
            Refusal::QuorumLost => Point::UnknownQuorumLost,
            Refusal::ConnectionLost => Point::UnknownConnectionLost,
            Refusal::ResponseLost => Point::UnknownResponseLost,
        });
    }

    pub(super) fn note_applied(&mut self, at: usize, call: u32) {
        let is_lost = matches!(self.checks.history.get(call).outcome, Outcome::Unknown(_));
        self.tally.reach_if(is_lost, Point::LostCallApplied);
        let node = &self.nodes[at];
        let Some(process) = &node.process else { return };
        let is_voter = process.membership.1.is_voter(node.id);
        self.tally.reach_if(!is_voter, Point::LearnerApplies);
    }

    /// A process ends.
    pub(super) fn note_end(&mut self, at: usize) {
        if self.is_led_by(at) {
            self.tally.reach(Point::CrashedLeader);
            let joint = self.nodes[at].process.as_ref().is_some_and(|p| p.membership.1.is_joint());
            self.tally.reach_if(joint, Point::JointCrash);
        }
        let node = &mut self.nodes[at];
        node.noticed = Noticed::default();
        let Some(process) = &mut node.process else { return };
        let rotations = process.log.log().stats().rotations;
        self.tally.reach_if(rotations > 0, Point::SegmentRotated);
    }
}
