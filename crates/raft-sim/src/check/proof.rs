//! What a node serves to readers is proved: a quorum really has answered what its leader sent after
//! the read was asked (thesis §6.4), or so lately that its lease holds (thesis §6.4.1).
//!
//! A stale answer shows only if something else was committed meanwhile, which needs another leader;
//! who serves a read without a proof is caught without one.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is of no interest is not listed")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use raft_core::{
    Body, Heartbeat, Membership, Message, NodeId, Raft, ReadId, ReadIndex, ReadIndexReply,
    ReadLevel, ReadRound, RoleKind, Term, Timestamp,
};

use super::{Rule, Violation, decides, ensure};

/// What one run of a node has sent and heard that proves something to readers. All times are by its
/// own clock.
#[derive(Debug, Default)]
pub(crate) struct Proofs {
    /// The term in which it leads, or led.
    term: Term,
    /// When each of its rounds of heartbeats left first.
    rounds: VecDeque<(ReadRound, Timestamp)>,
    /// Who has answered, and when the newest round left that it has answered.
    answered: Vec<(NodeId, Timestamp)>,
    /// What others ask it as their leader, and when that arrived first.
    asked: VecDeque<(NodeId, ReadId, Timestamp)>,
    /// What it asks a leader, and when it did so first.
    questions: VecDeque<(ReadId, Timestamp)>,
    /// Reads that were asked until then may be served.
    proved: Option<Timestamp>,
    /// Reads that wait.
    waiting: BTreeMap<u32, Waiting>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    level: ReadLevel,
    since: Timestamp,
    /// It came while a lease held.
    is_leased: bool,
}

/// A leader at the moment at which it is asked.
#[derive(Debug)]
pub(crate) struct Lead<'a> {
    id: NodeId,
    term: Term,
    now: Timestamp,
    /// Something of its term is committed: so it knows all that is.
    knows_commit: bool,
    hands_over: bool,
    /// Those by which it may have counted: before this turn, and now.
    memberships: [&'a Membership; 2],
}

impl<'a> Lead<'a> {
    /// `None` if it does not lead. `before` is the membership that it had before this turn.
    pub(crate) fn of(raft: &'a Raft, before: &'a Membership, now: Timestamp) -> Option<Self> {
        let status = raft.status();
        (status.role == RoleKind::Leader).then(|| Self {
            id: status.id,
            term: status.hard_state.term,
            now,
            knows_commit: raft.log_id_at(status.commit).map(|id| id.term)
                == Some(status.hard_state.term),
            hands_over: raft.successor().is_some(),
            memberships: [before, status.membership],
        })
    }
}

/// Rounds that are remembered: after an election timeout without answers there is no leader.
const ROUNDS: usize = 256;

/// Questions that are remembered although they are answered, for they may arrive again.
const QUESTIONS: usize = 32;

impl Proofs {
    /// A read arrives. `lead` is what the node leads, and for how long an answered heartbeat makes a
    /// lease.
    pub(crate) fn on_read(
        &mut self,
        call: u32,
        level: ReadLevel,
        since: Timestamp,
        lead: Option<(&Lead<'_>, Duration)>,
    ) {
        let holds = |(lead, lease)| self.leased_until(lead, lease).is_some_and(|end| since < end);
        let is_leased = lead.is_some_and(holds);
        self.waiting.insert(call, Waiting { level, since, is_leased });
    }

    /// Somebody is told something, or nothing any more.
    pub(crate) fn on_answer(&mut self, call: u32) {
        self.waiting.remove(&call);
    }

    /// Whether it has asked a leader.
    pub(crate) fn has_asked(&self) -> bool {
        self.proved.is_some() || !self.questions.is_empty()
    }

    /// Whether anything waits for a proof.
    pub(crate) fn has_readers(&self) -> bool {
        let newest = self.asked.back().map(|(.., since)| *since);
        !self.waiting.is_empty() || newest > self.proved
    }

    /// Takes note of a message that leaves, and checks that an answer rests on a proof.
    pub(crate) fn check_sent(
        &mut self,
        message: &Message,
        now: Timestamp,
    ) -> Result<(), Violation> {
        let Message { from, to, term, ref body } = *message;
        match body {
            Body::Heartbeat(Heartbeat { round, .. }) => self.on_heartbeat(*round, term, now),
            Body::ReadIndex(ReadIndex { upto }) => self.on_question(*upto, now),
            Body::ReadIndexReply(ReadIndexReply { upto, .. }) => {
                return self.check_answer(from, to, *upto);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes note of a message that is about to be taken; `before` is the membership before this turn.
    pub(crate) fn on_message(
        &mut self,
        message: &Message,
        raft: &Raft,
        before: &Membership,
        now: Timestamp,
    ) {
        let Message { from, to, term, ref body } = *message;
        match body {
            Body::HeartbeatReply(reply) => {
                self.on_heartbeat_reply(from, reply.round, term);
                // What it proves counts even if the leader makes way with the same message, and for
                // readers of an age that ask when it does not lead any more.
                if let Some(lead) = Lead::of(raft, before, now) {
                    self.on_heard(&lead);
                }
            }
            Body::ReadIndex(ReadIndex { upto }) if raft.leader() == Some(to) => {
                self.on_asked(from, *upto, term, now);
            }
            // Whether it may be given is asked where it leaves.
            Body::ReadIndexReply(ReadIndexReply { upto, .. }) => self.on_question_answered(*upto),
            _ => {}
        }
    }

    /// A heartbeat leaves.
    fn on_heartbeat(&mut self, round: ReadRound, term: Term, now: Timestamp) {
        if self.enter(term) && self.rounds.back().is_none_or(|(last, _)| *last < round) {
            self.rounds.push_back((round, now));
        }
        if self.rounds.len() > ROUNDS {
            self.rounds.pop_front();
        }
    }

    /// The answer to a heartbeat arrives.
    fn on_heartbeat_reply(&mut self, from: NodeId, round: ReadRound, term: Term) {
        if term != self.term {
            return;
        }
        let Ok(at) = self.rounds.binary_search_by_key(&round, |(round, _)| *round) else { return };
        let sent_at = self.rounds[at].1;
        match self.answered.iter_mut().find(|(voter, _)| *voter == from) {
            Some((_, newest)) => *newest = sent_at.max(*newest),
            None => self.answered.push((from, sent_at)),
        }
    }

    /// Another node asks this one as its leader.
    fn on_asked(&mut self, by: NodeId, upto: ReadId, term: Term, now: Timestamp) {
        let is_known = |(node, read, _): &_| (*node, *read) == (by, upto);
        if self.enter(term) && !self.asked.iter().any(is_known) {
            self.asked.push_back((by, upto, now));
        }
        let proved = self.proved;
        if self.asked.len() > QUESTIONS {
            self.asked.pop_front_if(|(.., since)| Some(*since) <= proved);
        }
    }

    /// This node asks a leader.
    fn on_question(&mut self, upto: ReadId, now: Timestamp) {
        if !self.questions.iter().any(|(read, _)| *read == upto) {
            self.questions.push_back((upto, now));
        }
    }

    /// A leader answers a question of this node.
    fn on_question_answered(&mut self, upto: ReadId) {
        let found = self.questions.iter().find(|(read, _)| *read == upto);
        if let Some((_, asked_at)) = found.copied() {
            self.proved = self.proved.max(Some(asked_at));
            self.questions.retain(|(read, _)| *read > upto);
        }
    }

    /// What a leader has heard may prove something.
    pub(crate) fn on_heard(&mut self, lead: &Lead<'_>) {
        if lead.knows_commit {
            self.proved = self.proved.max(self.followed_since(lead));
        }
    }

    /// Checks that a reader may be served (thesis §6.4).
    pub(crate) fn check_read(&self, node: NodeId, call: u32) -> Result<(), Violation> {
        let Some(Waiting { level, since, is_leased }) = self.waiting.get(&call).copied() else {
            return Ok(());
        };
        let is_proved = |since| self.proved.is_some_and(|proved| since <= proved);
        let holds = match level {
            ReadLevel::Linearizable => is_proved(since),
            ReadLevel::Lease => is_leased || is_proved(since),
            ReadLevel::BoundedStale(age) => {
                let proved = self.proved.map(|proved| proved.after(age));
                is_leased || proved.is_some_and(|proved| since <= proved)
            }
            // It says by itself what it must see.
            ReadLevel::AtLeast(_) => true,
        };
        ensure(holds, Rule::ProvedRead, || {
            format!(
                "{node} serves call {call}, {level:?} of {since:?}, with proof of {:?}",
                self.proved
            )
        })
    }

    /// Checks that this node may answer another one.
    fn check_answer(&self, node: NodeId, to: NodeId, upto: ReadId) -> Result<(), Violation> {
        let asked = self.asked.iter().find(|(by, read, _)| (*by, *read) == (to, upto));
        let since = asked.map(|(.., since)| *since);
        ensure(since.is_some() && since <= self.proved, Rule::ProvedRead, || {
            let proved = self.proved;
            format!("{node} answers {to}, which asked at {since:?}, with proof of {proved:?}")
        })
    }

    /// Checks that a lease which lasts until `until` rests on a quorum (thesis §6.4.1).
    pub(crate) fn check_lease(
        &self,
        until: Timestamp,
        lead: &Lead<'_>,
        lease: Duration,
    ) -> Result<(), Violation> {
        let proved = self.leased_until(lead, lease);
        let holds = until <= lead.now || proved.is_some_and(|proved| until <= proved);
        ensure(holds, Rule::Lease, || {
            format!("{} has a lease until {until:?}, with proof of one until {proved:?}", lead.id)
        })
    }

    /// Since when nobody else can have been elected: when that left which a quorum has answered.
    fn followed_since(&self, lead: &Lead<'_>) -> Option<Timestamp> {
        let answered = if lead.term == self.term { self.answered.as_slice() } else { &[] };
        let agrees = |since: Timestamp| {
            let has_answered = |voter| {
                voter == lead.id || answered.iter().any(|(by, at)| *by == voter && since <= *at)
            };
            lead.memberships.iter().any(|membership| decides(membership, has_answered))
        };
        let times = answered.iter().map(|(_, at)| *at).chain([lead.now]);
        // Only a later one than is known is worth counting for.
        let later =
            |known, since| if Some(since) > known && agrees(since) { Some(since) } else { known };
        times.fold(None, later)
    }

    /// Until when a leader may have a lease; `None` if it may not.
    fn leased_until(&self, lead: &Lead<'_>, lease: Duration) -> Option<Timestamp> {
        let may = lead.knows_commit && !lead.hands_over;
        Some(self.followed_since(lead).filter(|_| may)?.after(lease))
    }

    /// Begins a term, if it is new; whether it is the newest.
    fn enter(&mut self, term: Term) -> bool {
        if term > self.term {
            self.term = term;
            self.rounds.clear();
            self.answered.clear();
            self.asked.clear();
        }
        term == self.term
    }
}
