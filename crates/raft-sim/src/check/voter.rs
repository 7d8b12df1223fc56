//! A voter's word: it votes for nobody who lacks what it has (paper §5.4.1), keeps to the leader that
//! it hears (thesis §4.2.3), and is not moved by questions about votes (thesis §9.6).

use std::time::Duration;

use raft_core::{
    Body, HardState, Input, LogId, LogIndex, Message, NodeId, Raft, RequestVote, RoleKind, Term,
    Timestamp, VoteReply,
};

use super::{Rule, Violation, ensure};

/// What a voter has promised. It outlives the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Voter {
    /// The term whose leader it has heard last, and when, by its own clock.
    heard: Option<(Term, Timestamp)>,
    /// The term whose leader has told it to campaign.
    told: Option<Term>,
}

/// A message that a voter is about to take, and what it was before that.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    from: NodeId,
    term: Term,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    OfALeader,
    TimeoutNow,
    Vote {
        last: LogId,
        is_transfer: bool,
        before: (HardState, LogId),
    },
    PreVote {
        before: AtRest,
    },
    /// A message of an earlier term.
    Past {
        before: AtRest,
    },
    /// An answer of an earlier term, of which no word is to be believed.
    PastAnswer {
        before: Box<Raft>,
    },
}

/// What a question must not change.
type AtRest = (RoleKind, HardState, Option<NodeId>, Timestamp);

impl Question {
    /// `None` if it asks for nothing that is checked here.
    pub(crate) fn of(message: &Message, raft: &Raft) -> Option<Self> {
        let Message { from, term, ref body, .. } = *message;
        let is_past = term < raft.status().hard_state.term;
        let vote = |last, is_transfer| {
            let status = raft.status();
            Kind::Vote { last, is_transfer, before: (status.hard_state, status.last) }
        };
        let kind = match body {
            Body::AppendEntries(_)
            | Body::Heartbeat(_)
            | Body::InstallSnapshot(_)
            | Body::RequestVote(_)
            | Body::TransferVote(_)
                if is_past =>
            {
                Kind::Past { before: at_rest(raft) }
            }
            Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::VoteReply(_)
            | Body::CommitNotice(_)
            | Body::TimeoutNow
            | Body::EndRequest(_)
            | Body::EndReply(_)
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_)
                if is_past =>
            {
                Kind::PastAnswer { before: Box::new(raft.clone()) }
            }
            Body::AppendEntries(_)
            | Body::Heartbeat(_)
            | Body::CommitNotice(_)
            | Body::InstallSnapshot(_) => Kind::OfALeader,
            Body::TimeoutNow => Kind::TimeoutNow,
            Body::RequestVote(m) => vote(m.last, false),
            Body::TransferVote(m) => vote(m.last, true),
            Body::PreVote(_) => Kind::PreVote { before: at_rest(raft) },
            Body::AppendReply(_)
            | Body::HeartbeatReply(_)
            | Body::EndRequest(_)
            | Body::EndReply(_)
            | Body::RepairRequest(_)
            | Body::RepairReply(_)
            | Body::PreVoteReply(_)
            | Body::VoteReply(_)
            | Body::Removed(_)
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => return None,
        };
        Some(Self { from, term, kind })
    }
}

fn at_rest(raft: &Raft) -> AtRest {
    let status = raft.status();
    (status.role, status.hard_state, status.leader, raft.next_deadline())
}

impl Voter {
    /// The process has ended. What it had heard and not noted, it has told nobody.
    pub(crate) fn restart(&mut self, durable: Term) {
        self.heard = self.heard.filter(|(term, _)| *term <= durable);
    }

    /// Asks a voter for its vote in ways that must not get it, on a copy of it. It would take long until
    /// that happens by itself, and at a moment at which it matters.
    pub(crate) fn ask(
        &self,
        raft: &Raft,
        now: Timestamp,
        election: Duration,
    ) -> Result<(), Violation> {
        let HardState { term, .. } = raft.status().hard_state;
        let (past, next) = (Term::new(term.get().saturating_sub(1)), term.next());
        let request = |term| RequestVote { last: LogId::new(term, LogIndex::new(u64::MAX)) };
        // Who follows a leader does not let itself be freed, neither by a later term nor by a denial.
        let questions = [
            (past, Body::RequestVote(request(past))),
            (past, Body::TimeoutNow),
            (term, Body::RequestVote(request(term))),
            (next, Body::PreVote(request(next))),
            (next, Body::VoteReply(VoteReply::Denied)),
            (next, Body::RequestVote(request(next))),
        ];
        let mut copy = raft.clone();
        for (asked, body) in questions {
            if asked >= term && !self.hears(asked.max(next), now, election) {
                return Ok(());
            }
            let consents = consents(&mut copy, now, asked, body.clone());
            ensure(!consents, Rule::Stickiness, || {
                let heard = self.heard;
                format!("{} has heard the leader of {heard:?}, and falls for {body:?}", raft.id())
            })?;
        }
        Ok(())
    }

    fn hears(&self, term: Term, now: Timestamp, election: Duration) -> bool {
        self.heard.is_some_and(|(heard, at)| heard < term && now < at.after(election))
    }

    /// Checks what a voter has made of a message.
    pub(crate) fn check(
        &mut self,
        question: Question,
        raft: &Raft,
        now: Timestamp,
        election: Duration,
    ) -> Result<(), Violation> {
        let Question { from, term, kind } = question;
        match kind {
            Kind::OfALeader => {
                let is_newest = self.heard.is_none_or(|(heard, _)| heard <= term);
                if is_newest && raft.leader() == Some(from) {
                    self.heard = Some((term, now));
                }
                Ok(())
            }
            Kind::TimeoutNow => {
                // It gives up its office with that, and with it what it was promised.
                if raft.status().role == RoleKind::Candidate {
                    (self.told, self.heard) = (Some(term), None);
                }
                Ok(())
            }
            Kind::Vote { last, is_transfer, before: (state, own) } => {
                let (id, after) = (raft.id(), raft.status().hard_state);
                let votes = after == HardState { term, vote: Some(from) } && after != state;
                ensure(!votes || last >= own, Rule::VoteForLog, || {
                    format!("{id} has {own} and votes for {from}, which has {last}")
                })?;
                if votes && !is_transfer {
                    self.check_free(id, term, now, election)
                } else {
                    Ok(())
                }
            }
            Kind::PastAnswer { mut before } => {
                // Time passes, and nothing else happens.
                before.step(now, Input::Unreachable(raft.id()));
                ensure(*before == *raft, Rule::Past, || {
                    format!("{} believes what {from} said in term {term}", raft.id())
                })
            }
            Kind::Past { before } => {
                let (id, after) = (raft.id(), at_rest(raft));
                ensure(before == after, Rule::Past, || {
                    format!("{id} was {before:?}, and is {after:?} for a message of term {term}")
                })
            }
            Kind::PreVote { before } => {
                let (id, after) = (raft.id(), at_rest(raft));
                let holds = before == after || raft.status().role == RoleKind::Leader;
                ensure(holds, Rule::PreVote, || {
                    format!("{id} was {before:?}, and is {after:?} for a pre-vote of {from}")
                })
            }
        }
    }

    /// Checks a message that leaves: whether it asks for votes that it should not ask for.
    pub(crate) fn check_candidacy(
        &self,
        message: &Message,
        now: Timestamp,
        election: Duration,
    ) -> Result<(), Violation> {
        let Message { from, term, ref body, .. } = *message;
        if matches!(body, Body::TransferVote(_)) {
            let is_told = self.told.is_some_and(|told| told.next() == term);
            return ensure(is_told, Rule::Stickiness, || {
                format!("{from} campaigns in term {term} as if it had been told to")
            });
        }
        let campaigns = matches!(body, Body::RequestVote(_));
        if campaigns { self.check_free(from, term, now, election) } else { Ok(()) }
    }

    fn check_free(
        &self,
        id: NodeId,
        term: Term,
        now: Timestamp,
        election: Duration,
    ) -> Result<(), Violation> {
        ensure(!self.hears(term, now, election), Rule::Stickiness, || {
            format!(
                "{id} takes part in an election of term {term} at {now:?}, but hears the leader of {:?}",
                self.heard
            )
        })
    }
}

/// Whether a server consents to what a stranger asks.
fn consents(raft: &mut Raft, now: Timestamp, term: Term, body: Body) -> bool {
    const STRANGER: NodeId = NodeId::new(u64::MAX).expect("it is not zero");
    let before = raft.status().role;
    raft.step(now, Input::Message(Message { from: STRANGER, to: raft.id(), term, body }));
    let output = raft.poll_output().unwrap_or_default();
    let is_consent = |m: &Message| {
        let consent = Body::PreVoteReply(VoteReply::Granted);
        m.to == STRANGER && m.body == consent
    };
    let status = raft.status();
    let campaigns = status.role == RoleKind::Candidate && before != RoleKind::Candidate;
    campaigns || status.hard_state.vote == Some(STRANGER) || output.messages.iter().any(is_consent)
}
