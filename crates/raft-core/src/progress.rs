//! What a leader knows about one follower.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::time::Duration;

use crate::config::Config;
use crate::io::Fetch;
use crate::message::{HeartbeatReply, ReadRound, Room};
use crate::raft::Rebase;
use crate::status::ReplicationState;
use crate::types::{LogId, LogIndex, Term, Timestamp};

/// A leader's view of one follower.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Progress {
    /// Highest index known to be equal and durable on the follower.
    matched: LogIndex,
    /// First index not sent yet. Invariant: `next > matched`.
    next: LogIndex,
    phase: Phase,
    /// Entries that are being read from storage for it, if any.
    fetch: Option<Box<Fetch>>,
    /// When it last answered in this term.
    heard: Timestamp,
    /// Newest round of reads that it has confirmed.
    confirmed: ReadRound,
    /// Highest commit index that it was told.
    commit_told: LogIndex,
    /// The round whose answer shows whether it has lost what it acknowledged: an answer said so that
    /// may have been an old one. In a box: it is rare, and a leader at rest small.
    doubt: Option<Box<ReadRound>>,
    /// Whether it has room for entries, as it said last. Answers may come in another order than they
    /// left; that to the next heartbeat sets it right.
    room: Room,
}

/// What the end of a follower's log says about what it has acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Memory {
    /// It has that.
    Sound,
    /// It has not, or had not yet when it said so: the answer to another heartbeat tells.
    Doubtful,
    /// It has lost some of it.
    Lost,
}

/// How to feed the follower. Each phase owns the fields that make sense in it, and only those.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
enum Phase {
    /// Looking for the point of agreement: one message, then wait for its reply.
    Probe(Probe),
    /// Logs agree: keep the pipe full.
    Replicate(Window),
    /// Its next entry is gone from the log. It was offered a snapshot that ends at `last`, and
    /// fetches it on its own.
    Snapshot { last: LogIndex },
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
enum Probe {
    Ready,
    AwaitingReply,
}

/// Messages under way: the last index of each, and what its entries weigh.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
struct Window {
    messages: VecDeque<(LogIndex, usize)>,
    bytes: usize,
}

impl Progress {
    /// A follower about which a leader whose log ends at `last` knows nothing.
    ///
    /// It counts as heard: it gets one election timeout to answer.
    pub(crate) const fn new(last: LogIndex, now: Timestamp) -> Self {
        Self {
            matched: LogIndex::ZERO,
            next: last.next(),
            phase: Phase::Probe(Probe::Ready),
            fetch: None,
            heard: now,
            confirmed: ReadRound::new(0),
            commit_told: LogIndex::ZERO,
            doubt: None,
            room: Room::Enough,
        }
    }

    pub(crate) fn rebase(&mut self, rebase: &Rebase) {
        let Self {
            matched: _,
            next: _,
            phase: _,
            fetch: _,
            heard,
            confirmed: _,
            commit_told: _,
            doubt: _,
            room: _,
        } = self;
        rebase.instant(heard);
    }

    pub(crate) const fn matched(&self) -> LogIndex {
        self.matched
    }

    pub(crate) const fn next(&self) -> LogIndex {
        self.next
    }

    pub(crate) const fn heard(&self) -> Timestamp {
        self.heard
    }

    /// Whether it was heard less than `timeout` ago.
    pub(crate) fn is_live(&self, now: Timestamp, timeout: Duration) -> bool {
        now < self.heard.after(timeout)
    }

    pub(crate) const fn room(&self) -> Room {
        self.room
    }

    pub(crate) const fn confirmed(&self) -> ReadRound {
        self.confirmed
    }

    #[cfg(test)]
    pub(crate) const fn is_probed(&self) -> bool {
        matches!(self.phase, Phase::Probe(_))
    }

    pub(crate) const fn on_heard(&mut self, now: Timestamp) {
        self.heard = now;
    }

    /// Whether another append may be made for it.
    pub(crate) fn has_room(&self, config: &Config) -> bool {
        let room = match &self.phase {
            Phase::Probe(probe) => *probe == Probe::Ready,
            Phase::Replicate(window) => {
                window.messages.len() < config.in_flight_messages_max
                    && window.bytes < config.in_flight_bytes_max
            }
            Phase::Snapshot { .. } => false,
        };
        room && self.fetch.is_none()
    }

    /// How it is fed, for those who look on.
    pub(crate) fn state(&self) -> ReplicationState {
        match &self.phase {
            Phase::Probe(_) => ReplicationState::Probe,
            Phase::Replicate(Window { messages, bytes }) => {
                ReplicationState::Replicate { messages: messages.len(), bytes: *bytes }
            }
            Phase::Snapshot { last } => ReplicationState::Snapshot { last: *last },
        }
    }

    /// Records that it was offered a snapshot that ends at `last`.
    pub(crate) fn on_offered(&mut self, last: LogIndex) {
        self.phase = Phase::Snapshot { last };
        self.fetch = None;
    }

    /// Records that entries up to `last`, weighing `bytes`, were sent.
    pub(crate) fn on_sent(&mut self, last: LogIndex, bytes: usize) {
        match &mut self.phase {
            Phase::Probe(probe) => *probe = Probe::AwaitingReply,
            Phase::Replicate(window) => {
                window.messages.push_back((last, bytes));
                window.bytes += bytes;
                self.next = self.next.max(last.next());
            }
            // Not sent any while it has none to build on.
            Phase::Snapshot { .. } => {}
        }
    }

    /// Takes the news that the follower's log equals ours up to `matched`; true if it is news.
    pub(crate) fn on_accepted(&mut self, matched: LogIndex) -> bool {
        let moved = matched > self.matched;
        self.matched = self.matched.max(matched);
        if self.next <= self.matched {
            self.next = self.matched.next();
            self.fetch = None;
        }
        match &mut self.phase {
            // Whatever helped it: if that was not enough, it is offered a snapshot again.
            Phase::Probe(_) | Phase::Snapshot { .. } => {
                self.phase = Phase::Replicate(Window::default());
            }
            Phase::Replicate(window) => window.free(self.matched),
        }
        moved
    }

    /// Takes the news that the follower does not have our entry at `prev`, but perhaps the one at
    /// `hint`.
    pub(crate) fn on_rejected(&mut self, prev: LogIndex, hint: LogIndex) {
        match self.phase {
            // A reordered rejection may name a `prev` that has been confirmed since.
            _ if prev <= self.matched => {}
            Phase::Replicate(_) => self.probe(),
            // It rejects what was sent before the offer.
            Phase::Snapshot { .. } => {}
            // Or one that belongs to an earlier probe.
            Phase::Probe(_) if self.next.prev() != prev => {}
            Phase::Probe(_) => {
                self.next = hint.next().min(prev).max(self.matched.next());
                self.phase = Phase::Probe(Probe::Ready);
            }
        }
    }

    /// Takes the news that messages to it may have been lost.
    ///
    /// A probe or an offer is left to the next heartbeat's answer: while the follower stays unreachable, each
    /// repetition would only bring the same news.
    pub(crate) fn on_unreachable(&mut self) {
        match self.phase {
            Phase::Probe(_) | Phase::Snapshot { .. } => {}
            Phase::Replicate(_) => self.probe(),
        }
    }

    /// Starts over from what is certain: messages under way may be lost.
    pub(crate) fn probe(&mut self) {
        self.next = self.matched.next();
        self.phase = Phase::Probe(Probe::Ready);
        self.fetch = None;
    }

    /// Takes the answer to a heartbeat, and with it the news which snapshot it is fetching, if any,
    /// and whether it has room.
    ///
    /// True if appends are under way of which no loss would be noticed unless it is asked.
    pub(crate) fn on_heartbeat_reply(&mut self, m: HeartbeatReply) -> bool {
        self.confirmed = self.confirmed.max(m.round);
        self.room = m.room;
        match &self.phase {
            Phase::Probe(probe) => *probe == Probe::AwaitingReply,
            // Or it has lost what it was sent, and found it again.
            Phase::Replicate(_) => self.matched.next() < self.next,
            Phase::Snapshot { .. } => {
                // The offer is lost, or it has given up.
                if m.installing.is_none() {
                    self.probe();
                }
                false
            }
        }
    }

    /// Takes the news that its log ended at `last` when it answered the heartbeat of `round`; of what
    /// it has acknowledged, the last entry is of term `acknowledged`, if that is known.
    ///
    /// Nothing that it has acknowledged to us is removed in our term, and what follows is of no earlier
    /// term, but answers may be late. One to a heartbeat that left after we began to doubt is not.
    pub(crate) fn on_end(
        &mut self,
        round: ReadRound,
        last: LogId,
        acknowledged: Option<Term>,
    ) -> Memory {
        let is_later = acknowledged.is_none_or(|term| last.term >= term);
        match &self.doubt {
            _ if last.index >= self.matched && is_later => {
                self.doubt = None;
                Memory::Sound
            }
            Some(asked) if round >= **asked => Memory::Lost,
            Some(_) | None => Memory::Doubtful,
        }
    }

    /// Records that the answer to a heartbeat of `round` will tell; true if none was waited for.
    pub(crate) fn on_doubt(&mut self, round: ReadRound) -> bool {
        let is_new = self.doubt.is_none();
        if is_new {
            self.doubt = Some(Box::new(round));
        }
        is_new
    }

    /// Forgets what it has acknowledged: it is a follower about which nothing is known but that its
    /// log ends at `last`.
    pub(crate) fn forget(&mut self, last: LogIndex) {
        *self = Self { confirmed: self.confirmed, ..Self::new(last, self.heard) };
    }

    /// Records that its next entries are being read from storage.
    pub(crate) fn on_fetching(&mut self, fetch: Fetch) {
        self.fetch = Some(Box::new(fetch));
    }

    /// Whether `fetch` is what it waits for; if so it waits no more.
    pub(crate) fn on_fetched(&mut self, fetch: Fetch) -> bool {
        self.fetch.take_if(|waiting| **waiting == fetch).is_some()
    }

    /// Gives back memory that is not used.
    pub(crate) fn rest(&mut self) {
        match &mut self.phase {
            Phase::Probe(_) | Phase::Snapshot { .. } => {}
            Phase::Replicate(window) => window.messages.shrink_to_fit(),
        }
    }

    /// Records that it was told that `commit` is committed; true if it did not know.
    pub(crate) fn tell_commit(&mut self, commit: LogIndex) -> bool {
        let news = commit > self.commit_told;
        self.commit_told = self.commit_told.max(commit);
        news
    }
}

impl Window {
    /// Frees what was acknowledged.
    fn free(&mut self, matched: LogIndex) {
        while let Some((_, bytes)) = self.messages.pop_front_if(|(last, _)| *last <= matched) {
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NodeId;

    fn i(index: u64) -> LogIndex {
        LogIndex::new(index)
    }

    fn config() -> Config {
        let mut config = Config::new(NodeId::new(1).unwrap());
        config.in_flight_messages_max = 2;
        config.in_flight_bytes_max = 100;
        config
    }

    fn reply(installing: Option<LogIndex>) -> HeartbeatReply {
        HeartbeatReply {
            round: ReadRound::new(0),
            installing,
            last: LogId { term: Term::new(1), index: i(5) },
            room: Room::Enough,
        }
    }

    fn replicating(last: u64) -> Progress {
        let mut progress = Progress::new(i(last), Timestamp::default());
        progress.on_accepted(i(last));
        progress
    }

    #[test]
    fn a_probe_waits_for_its_reply_and_is_asked_for_at_a_heartbeat() {
        let mut progress = Progress::new(i(5), Timestamp::default());

        progress.on_sent(i(6), 10);

        assert!(!progress.has_room(&config()));
        assert_eq!(progress.next(), i(6));
        assert!(progress.on_heartbeat_reply(reply(None)));
    }

    #[test]
    fn an_offer_stands_while_the_follower_fetches_and_is_repeated_when_it_does_not() {
        let mut progress = Progress::new(i(5), Timestamp::default());
        progress.on_offered(i(4));

        progress.on_heartbeat_reply(reply(Some(i(4))));
        assert_eq!(progress.state(), ReplicationState::Snapshot { last: i(4) });

        progress.on_heartbeat_reply(reply(None));
        assert!(progress.is_probed());
    }

    #[test]
    fn the_window_closes_by_messages_and_by_bytes_and_opens_on_acknowledgement() {
        let mut progress = replicating(5);
        progress.on_sent(i(6), 10);
        progress.on_sent(i(7), 10);
        assert!(!progress.has_room(&config()));

        progress.on_accepted(i(6));
        assert!(progress.has_room(&config()));

        progress.on_sent(i(8), 90);
        progress.on_accepted(i(7));
        assert!(progress.has_room(&config()));
        progress.on_sent(i(9), 10);
        assert!(!progress.has_room(&config()));
    }

    #[test]
    fn a_rejection_of_what_has_been_confirmed_since_is_ignored() {
        let mut progress = replicating(5);

        progress.on_rejected(i(4), i(2));

        assert!(!progress.is_probed());
        assert_eq!(progress.next(), i(6));
    }

    #[test]
    fn a_rejection_of_an_earlier_probe_is_ignored() {
        let mut progress = Progress::new(i(9), Timestamp::default());
        progress.on_rejected(i(9), i(4));
        assert_eq!(progress.next(), i(5));

        progress.on_rejected(i(9), i(7));

        assert_eq!(progress.next(), i(5));
    }

    #[test]
    fn probing_backs_off_to_the_beginning_at_last() {
        let mut progress = Progress::new(i(4), Timestamp::default());
        for _ in 0..9 {
            let prev = progress.next().prev();
            progress.on_rejected(prev, prev);
        }

        assert_eq!(progress.next(), i(1));
    }

    #[test]
    fn losing_everything_in_flight_goes_back_to_what_is_certain() {
        let mut progress = replicating(5);
        progress.on_sent(i(6), 10);

        progress.on_rejected(i(6), i(5));

        assert!(progress.is_probed());
        assert_eq!(progress.next(), i(6));
    }
}
