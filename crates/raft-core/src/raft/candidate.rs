//! Pre-candidate and candidate: ask, and count.

use super::ballot::Ballot;
use super::canonical::Rebase;
use super::common::{Common, Hears};
use super::{Cause, Next, repair};
use crate::io::WriteSeq;
use crate::membership::VoteOutcome;
use crate::message::{Body, Removed, RequestVote, VoteReply};
use crate::types::{HardState, NodeId, Term, Timestamp};

/// State that only a pre-candidate has: asking costs no term (thesis §9.6).
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct PreCandidate {
    ballot: Ballot,
    deadline: Timestamp,
}

/// State that only a candidate has.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Candidate {
    ballot: Ballot,
    deadline: Timestamp,
    /// Our vote for ourselves counts once this write is durable.
    own_vote: WriteSeq,
}

impl PreCandidate {
    pub(super) fn new(common: &mut Common) -> Self {
        let last = common.last();
        let term = common.term().next();
        for voter in common.other_voters() {
            common.send_in_term(voter, term, Body::PreVote(RequestVote { last }));
        }
        let mut ballot = Ballot::default();
        ballot.cast(common, common.id(), common.consent());
        Self { ballot, deadline: common.draw_election_deadline() }
    }

    pub(super) const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { ballot: _, deadline } = self;
        rebase.deadline(deadline);
    }

    pub(super) fn hear(
        &mut self,
        common: &mut Common,
        from: NodeId,
        term: Term,
        body: Body,
    ) -> Next {
        match body {
            // Another term's consent is not for this election.
            Body::PreVoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt)
                if term != common.term().next() =>
            {
                Next::Stay
            }
            Body::PreVoteReply(m) => {
                self.ballot.cast(common, from, m);
                self.outcome(common)
            }
            Body::RepairRequest(m) => {
                repair::on_request(common, from, m);
                Next::Stay
            }
            Body::RepairReply(m) => {
                repair::on_reply(common, from, m);
                Next::Stay
            }
            Body::PreVote(m) => {
                common.on_pre_vote(from, term, m, Hears::Nobody);
                Next::Stay
            }
            Body::RequestVote(m) | Body::TransferVote(m) => {
                common.on_request_vote(from, m);
                Next::Stay
            }
            Body::Removed(m) => on_removed(common, m),
            Body::ReadIndexReply(m) => {
                common.on_read_answer(from, m.upto, m.index);
                Next::Stay
            }
            // The gate made us follow the sender instead.
            Body::AppendEntries(_)
            | Body::Heartbeat(_)
            | Body::CommitNotice(_)
            | Body::TimeoutNow
            | Body::InstallSnapshot(_)
            // The asker takes us for the leader.
            | Body::ReadIndex(_)
            | Body::EndRequest(_)
            // Answers to what we asked in another role.
            | Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::EndReply(_)
            | Body::VoteReply(_) => Next::Stay,
        }
    }

    pub(super) fn outcome(&self, common: &Common) -> Next {
        match self.ballot.outcome(common) {
            VoteOutcome::Won => Next::Campaign(Cause::Silence),
            VoteOutcome::Lost => Next::Follow { term: common.term(), leader: None },
            VoteOutcome::Pending => Next::Stay,
        }
    }
}

impl Candidate {
    pub(super) fn new(common: &mut Common, cause: Cause) -> Self {
        let term = common.term().next();
        common.set_hard_state(HardState { term, vote: Some(common.id()) });
        let request = RequestVote { last: common.last() };
        let body = match cause {
            Cause::Silence => Body::RequestVote(request),
            Cause::Transfer => Body::TransferVote(request),
        };
        for voter in common.other_voters() {
            common.send(voter, body.clone());
        }
        Self {
            ballot: Ballot::default(),
            deadline: common.draw_election_deadline(),
            own_vote: common.disk().seq(),
        }
    }

    pub(super) const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { ballot: _, deadline, own_vote } = self;
        rebase.deadline(deadline);
        rebase.seq(own_vote);
    }

    pub(super) fn hear(
        &mut self,
        common: &mut Common,
        from: NodeId,
        term: Term,
        body: Body,
    ) -> Next {
        match body {
            Body::VoteReply(m) => {
                self.ballot.cast(common, from, m);
                self.outcome(common)
            }
            Body::RepairRequest(m) => {
                repair::on_request(common, from, m);
                Next::Stay
            }
            Body::RepairReply(m) => {
                repair::on_reply(common, from, m);
                Next::Stay
            }
            Body::PreVote(m) => {
                common.on_pre_vote(from, term, m, Hears::Nobody);
                Next::Stay
            }
            Body::Removed(m) => on_removed(common, m),
            Body::RequestVote(m) | Body::TransferVote(m) => {
                common.on_request_vote(from, m);
                Next::Stay
            }
            // The gate made us follow the sender instead.
            Body::AppendEntries(_)
            | Body::Heartbeat(_)
            | Body::CommitNotice(_)
            | Body::TimeoutNow
            | Body::InstallSnapshot(_)
            // The asker takes us for the leader.
            | Body::ReadIndex(_)
            | Body::EndRequest(_)
            // Answers to what we asked in another role, or in an earlier term.
            | Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::PreVoteReply(_)
            | Body::EndReply(_)
            | Body::ReadIndexReply(_) => Next::Stay,
        }
    }

    pub(super) fn on_durable(&mut self, common: &Common) -> Next {
        if common.disk().is_durable(self.own_vote) {
            self.ballot.cast(common, common.id(), common.consent());
        }
        self.outcome(common)
    }

    fn outcome(&self, common: &Common) -> Next {
        match self.ballot.outcome(common) {
            VoteOutcome::Won => Next::Lead,
            VoteOutcome::Lost => Next::Follow { term: common.term(), leader: None },
            VoteOutcome::Pending => Next::Stay,
        }
    }
}

/// Who was removed disturbs nobody.
fn on_removed(common: &mut Common, m: Removed) -> Next {
    if common.on_removed(m.by) {
        return Next::Follow { term: common.term(), leader: None };
    }
    Next::Stay
}
