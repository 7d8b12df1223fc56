//! Follower: answers, and waits for silence.

use super::canonical::Rebase;
use super::common::Common;
use super::rng::Draw;
use super::{Cause, Next, doubt, repair, snapshot};
use crate::event::PeerFault;
use crate::message::{
    AppendEntries, AppendReply, Body, Heartbeat, HeartbeatReply, ReadIndex, RequestVote, Room,
};
use crate::types::{Entry, LogIndex, NodeId, Term, Timestamp};

/// State that only a follower has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Follower {
    leader: Option<NodeId>,
    deadline: Deadline,
}

/// When silence has lasted long enough.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Deadline {
    At(Timestamp),
    /// Between one and two election timeouts after the leader was heard.
    Drawn(Draw),
}

impl Follower {
    pub(super) fn new(common: &mut Common, leader: Option<NodeId>) -> Self {
        if leader.is_some() {
            common.on_leader_heard();
        }
        Self { leader, deadline: deadline(common) }
    }

    /// A server that comes back cannot know that it did not hear a leader a moment ago, so it
    /// behaves as if it had (thesis §6.4.1 rests on it).
    pub(super) fn restarted(common: &mut Common) -> Self {
        let took_part = common.vote().is_some() || common.term() > Term::new(1);
        if took_part {
            common.on_leader_heard();
        }
        let is_alone = common.is_eligible() && common.is_sure_to_be_alone();
        let deadline = if is_alone { Deadline::At(common.now()) } else { deadline(common) };
        Self { leader: None, deadline }
    }

    pub(super) const fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    pub(super) fn deadline(&self, common: &Common) -> Timestamp {
        match self.deadline {
            Deadline::At(deadline) => deadline,
            Deadline::Drawn(draw) => draw.instant(common.config().election_timeout),
        }
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { leader: _, deadline } = self;
        let mut at = match *deadline {
            Deadline::At(at) => at,
            Deadline::Drawn(_) => Timestamp::default(),
        };
        rebase.deadline(&mut at);
        *deadline = Deadline::At(at);
    }

    /// Silence has lasted long enough. One who cannot be elected, or whose disk is stuck, waits on.
    pub(super) fn on_timeout(&mut self, common: &mut Common) -> Next {
        if common.may_campaign() && !common.yields() {
            return Next::PreCampaign;
        }
        self.deadline = deadline(common);
        Next::Stay
    }

    /// Passes on the reads that have gathered.
    pub(super) fn pump(&self, common: &mut Common) {
        let Some(leader) = self.leader else { return };
        let now = common.now();
        if let Some(upto) = common.reads().ask(now) {
            common.send(leader, Body::ReadIndex(ReadIndex { upto }));
        }
    }

    pub(super) fn hear(
        &mut self,
        common: &mut Common,
        from: NodeId,
        term: Term,
        body: Body,
    ) -> Next {
        match body {
            Body::AppendEntries(m) => {
                on_append_entries(common, from, m);
                // After the entries: one of them may have made us a voter, who has a deadline.
                self.on_leader_heard(common);
            }
            Body::Heartbeat(m) => {
                self.on_leader_heard(common);
                doubt::ask(common, from);
                on_heartbeat(common, from, m);
            }
            Body::CommitNotice(m) => {
                self.on_leader_heard(common);
                commit_known(common, m.commit);
            }
            Body::InstallSnapshot(m) => {
                self.on_leader_heard(common);
                snapshot::on_offer(common, from, *m);
            }
            Body::PreVote(m) => common.on_pre_vote(from, term, m, common.hears()),
            Body::RequestVote(m) | Body::TransferVote(m) => self.on_request_vote(common, from, m),
            Body::TimeoutNow if common.may_campaign() => {
                // It gives up its office with that, and with it what we promised.
                common.forget_leader();
                return Next::Campaign(Cause::Transfer);
            }
            Body::Removed(m) => {
                if common.on_removed(m.by) {
                    self.deadline = Deadline::At(Timestamp::NEVER);
                }
            }
            Body::RepairRequest(m) => repair::on_request(common, from, m),
            Body::RepairReply(m) => repair::on_reply(common, from, m),
            Body::ReadIndexReply(m) => common.on_read_answer(from, m.upto, m.index),
            Body::EndReply(m) => doubt::on_reply(common, m),
            // The leader's membership is not the one it was asked with.
            Body::TimeoutNow
            // The asker takes us for the leader; it will hear who is.
            | Body::ReadIndex(_)
            | Body::EndRequest(_)
            // Answers to what we asked in an earlier role.
            | Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::PreVoteReply(_)
            | Body::VoteReply(_) => {}
        }
        Next::Stay
    }

    /// A snapshot has taken the log's place, or is where the log was already.
    pub(super) fn on_installed(&mut self, common: &mut Common) {
        // Its membership may have made us a voter, who has a deadline.
        self.deadline = deadline(common);
        if let Some(leader) = self.leader {
            common.accept(leader, common.commit());
        }
    }

    fn on_leader_heard(&mut self, common: &mut Common) {
        common.on_leader_heard();
        self.deadline = deadline(common);
    }

    fn on_request_vote(&mut self, common: &mut Common, from: NodeId, m: RequestVote) {
        let granted = common.on_request_vote(from, m);
        if granted {
            self.deadline = deadline(common);
        }
    }
}

/// When to campaign; never, for one who may not.
fn deadline(common: &mut Common) -> Deadline {
    if common.is_eligible() {
        Deadline::Drawn(common.draw_election())
    } else {
        Deadline::At(Timestamp::NEVER)
    }
}

/// AppendEntries, receiver's steps 2 to 5 (paper Figure 2).
fn on_append_entries(common: &mut Common, from: NodeId, m: AppendEntries) {
    if !is_well_formed(common, &m) {
        return common.report_fault(from, PeerFault::MalformedEntries);
    }
    // Below the base everything is committed, and equal for that.
    let known = m.prev.index < common.log().base().index || common.log().contains(m.prev);
    if !known && common.room() == Room::None {
        return;
    }
    if !known {
        let upto = m.prev.index.prev().min(common.last().index);
        let hint = common.log().newest_until(upto, m.prev.term);
        let reply = AppendReply::Rejected { prev: m.prev.index, hint };
        return common.send(from, Body::AppendReply(reply));
    }

    let matched = m.entries.last().map_or(m.prev.index, |entry| entry.id.index);
    // Keep what agrees: this may be an old message whose successors have been appended already.
    let base = common.log().base().index;
    let mut entries = m.entries;
    let is_known = |e: &&Entry| e.id.index < base || common.log().contains(e.id);
    let known = entries.iter().take_while(is_known).count();
    if known > 0 {
        entries.iter().take(known).for_each(|entry| {
            repair::take_back(common, entry);
        });
        entries.skip(known);
    }
    if let Some(first) = entries.first().map(|entry| entry.id.index) {
        if first <= common.commit() {
            return common.report_fault(from, PeerFault::ConflictsWithCommitted);
        }
        // No answer: the leader asks again with each heartbeat, and sends no more meanwhile.
        if common.room() == Room::None {
            return;
        }
        if first <= common.last().index {
            common.truncate(first);
        }
        common.append(entries);
    }
    common.commit_to(m.commit.min(matched));
    common.accept(from, matched);
}

/// Whether the entries follow `prev` without gap, in terms that do not fall or pass the message's.
fn is_well_formed(common: &Common, m: &AppendEntries) -> bool {
    let mut before = m.prev;
    m.entries.iter().all(|entry| {
        let follows = entry.id.index == before.index.next() && entry.id.term >= before.term;
        before = entry.id;
        follows && entry.id.term <= common.term()
    })
}

fn on_heartbeat(common: &mut Common, from: NodeId, m: Heartbeat) {
    commit_known(common, m.commit);
    let (now, patience) = (common.now(), common.config().heartbeat_interval);
    common.reads().ask_again_after(patience, now);
    let installing = common.snapshots().installing().map(|install| install.snapshot.last.index);
    let (last, room) = (common.last(), common.room());
    let reply = HeartbeatReply { round: m.round, installing, last, room };
    common.send(from, Body::HeartbeatReply(reply));
}

/// Commits what the leader knows to be equal here.
///
/// A leader never names more than that; the bound is for those that are not correct.
fn commit_known(common: &mut Common, commit: LogIndex) {
    common.commit_to(commit.min(common.equal_until()));
}
