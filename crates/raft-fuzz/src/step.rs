//! A server that hears what peers say, from the bytes on the wire to what follows from it.

use bytes::Bytes;
use raft_core::{
    Body, Config, Input, LogId, LogIndex, Message, Raft, RepairRequest, Restored, Term, Timestamp,
    VoteReply, WriteSeq,
};
use raft_net::{FrameLimits, FrameReader, Integrity, Lane, Packet};

use crate::frames::{bodies, write};
use crate::names::{node, route, three};

/// What happens is a byte; a frame follows as its length, two bytes, and its own bytes.
pub(crate) fn run(mut bytes: &[u8]) {
    let mut server = Server::new();
    while let Some((&what, rest)) = bytes.split_first() {
        bytes = rest;
        match what & 7 {
            0 => server.time_out(),
            1 => server.sync(),
            2 => server.propose(),
            3 => server.poll(),
            _ => {
                let Some((len, rest)) = bytes.split_first_chunk::<2>() else { return };
                let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
                let (frame, rest) = rest.split_at(len);
                bytes = rest;
                server.hear(if what & 8 == 0 { 2 } else { 3 }, frame);
            }
        }
    }
}

/// Server 1 of three.
struct Server {
    raft: Raft,
    now: Timestamp,
    written: WriteSeq,
    term: Term,
    commit: LogIndex,
}

impl Server {
    fn new() -> Self {
        let (restored, now) = (Restored::bootstrap(three()), Timestamp::default());
        let raft = Raft::new(Config::new(node(1)), restored, 7, now).expect("it can start");
        Self { raft, now, written: WriteSeq::default(), term: Term::ZERO, commit: LogIndex::ZERO }
    }

    fn time_out(&mut self) {
        self.now = self.now.max(self.raft.next_deadline());
        self.raft.step(self.now, Input::Timeout);
        self.poll();
    }

    fn sync(&mut self) {
        self.raft.step(self.now, Input::Persisted(self.written));
        self.poll();
    }

    fn propose(&mut self) {
        let _refused_unless_it_leads = self.raft.propose(self.now, Bytes::from_static(b"command"));
        self.poll();
    }

    fn hear(&mut self, from: u64, frame: &[u8]) {
        for lane in [Lane::Control, Lane::Append, Lane::Bulk] {
            let limits = FrameLimits::default();
            let mut reader = FrameReader::stream(lane, limits, Integrity::Sealed);
            reader.push(Bytes::copy_from_slice(frame));
            while let Ok(Some(frame)) = reader.next_frame() {
                let Ok(Packet::Raft(message)) = frame.decode(&route(from)) else { break };
                self.raft.step(self.now, Input::Message(message));
            }
        }
        self.poll();
    }

    /// Takes what follows, and checks what no peer can change.
    fn poll(&mut self) {
        while let Some(output) = self.raft.poll_output() {
            self.written = output.write.map_or(self.written, |write| write.seq);
            assert!(output.commit.is_none_or(|commit| commit > self.commit), "commit went back");
            self.commit = output.commit.unwrap_or(self.commit);
            let me = |message: &Message| message.from == self.raft.id();
            assert!(output.messages.iter().all(me), "a server speaks for itself only");
        }
        let status = self.raft.status();
        assert!(status.hard_state.term >= self.term, "the term went back");
        assert!(status.base.index <= status.last.index && status.commit <= status.last.index);
        self.term = status.hard_state.term;
    }
}

/// An election that server 1 wins, one that it loses, and each message to it in both roles.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let frame = |from: u64, term: u64, body| {
        let message = Message { from: node(from), to: node(1), term: Term::new(term), body };
        let bytes = write(&[Packet::Raft(message)], Integrity::Sealed);
        let len = u16::try_from(bytes.len()).expect("it is short").to_le_bytes();
        let what: u8 = if from == 2 { 4 } else { 12 };
        [&[what], &len[..], &bytes].concat()
    };
    let granted = VoteReply::Granted;
    let (would, does) = (Body::PreVoteReply(granted), Body::VoteReply(granted));
    let election = [vec![0], frame(2, 2, would), vec![1], frame(2, 2, does)].concat();
    let leads = [election, vec![1, 2, 2, 1]].concat();
    let follow = bodies().into_iter().map(|body| [frame(3, 4, body), vec![1, 0]].concat());
    let entry_zero = LogId { term: Term::new(6), index: LogIndex::ZERO };
    let odd = Body::RepairRequest(RepairRequest { first: entry_zero, upto: LogIndex::ZERO });
    let lead = bodies().into_iter().chain([odd]);
    let lead = lead.map(|body| [leads.clone(), frame(3, 2, body)].concat());
    follow.chain(lead).collect()
}
