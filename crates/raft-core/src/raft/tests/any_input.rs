//! Whatever a peer sends and whatever a driver reports, in whatever order: nothing panics.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::cluster::*;
use crate::config::{Config, Lease};
use crate::io::{Fetch, FetchPurpose, Input, Install, ReadLevel, WriteSeq};
use crate::membership::{Membership, MembershipChange, Quorum, Voters};
use crate::message::{
    AppendEntries, AppendReply, Body, CommitNotice, EndReply, EndRequest, Heartbeat,
    HeartbeatReply, Message, ReadId, ReadIndex, ReadIndexReply, ReadRound, Removed, RepairReply,
    RepairRequest, RequestVote, Room, VoteReply,
};
use crate::raft::Raft;
use crate::raft::rng::Rng;
use crate::restored::{Faulty, OnLoss, Restored};
use crate::snapshot::SnapshotMeta;
use crate::types::{Entry, EntryPayload, HardState, LogId, LogIndex, NodeId, Term, Timestamp};

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    /// A number decides one thing that happens: usually something close to what could happen, so
    /// that all roles are reached.
    #[test]
    fn no_input_in_any_order_makes_a_server_panic(
        start in any::<u64>(),
        happenings in prop::collection::vec(any::<u64>(), 1..120),
    ) {
        let mut world = Stage::new(start);
        for happening in happenings {
            world.happen(Draw(Rng::new(happening)));
        }
    }
}

/// One server, and what its driver remembers.
struct Stage {
    raft: Raft,
    now: Timestamp,
    handed_out: WriteSeq,
    fetches: Vec<Fetch>,
    install: Option<Install>,
    read: ReadId,
}

impl Stage {
    fn new(start: u64) -> Self {
        let mut draw = Draw(Rng::new(start));
        let mut config = Config::new(n(1));
        config.append_bytes_max = draw.pick(&[1, 200, 1 << 20]);
        config.in_flight_messages_max = draw.pick(&[1, 2, 256]);
        config.uncommitted_bytes_max = draw.pick(&[1, 300, 64 << 20]);
        config.lease = draw.pick(&[None, Some(Lease { drift_ppm_max: 0, slack: Duration::ZERO })]);
        config.priority = draw.pick(&[0, 100, 255]);
        config.tail_bytes_max = draw.pick(&[0, 200, 16 << 20]);
        let (now, restored) = (Timestamp::default(), draw.restored());
        let accepting = Restored { on_loss: OnLoss::Accept, ..restored.clone() };
        let mut raft = Raft::new(config.clone(), restored, start, now)
            .or_else(|_refused| Raft::new(config, accepting, start, now))
            .unwrap();
        let read = raft.read(now, ReadLevel::Linearizable).unwrap();
        let (handed_out, fetches) = (WriteSeq::default(), Vec::new());
        Self { raft, now, handed_out, fetches, install: None, read }
    }

    fn happen(&mut self, mut draw: Draw) {
        match draw.below(27) {
            0 => self.now = self.now.after(Duration::from_millis(draw.below(2_500))),
            1 | 2 => {
                self.now = self.raft.next_deadline().min(self.now.after(Duration::from_secs(3)));
                self.raft.step(self.now, Input::Timeout);
            }
            3 => self.raft.step(self.now, Input::Timeout),
            4 | 5 => self.raft.step(self.now, Input::Persisted(self.handed_out)),
            6 => {
                let last = self.handed_out.get();
                let seq = draw.pick(&[0, 1, last.saturating_sub(1), last + 1, u64::MAX]);
                self.raft.step(self.now, Input::Persisted(WriteSeq::new(seq)));
            }
            7 => {
                let fetch = match self.fetches.pop() {
                    Some(fetch) => fetch,
                    None => draw.fetch(&self.raft),
                };
                let before = LogId::new(draw.term(&self.raft), fetch.from.prev());
                let entries = draw.entries(&self.raft, before);
                self.raft.step(self.now, Input::Fetched { fetch, entries });
            }
            8 => self.raft.step(self.now, Input::Unreachable(draw.peer())),
            9 => {
                let level = draw.pick(&[
                    ReadLevel::Linearizable,
                    ReadLevel::Lease,
                    ReadLevel::AtLeast(LogIndex::new(5)),
                    ReadLevel::BoundedStale(Duration::from_secs(1)),
                ]);
                self.read = self.raft.read(self.now, level).unwrap_or(self.read);
            }
            17 => {
                let id = draw.peer();
                let change = match draw.below(4) {
                    0 => MembershipChange::new().add_voter(id, ""),
                    1 => MembershipChange::new().remove(id),
                    2 => MembershipChange::new().demote(id),
                    _ => MembershipChange::new().promote(id),
                };
                let _refused = self.raft.change_membership(self.now, &change);
            }
            11 => {
                let to = draw.peer();
                let _refused = self.raft.transfer(self.now, to);
            }
            10 => {
                let commands: Vec<_> =
                    (0..draw.below(3)).map(|_| Bytes::from_static(b"x")).collect();
                let _refused = self.raft.propose_batch(self.now, commands);
            }
            14 => {
                let snapshot = draw.snapshot(&self.raft, self.install.as_ref());
                let input = match draw.below(4) {
                    0 => Input::SnapshotFailed { last: snapshot.last },
                    1 => Input::SnapshotInstalled(snapshot),
                    _ => Input::SnapshotTaken(snapshot),
                };
                self.raft.step(self.now, input);
            }
            15 => self.raft.step(self.now, Input::StorageFull),
            16 => self.raft.step(self.now, Input::StorageAvailable),
            12 => {
                let upto = draw.index(&self.raft);
                let _refused = self.raft.compact(self.now, upto);
            }
            13 => {
                let snapshot = self.install.take().map(|install| install.snapshot);
                let snapshot = snapshot.unwrap_or_else(|| draw.snapshot(&self.raft, None));
                self.raft.step(self.now, Input::SnapshotInstalled(snapshot));
            }
            _ => {
                let message = draw.message(&self.raft, self.read);
                self.raft.step(self.now, Input::Message(message));
            }
        }
        if draw.below(4) > 0 {
            while let Some(output) = self.raft.poll_output() {
                self.handed_out = output.write.map_or(self.handed_out, |write| write.seq);
                self.fetches.extend(output.fetches);
                self.install = output.install.or_else(|| self.install.take());
            }
        }
    }
}

/// Draws what is likely to matter to a server as it is.
struct Draw(Rng);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next() % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(u64::try_from(from.len()).unwrap());
        from[usize::try_from(at).unwrap()]
    }

    /// Members, a learner and strangers.
    fn peer(&mut self) -> NodeId {
        n(self.pick(&[2, 2, 2, 3, 3, 3, 4, 5, 99, 1]))
    }

    fn restored(&mut self) -> Restored {
        let hard_state = HardState { term: Term::new(4), vote: self.pick(&[None, Some(n(1))]) };
        let membership = self.membership();
        match self.below(3) {
            0 => Restored::bootstrap(membership),
            1 => {
                let first = membership_entry(1, 1, membership);
                let entries = [first, entry(2, 2), entry(3, 2), entry(4, 4)].to_vec();
                let restored = Restored::from_entries(hard_state, entries).unwrap();
                let restored = Restored { is_in_doubt: self.below(4) == 0, ..restored };
                if self.below(2) == 0 { restored } else { self.damage(restored) }
            }
            _ => Restored {
                hard_state,
                base: id(10, 3),
                term_starts: Vec::from([id(12, 4)]),
                last: id(13, 4),
                tail: Vec::from([entry(13, 4)]),
                memberships: Vec::new(),
                faulty: Vec::new(),
                is_in_doubt: self.below(4) == 0,
                on_loss: OnLoss::Refuse,
                snapshot: Some(SnapshotMeta {
                    last: self.pick(&[id(10, 3), id(11, 3), id(12, 4), id(14, 4)]),
                    membership_id: id(1, 1),
                    membership,
                }),
            },
        }
    }

    /// Some of the entries cannot be read.
    fn damage(&mut self, restored: Restored) -> Restored {
        let first = LogIndex::new(self.pick(&[2, 3, 4]));
        let last = self.pick(&[first, LogIndex::new(4)]);
        let term = self.pick(&[None, restored.tail.iter().find(|e| e.id.index == first)]);
        let faulty = Faulty { first, last: Some(last), term: term.map(|entry| entry.id.term) };
        let tail = restored.tail.iter().filter(|entry| entry.id.index > last).cloned().collect();
        Restored { faulty: Vec::from([faulty]), tail, ..restored }
    }

    fn membership(&mut self) -> Membership {
        let of = |ids: &[u64]| Voters::new(ids.iter().copied().map(n)).unwrap();
        let (quorum, learners) = match self.below(6) {
            0 => (Quorum::Majority(of(&[1])), BTreeSet::new()),
            1 => (Quorum::Majority(of(&[2, 3])), BTreeSet::from([n(1)])),
            2 => {
                let (incoming, outgoing) = (of(&[1, 2]), of(&[2, 3]));
                (Quorum::Joint { incoming, outgoing }, BTreeSet::from([n(4)]))
            }
            3 => (Quorum::Majority(of(&[7])), BTreeSet::new()),
            _ => (Quorum::Majority(of(&[1, 2, 3])), BTreeSet::from([n(4)])),
        };
        Membership::new(quorum, learners, BTreeMap::new()).unwrap()
    }

    fn term(&mut self, raft: &Raft) -> Term {
        let ours = raft.status().hard_state.term.get();
        Term::new(match self.below(40) {
            0 => 0,
            1 => u64::MAX,
            2 => (1 << 62) - 1,
            3..8 => ours.saturating_sub(1 + self.below(2)),
            8..14 => ours.saturating_add(1 + self.below(2)),
            _ => ours,
        })
    }

    fn index(&mut self, raft: &Raft) -> LogIndex {
        let status = raft.status();
        let around = self.pick(&[status.last.index, status.commit, status.base.index]).get();
        LogIndex::new(match self.below(30) {
            0 => 0,
            1 => u64::MAX,
            2..12 => around.saturating_sub(self.below(4)),
            12..16 => around + self.below(4),
            _ => around,
        })
    }

    fn log_id(&mut self, raft: &Raft) -> LogId {
        let index = self.index(raft);
        let ours = raft.log_id_at(index).filter(|_| self.below(4) > 0);
        ours.unwrap_or_else(|| LogId::new(Term::new(self.below(6)), index))
    }

    fn entries(&mut self, raft: &Raft, before: LogId) -> Vec<Entry> {
        let ours = raft.status().hard_state.term;
        let len = self.pick(&[0, 1, 2, 4]);
        let mut last = before;
        let one = |_| {
            let index = if self.below(20) == 0 { self.index(raft) } else { last.index.next() };
            let term = match self.below(6) {
                0 => self.term(raft),
                1 | 2 => last.term,
                _ => last.term.max(ours),
            };
            let known = raft.log_id_at(index).filter(|_| self.below(2) == 0);
            last = known.unwrap_or_else(|| LogId::new(term, index));
            let payload = match self.below(6) {
                0 => membership_entry(1, 1, self.membership()).payload,
                1 => EntryPayload::Noop,
                _ => EntryPayload::Command(Bytes::from_static(b"x")),
            };
            Entry { id: last, payload }
        };
        (0..len).map(one).collect()
    }

    fn fetch(&mut self, raft: &Raft) -> Fetch {
        let (from, upto) = (self.index(raft), self.index(raft));
        let purpose = self.pick(&[FetchPurpose::Append, FetchPurpose::Repair]);
        Fetch { peer: self.peer(), from, upto, bytes_max: self.pick(&[0, 1 << 20]), purpose }
    }

    /// A snapshot: one that could be taken, the one that was asked for, or any.
    fn snapshot(&mut self, raft: &Raft, install: Option<&Install>) -> SnapshotMeta {
        let own = raft.describe_snapshot(self.index(raft)).filter(|_| self.below(4) > 0);
        let asked = install.filter(|_| self.below(2) == 0).map(|i| i.snapshot.clone());
        own.or(asked).unwrap_or_else(|| SnapshotMeta {
            last: self.log_id(raft),
            membership_id: id(1, 1),
            membership: self.membership(),
        })
    }

    fn message(&mut self, raft: &Raft, read: ReadId) -> Message {
        let to = if self.below(20) == 0 { n(2) } else { n(1) };
        let mut term = self.term(raft);
        let body = self.body(raft, read);
        if matches!(body, Body::PreVoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt))
            && self.below(4) > 0
        {
            term = raft.status().hard_state.term.next();
        }
        Message { from: self.peer(), to, term, body }
    }

    fn body(&mut self, raft: &Raft, read: ReadId) -> Body {
        let in_doubt = VoteReply::GrantedInDoubt;
        let granted = VoteReply::Granted;
        let reply = self.pick(&[granted, granted, in_doubt, VoteReply::Denied]);
        let round = ReadRound::new(self.pick(&[0, 1, 2, u64::MAX]));
        let (session, position) = (read.session(), self.pick(&[0, 1, 2, u64::MAX]));
        let upto = self.pick(&[read, read, ReadId::new(session, position), ReadId::new(7, 1)]);
        match self.below(22) {
            0..3 => {
                let prev = self.log_id(raft);
                let entries = self.entries(raft, prev);
                Body::AppendEntries(AppendEntries {
                    prev,
                    entries: entries.into(),
                    commit: self.index(raft),
                })
            }
            3 => Body::AppendReply(AppendReply::Accepted { matched: self.index(raft) }),
            4 => {
                let (prev, hint) = (self.index(raft), self.log_id(raft));
                Body::AppendReply(AppendReply::Rejected { prev, hint })
            }
            5 => Body::Heartbeat(Heartbeat { commit: self.index(raft), round }),
            6 => Body::CommitNotice(CommitNotice { commit: self.index(raft) }),
            7 => {
                let installing = Some(self.index(raft)).filter(|_| self.below(2) == 0);
                let room = self.pick(&[Room::Enough, Room::None]);
                let last = self.log_id(raft);
                Body::HeartbeatReply(HeartbeatReply { round, installing, last, room })
            }
            8 => Body::PreVote(RequestVote { last: self.log_id(raft) }),
            9 => Body::PreVoteReply(reply),
            10 => Body::RequestVote(RequestVote { last: self.log_id(raft) }),
            11 => Body::VoteReply(reply),
            12 => Body::ReadIndex(ReadIndex { upto }),
            13 => Body::TransferVote(RequestVote { last: self.log_id(raft) }),
            14 => Body::TimeoutNow,
            15 => Body::InstallSnapshot(Box::new(self.snapshot(raft, None))),
            16 => {
                let (first, upto) = (self.log_id(raft), self.index(raft));
                Body::RepairRequest(RepairRequest { first, upto })
            }
            17 => {
                let before = self.log_id(raft);
                Body::RepairReply(RepairReply { entries: self.entries(raft, before) })
            }
            18 => Body::Removed(Removed { by: self.log_id(raft) }),
            19 => Body::EndRequest(EndRequest { session, last: self.log_id(raft) }),
            20 => {
                let session = self.pick(&[session, 7]);
                Body::EndReply(EndReply { session, last: self.index(raft) })
            }
            _ => Body::ReadIndexReply(ReadIndexReply { upto, index: self.index(raft) }),
        }
    }
}
