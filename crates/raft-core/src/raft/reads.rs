//! Linearizable reads: the sequence of a server's own reads, and a leader's proof that it leads.
//!
//! A read may be served from a state that contains everything committed when the read was asked
//! (thesis §6.4). The leader knows the commit index, and proves with a round of heartbeats that it
//! still leads. All reads that have gathered when a round starts share it, whoever asked them.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::time::Duration;

use super::canonical::Rebase;
use crate::message::{ReadId, ReadRound};
use crate::types::{LogIndex, NodeId, Timestamp};

/// The reads of this server, as positions in a sequence. They outlive roles: a new leader is asked
/// again.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct OwnReads {
    /// The run of the server. The reads of it are told apart by their positions.
    session: u64,
    issued: u64,
    /// The newest read that needs an answer from a leader.
    wanted: u64,
    asked: u64,
    /// When the last question was asked. It covers all before it.
    asked_at: Timestamp,
    answered: u64,
    /// Questions that were not answered, each with the time when it was asked first.
    questions: VecDeque<(u64, Timestamp)>,
    /// The newest answer: what was committed before this time is up to this index.
    known: Option<(Timestamp, LogIndex)>,
}

/// Questions that are told apart. An answer to one beyond counts as one to the last of them, which
/// was asked earlier.
const QUESTIONS_MAX: usize = 64;

impl OwnReads {
    pub(super) const fn new(session: u64) -> Self {
        Self {
            session,
            issued: 0,
            wanted: 0,
            asked: 0,
            asked_at: Timestamp::from_micros(0),
            answered: 0,
            questions: VecDeque::new(),
            known: None,
        }
    }

    pub(super) fn rebase(&mut self, rebase: &Rebase) {
        let Self { session: _, issued: _, wanted, asked: _, asked_at, answered, questions, known } =
            self;
        if wanted == answered {
            // It is not looked at before the next question sets it.
            *asked_at = Timestamp::default();
        } else {
            rebase.instant(asked_at);
        }
        questions.iter_mut().for_each(|(_, asked_at)| rebase.instant(asked_at));
        known.iter_mut().for_each(|(asked_at, _)| rebase.instant(asked_at));
    }

    pub(super) fn rest(&mut self) {
        self.questions.shrink_to_fit();
    }

    /// The run of the server.
    pub(super) const fn session(&self) -> u64 {
        self.session
    }

    const fn id(&self, position: u64) -> ReadId {
        ReadId::new(self.session, position)
    }

    /// Names a read that a leader is to be asked about.
    pub(super) const fn issue(&mut self) -> ReadId {
        let id = self.issue_answered();
        self.wanted = self.issued;
        id
    }

    /// Names a read that needs no question.
    pub(super) const fn issue_answered(&mut self) -> ReadId {
        self.issued = self.issued.saturating_add(1);
        self.id(self.issued)
    }

    /// An index that covers all that was committed `age` before `now`, if one is known.
    ///
    /// An answer covers what was committed when its question was asked; when the answer came says
    /// nothing.
    pub(super) fn known_within(&self, age: Duration, now: Timestamp) -> Option<LogIndex> {
        let (asked_at, index) = self.known?;
        (now <= asked_at.after(age)).then_some(index)
    }

    /// The reads that nobody was asked about yet, by the last one; they count as asked from now.
    pub(super) fn ask(&mut self, now: Timestamp) -> Option<ReadId> {
        if self.wanted <= self.asked {
            return None;
        }
        self.asked = self.wanted;
        self.asked_at = now;
        let is_new = self.questions.back().is_none_or(|(last, _)| *last < self.asked);
        if is_new && self.questions.len() < QUESTIONS_MAX {
            self.questions.push_back((self.asked, now));
        }
        Some(self.id(self.asked))
    }

    /// Asks again for what has waited for an answer longer than `patience`: the question or the
    /// answer may be lost.
    ///
    /// Not sooner: every question makes a round of heartbeats, and every heartbeat leads here.
    pub(super) fn ask_again_after(&mut self, patience: Duration, now: Timestamp) {
        if now >= self.asked_at.after(patience) {
            self.ask_again();
        }
    }

    /// Asks again for what was not answered: the one who knew may be gone.
    pub(super) const fn ask_again(&mut self) {
        self.asked = self.answered;
    }

    /// Takes the answer for all reads up to `upto`.
    pub(super) fn on_answer(&mut self, upto: ReadId, index: LogIndex) -> Answer {
        if upto.session() != self.session || upto.position() <= self.answered {
            return Answer::Stale;
        }
        let upto = upto.position();
        if upto > self.wanted {
            return Answer::Unasked;
        }
        let first = self.id(self.answered).next();
        self.answered = upto;
        self.asked = self.asked.max(upto);
        while let Some((_, asked_at)) = self.questions.pop_front_if(|(read, _)| *read <= upto) {
            self.known = Some((asked_at, index));
        }
        Answer::News { first }
    }
}

/// What an answer is worth.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// Reads may be served, from this one on.
    News { first: ReadId },
    /// It was answered before, or asked by an earlier run of this server.
    Stale,
    /// Nobody asked.
    Unasked,
}

/// A leader's rounds of proof. One is under way at most; what comes meanwhile shares the next.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct ReadRounds {
    last: ReadRound,
    under_way: Option<Box<Round>>,
    waiting: Readers,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Round {
    readers: Readers,
    /// From where on they may read.
    index: LogIndex,
    number: ReadRound,
}

/// Who reads, each up to its newest read.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(super) struct Readers {
    pub(super) own: Option<ReadId>,
    pub(super) peers: BTreeMap<NodeId, ReadId>,
}

impl Readers {
    fn is_nobody(&self) -> bool {
        self.own.is_none() && self.peers.is_empty()
    }
}

impl ReadRounds {
    /// The newest round, to stand in heartbeats.
    pub(super) const fn last(&self) -> ReadRound {
        self.last
    }

    pub(super) const fn ask_own(&mut self, upto: ReadId) {
        self.waiting.own = Some(upto);
    }

    pub(super) fn ask_for(&mut self, peer: NodeId, upto: ReadId) {
        let waiting = self.waiting.peers.entry(peer).or_insert(upto);
        // Questions of one run may arrive in any order; the newest covers the others.
        if waiting.session() != upto.session() || *waiting < upto {
            *waiting = upto;
        }
    }

    /// Starts a round for all that wait, with `commit` as their index; false if nobody waits or a
    /// round is under way.
    pub(super) fn start(&mut self, commit: LogIndex) -> bool {
        if self.under_way.is_some() || self.waiting.is_nobody() {
            return false;
        }
        self.last = self.last.next();
        let readers = core::mem::take(&mut self.waiting);
        self.under_way = Some(Box::new(Round { readers, index: commit, number: self.last }));
        true
    }

    /// Numbers heartbeats that are sent without a reader, so that their answers tell when they left.
    pub(super) const fn advance(&mut self) {
        self.last = self.last.next();
    }

    /// Takes the newest round that a quorum has confirmed; gives the readers it serves.
    pub(super) fn on_confirmed(&mut self, round: ReadRound) -> Option<(Readers, LogIndex)> {
        let done = self.under_way.take_if(|under_way| round >= under_way.number)?;
        let Round { readers, index, number: _ } = *done;
        Some((readers, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a round serves of one peer that asked `questions`, in this order.
    fn served(questions: [ReadId; 2]) -> Option<ReadId> {
        let peer = NodeId::new(2)?;
        let mut rounds = ReadRounds::default();
        questions.into_iter().for_each(|upto| rounds.ask_for(peer, upto));
        rounds.start(LogIndex::new(1));
        let (readers, _) = rounds.on_confirmed(rounds.last())?;
        readers.peers.get(&peer).copied()
    }

    #[test]
    fn a_late_question_does_not_take_the_place_of_a_newer_one() {
        let [earlier, later] = [ReadId::new(7, 1), ReadId::new(7, 2)];

        assert_eq!(served([later, earlier]), Some(later));
    }

    #[test]
    fn a_question_of_another_run_takes_the_place_of_any() {
        let [first_run, second_run] = [ReadId::new(9, 5), ReadId::new(8, 1)];

        assert_eq!(served([first_run, second_run]), Some(second_run));
    }
}
