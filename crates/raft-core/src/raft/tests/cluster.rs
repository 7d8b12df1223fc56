//! A cluster without network, disk or clock: everything happens when a test says so.
//!
//! Whatever a test does, no message may leave before what it promises is durable, no commit before
//! its entries are durable, and no leader may remove entries: [`Cluster`] checks that on every
//! output.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use crate::config::Config;
use crate::error::{ChangeError, ProposeError, ReadError};
use crate::event::{Event, PeerFault, RoleKind};
use crate::io::{Fetch, Input, Install, Output, ReadLevel, ReadReady, Write};
use crate::membership::{Membership, MembershipChange};
use crate::message::{
    AppendEntries, AppendReply, Body, Heartbeat, HeartbeatReply, Message, ReadId, ReadRound,
    RequestVote, Room, VoteReply,
};
use crate::raft::Raft;
use crate::restored::{Faulty, Restored};
use crate::snapshot::SnapshotMeta;
use crate::types::{Entry, EntryPayload, HardState, LogId, LogIndex, NodeId, Term, Timestamp};

/// Servers, the messages between them, and their disks.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) now: Timestamp,
    pub(super) servers: BTreeMap<NodeId, Server>,
    /// Messages that were sent and have not arrived, the oldest first.
    pub(super) wire: VecDeque<Message>,
    /// Links that lose everything, from sender to receiver.
    pub(super) cut: BTreeSet<(NodeId, NodeId)>,
    /// Servers whose writes [`Cluster::settle`] leaves alone.
    slow: BTreeSet<NodeId>,
    /// By how many parts in a million clocks run too fast.
    pub(super) drift: BTreeMap<NodeId, i64>,
    /// Every snapshot that was ever taken.
    snapshots: BTreeMap<LogId, Snapshot>,
    starts: u64,
}

/// One server, what it has on disk, and what it asked for.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) raft: Raft,
    pub(super) config: Config,
    pub(super) is_up: bool,
    /// What survives a crash.
    pub(super) disk: Disk,
    /// All entries as the core has them, from the first one on: what will be on disk after all
    /// writes. The state machine is the same list, so those that were compacted stay in it.
    pub(super) log: Vec<Entry>,
    /// The last entry that the log itself has forgotten.
    pub(super) base: LogIndex,
    /// Writes that are not durable yet, the oldest first.
    pub(super) writes: VecDeque<Write>,
    pub(super) fetches: VecDeque<Fetch>,
    /// The snapshot that is to be installed.
    pub(super) install: Option<Install>,
    pub(super) applied: LogIndex,
    pub(super) reads: Vec<ReadReady>,
    pub(super) events: Vec<Event>,
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) hard_state: HardState,
    /// The entries, those that were compacted included: they are in the snapshot.
    pub(super) log: Vec<Entry>,
    /// The last entry that was compacted.
    pub(super) base: LogId,
    pub(super) snapshot: Option<Snapshot>,
    /// Entries that a start could not read.
    pub(super) faulty: BTreeSet<LogIndex>,
    /// The entries before the newest write, if that changed nothing else but them.
    pub(super) before: Option<Vec<Entry>>,
    /// Whether the newest write may be lost.
    pub(super) is_in_doubt: bool,
    /// What a server knows that joins with an empty log.
    members: Membership,
}

/// A snapshot: the state of a state machine is the entries that it has applied.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) meta: SnapshotMeta,
    pub(super) entries: Vec<Entry>,
}

impl Cluster {
    /// Founding members 1 to `size`, each with nothing but the membership in its log.
    pub(super) fn new(size: u64) -> Self {
        Self::with(size, |_| {})
    }

    /// Like [`Cluster::new`], with other than the default configuration.
    pub(super) fn with(size: u64, configure: impl Fn(&mut Config)) -> Self {
        Self::of(voters(size), configure)
    }

    pub(super) fn of(membership: Membership, configure: impl Fn(&mut Config)) -> Self {
        let logs = membership.members().map(|_| Vec::new()).collect();
        Self::with_logs(membership, Term::new(1), logs, configure)
    }

    /// Servers that restarted in `term` with the membership and then commands of the given terms
    /// in their logs.
    pub(super) fn with_logs(
        membership: Membership,
        term: Term,
        logs: Vec<Vec<u64>>,
        configure: impl Fn(&mut Config),
    ) -> Self {
        let founding = Restored::bootstrap(membership.clone());
        let servers = membership.members().zip(logs).map(|(id, terms)| {
            let commands = terms.into_iter().zip(2..).map(|(term, index)| entry(index, term));
            let log: Vec<_> = founding.tail.iter().cloned().chain(commands).collect();
            let hard_state = HardState { term, vote: None };
            let members = membership.clone();
            let (base, faulty) = (LogId::ZERO, BTreeSet::new());
            let (before, is_in_doubt) = (None, false);
            let disk = Disk {
                hard_state,
                log,
                base,
                snapshot: None,
                faulty,
                before,
                is_in_doubt,
                members,
            };
            let mut config = Config::new(id);
            configure(&mut config);
            (id, Server::start(config, disk, usize::MAX, id.get(), Timestamp::default()))
        });
        Self {
            now: Timestamp::default(),
            servers: servers.collect(),
            wire: VecDeque::new(),
            cut: BTreeSet::new(),
            slow: BTreeSet::new(),
            drift: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            starts: 100,
        }
    }

    /// Starts a server that is no member, with an empty log.
    pub(super) fn join(&mut self, id: u64) {
        let model = self.servers.values().next().unwrap();
        let config = Config { id: n(id), ..model.config.clone() };
        let disk = Disk {
            hard_state: HardState::default(),
            log: Vec::new(),
            base: LogId::ZERO,
            snapshot: None,
            faulty: BTreeSet::new(),
            before: None,
            is_in_doubt: false,
            members: model.disk.members.clone(),
        };
        self.starts += 1;
        let server = Server::start(config, disk, usize::MAX, self.starts, self.clock(id));
        self.servers.insert(n(id), server);
    }

    /// Three servers that restarted in `term`, all with the same log.
    pub(super) fn of_three_with(term: u64, terms: &[u64]) -> Self {
        let logs = Vec::from([terms.to_vec(), terms.to_vec(), terms.to_vec()]);
        Self::with_logs(voters(3), Term::new(term), logs, |_| {})
    }

    pub(super) fn server(&self, id: u64) -> &Server {
        &self.servers[&n(id)]
    }

    pub(super) fn raft(&self, id: u64) -> &Raft {
        &self.server(id).raft
    }

    pub(super) fn role(&self, id: u64) -> RoleKind {
        self.raft(id).status().role
    }

    pub(super) fn term(&self, id: u64) -> Term {
        self.raft(id).status().hard_state.term
    }

    pub(super) fn commit(&self, id: u64) -> LogIndex {
        self.raft(id).status().commit
    }

    /// Index of the last entry.
    pub(super) fn last(&self, id: u64) -> LogIndex {
        self.raft(id).status().last.index
    }

    pub(super) fn applied(&self, id: u64) -> LogIndex {
        self.server(id).applied
    }

    /// Highest index that a leader knows to be on a follower.
    pub(super) fn matched(&self, leader: u64, follower: u64) -> LogIndex {
        let followers = self.raft(leader).followers();
        followers.iter().find(|f| f.id == n(follower)).unwrap().matched
    }

    pub(super) fn step(&mut self, id: u64, input: Input) {
        let now = self.clock(id);
        self.on(n(id), |raft| raft.step(now, input));
    }

    /// Does something to a server, and takes what comes out.
    pub(super) fn on<T>(&mut self, id: NodeId, act: impl FnOnce(&mut Raft) -> T) -> T {
        let server = self.servers.get_mut(&id).unwrap();
        let answer = act(&mut server.raft);
        while let Some(output) = server.raft.poll_output() {
            self.wire.extend(server.take(output));
        }
        // One who looks although nothing has happened since finds nothing.
        server.raft.common.advance_clock(server.raft.common.now());
        assert_eq!(server.raft.poll_output(), None);
        answer
    }

    /// Lets the server's deadline pass.
    pub(super) fn time_out(&mut self, id: u64) {
        self.now = self.now.max(self.true_time(id, self.raft(id).next_deadline()));
        self.step(id, Input::Timeout);
    }

    /// Lets the server's deadline pass, if it has one.
    pub(super) fn time_out_if_ever(&mut self, id: u64) {
        if self.raft(id).next_deadline() != Timestamp::NEVER {
            self.time_out(id);
        }
    }

    /// Lets an election timeout pass in which nothing happens.
    pub(super) fn silence(&mut self) {
        self.pass(self.servers.values().next().unwrap().config.election_timeout);
    }

    pub(super) fn pass(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
    }

    /// Has `leader` send its heartbeats.
    pub(super) fn heartbeat(&mut self, leader: u64) {
        self.pass(self.server(leader).config.heartbeat_interval);
        self.step(leader, Input::Timeout);
    }

    /// Makes a server leader, with everyone's disk and network at their best.
    pub(super) fn elect(&mut self, id: u64) {
        self.silence();
        self.time_out(id);
        self.settle();
        assert_eq!(self.role(id), RoleKind::Leader);
    }

    pub(super) fn propose(&mut self, id: u64, command: &str) -> Result<LogId, ProposeError> {
        let (now, command) = (self.clock(id), Bytes::copy_from_slice(command.as_bytes()));
        self.on(n(id), |raft| raft.propose(now, command))
    }

    pub(super) fn change(
        &mut self,
        id: u64,
        change: &MembershipChange,
    ) -> Result<LogId, ChangeError> {
        let now = self.clock(id);
        self.on(n(id), |raft| raft.change_membership(now, change))
    }

    pub(super) fn read(&mut self, id: u64) -> ReadId {
        self.read_at(id, ReadLevel::Linearizable).unwrap()
    }

    pub(super) fn read_at(&mut self, id: u64, level: ReadLevel) -> Result<ReadId, ReadError> {
        let now = self.clock(id);
        self.on(n(id), |raft| raft.read(now, level))
    }

    /// What a server's clock shows.
    pub(super) fn clock(&self, id: u64) -> Timestamp {
        scale(self.now, self.rate(id), MILLION)
    }

    /// When a server's clock shows `local`.
    pub(super) fn true_time(&self, id: u64, local: Timestamp) -> Timestamp {
        scale(local, MILLION, self.rate(id))
    }

    fn rate(&self, id: u64) -> u64 {
        MILLION.strict_add_signed(self.drift.get(&n(id)).copied().unwrap_or(0))
    }

    /// Delivers messages, makes writes durable and answers fetches until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            let ids: Vec<_> = self.servers.keys().copied().collect();
            for id in ids {
                if !self.slow.contains(&id) {
                    self.sync(id.get());
                }
                self.answer_fetches(id.get());
            }
            let Some(message) = self.wire.pop_front() else { return };
            self.deliver(message);
        }
        panic!("the cluster never comes to rest");
    }

    /// Delivers messages for which `wanted` holds, and what they lead to, but nothing else; no
    /// write becomes durable.
    pub(super) fn deliver_where(&mut self, wanted: impl Fn(&Message) -> bool) {
        for _ in 0..10_000 {
            let Some(at) = self.wire.iter().position(&wanted) else { return };
            let message = self.wire.remove(at).unwrap();
            self.deliver(message);
        }
        panic!("the messages lead to ever more messages");
    }

    pub(super) fn deliver(&mut self, message: Message) {
        let is_cut = self.cut.contains(&(message.from, message.to));
        if !is_cut && self.servers.get(&message.to).is_some_and(|server| server.is_up) {
            self.step(message.to.get(), Input::Message(message));
        }
    }

    /// Takes the messages from `from` to `to` off the wire.
    pub(super) fn sent(&mut self, from: u64, to: u64) -> Vec<Body> {
        let wanted = |m: &Message| m.from == n(from) && m.to == n(to);
        let (wanted, rest) = self.wire.drain(..).partition::<Vec<_>, _>(wanted);
        self.wire = rest.into();
        wanted.into_iter().map(|m| m.body).collect()
    }

    /// Has `to` hear a message that nobody in the cluster has sent.
    pub(super) fn hear(&mut self, to: u64, from: u64, term: u64, body: Body) {
        let message = Message { from: n(from), to: n(to), term: Term::new(term), body };
        self.step(to, Input::Message(message));
    }

    /// Loses everything between two servers, both ways.
    pub(super) fn part(&mut self, a: u64, b: u64) {
        self.cut.extend([(n(a), n(b)), (n(b), n(a))]);
    }

    /// Loses everything to and from a server.
    pub(super) fn isolate(&mut self, id: u64) {
        let others: Vec<_> = self.servers.keys().map(|other| other.get()).collect();
        others.into_iter().filter(|&other| other != id).for_each(|other| self.part(id, other));
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(super) fn slow_down_disk(&mut self, id: u64) {
        self.slow.insert(n(id));
    }

    pub(super) fn speed_up_disk(&mut self, id: u64) {
        self.slow.remove(&n(id));
    }

    /// Makes all writes of a server durable.
    pub(super) fn sync(&mut self, id: u64) {
        while !self.server(id).writes.is_empty() {
            self.sync_one(id);
        }
    }

    /// Makes the oldest write of a server durable and says so.
    pub(super) fn sync_one(&mut self, id: u64) {
        let server = self.servers.get_mut(&n(id)).unwrap();
        let write = server.writes.pop_front().unwrap();
        let seq = write.seq;
        server.disk.carry_out(write);
        self.step(id, Input::Persisted(seq));
    }

    pub(super) fn answer_fetches(&mut self, id: u64) {
        let server = self.servers.get_mut(&n(id)).unwrap();
        for fetch in core::mem::take(&mut server.fetches) {
            let entries = self.server(id).read_log(fetch);
            self.step(id, Input::Fetched { fetch, entries });
        }
    }

    /// Takes a snapshot of what a server has applied, and says so.
    pub(super) fn take_snapshot(&mut self, id: u64) -> SnapshotMeta {
        let server = self.servers.get_mut(&n(id)).unwrap();
        let applied = server.applied;
        let meta = server.raft.describe_snapshot(applied).unwrap();
        let entries = server.log[..usize::try_from(applied.get()).unwrap()].to_vec();
        let snapshot = Snapshot { meta: meta.clone(), entries };
        self.snapshots.insert(meta.last, snapshot.clone());
        server.disk.snapshot = Some(snapshot);
        self.step(id, Input::SnapshotTaken(meta.clone()));
        meta
    }

    /// Fetches the snapshot that a server is to install, up to its being durable there; gives it.
    pub(super) fn fetch_snapshot(&mut self, id: u64) -> Option<SnapshotMeta> {
        let server = self.servers.get_mut(&n(id))?;
        let meta = server.install.take()?.snapshot;
        // The state machine is further already.
        if server.applied < meta.last.index {
            server.disk.snapshot = Some(self.snapshots[&meta.last].clone());
        }
        Some(meta)
    }

    /// Makes a snapshot that nobody in the cluster has taken.
    pub(super) fn lend_snapshot(&mut self, meta: &SnapshotMeta, entries: Vec<Entry>) {
        self.snapshots.insert(meta.last, Snapshot { meta: meta.clone(), entries });
    }

    /// Installs the snapshot that a server is to install, if any.
    pub(super) fn install(&mut self, id: u64) {
        let Some(meta) = self.fetch_snapshot(id) else { return };
        let server = self.servers.get_mut(&n(id)).unwrap();
        server.applied = server.applied.max(meta.last.index);
        self.step(id, Input::SnapshotInstalled(meta));
    }

    /// Gives up the snapshot that a server is to install, if any.
    pub(super) fn fail_install(&mut self, id: u64) {
        let install = self.servers.get_mut(&n(id)).unwrap().install.take();
        if let Some(Install { snapshot, .. }) = install {
            self.step(id, Input::SnapshotFailed { last: snapshot.last });
        }
    }

    /// Takes a snapshot of a server, and removes what it contains from the log.
    pub(super) fn compact(&mut self, id: u64) -> SnapshotMeta {
        let meta = self.take_snapshot(id);
        let (now, upto) = (self.clock(id), meta.last.index);
        self.on(n(id), |raft| raft.compact(now, upto)).unwrap();
        meta
    }

    /// Damages an entry on the disk of a server that is down.
    pub(super) fn damage(&mut self, id: u64, index: u64) {
        self.servers.get_mut(&n(id)).unwrap().disk.faulty.insert(i(index));
    }

    /// Removes the snapshot of a server that is down, and with it all that its log has forgotten.
    pub(super) fn lose_snapshot(&mut self, id: u64) {
        self.servers.get_mut(&n(id)).unwrap().disk.snapshot = None;
    }

    /// Puts the disk of a server that is down back to an earlier state of its log.
    pub(super) fn put_back(&mut self, id: u64, last: u64) {
        let disk = &mut self.servers.get_mut(&n(id)).unwrap().disk;
        disk.log.retain(|entry| entry.id.index <= i(last));
    }

    /// Puts back the disk of a server that is down, to hold these entries.
    pub(super) fn put_back_with(&mut self, id: u64, log: Vec<Entry>) {
        self.servers.get_mut(&n(id)).unwrap().disk.log = log;
    }

    /// Loses the newest write of a server that is down. It knows that it may have lost one.
    pub(super) fn lose_newest(&mut self, id: u64) {
        let disk = &mut self.servers.get_mut(&n(id)).unwrap().disk;
        disk.log = disk.before.take().expect("the newest write changed entries");
        disk.is_in_doubt = true;
    }

    /// Stops a server. What was not durable is lost.
    pub(super) fn crash(&mut self, id: u64) {
        self.servers.get_mut(&n(id)).unwrap().is_up = false;
    }

    /// Starts a server from its disk.
    pub(super) fn restart(&mut self, id: u64) {
        self.restart_with(id, usize::MAX);
    }

    /// Starts a server from its disk, with the last `tail` entries in memory.
    pub(super) fn restart_with(&mut self, id: u64, tail: usize) {
        self.starts += 1;
        let Server { config, disk, .. } = self.server(id).clone();
        self.servers.insert(n(id), Server::start(config, disk, tail, self.starts, self.clock(id)));
        // What its disk does not have in order it puts in order first.
        self.on(n(id), |_| {});
    }

    /// The faults that a server has seen.
    pub(super) fn faults(&self, id: u64) -> Vec<PeerFault> {
        let fault = |event: &Event| {
            if let Event::PeerFaulted { fault, .. } = event { Some(*fault) } else { None }
        };
        self.server(id).events.iter().filter_map(fault).collect()
    }
}

const MILLION: u64 = 1_000_000;

/// Rounded up, so that a deadline has come when its time has.
fn scale(at: Timestamp, numerator: u64, denominator: u64) -> Timestamp {
    if at == Timestamp::NEVER || numerator == denominator {
        return at;
    }
    Timestamp::from_micros((at.as_micros() * numerator).div_ceil(denominator))
}

impl Server {
    fn start(config: Config, disk: Disk, tail: usize, seed: u64, now: Timestamp) -> Self {
        let restored = disk.restored(tail);
        let applied = disk.snapshot.as_ref().map_or(LogIndex::ZERO, |s| s.meta.last.index);
        Self {
            raft: Raft::new(config.clone(), restored, seed, now).unwrap(),
            config,
            is_up: true,
            log: disk.log.clone(),
            base: disk.base.index,
            disk,
            writes: VecDeque::new(),
            fetches: VecDeque::new(),
            install: None,
            applied,
            reads: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes one output; gives the messages.
    fn take(&mut self, output: Output) -> Vec<Message> {
        let Output { write, messages, commit, install, fetches, reads, events } = output;
        if let Some(write) = write {
            let leads = self.raft.status().role == RoleKind::Leader;
            assert!(!leads || write.truncate.is_none(), "a leader only appends");
            let snapshot = self.disk.snapshot.as_ref();
            let base = carry_out(&mut self.log, &write, snapshot);
            self.base = base.map_or(self.base, |base| base.index);
            self.writes.push_back(write);
        }
        if let Some(commit) = commit {
            assert!(commit > self.applied, "a commit is handed out once");
            let snapshot = self.disk.snapshot.as_ref().map(|s| s.meta.last.index);
            let durable = last_of(&self.disk.log).max(snapshot.unwrap_or_default());
            assert!(commit <= durable, "what is applied is durable");
            let readable = self.disk.faulty.range(self.applied.next()..=commit).next().is_none();
            assert!(readable, "what is applied can be read");
            self.applied = commit;
        }
        messages.iter().for_each(|message| self.check_promise(message));
        self.fetches.extend(fetches);
        self.install = install.or_else(|| self.install.take());
        self.reads.extend(reads);
        self.events.extend(events);
        messages
    }

    /// No message leaves before what it promises is durable.
    fn check_promise(&self, message: &Message) {
        let &Message { from, to, term, ref body } = message;
        let HardState { term: durable_term, vote } = self.disk.hard_state;
        let voted_for = |id| durable_term > term || (durable_term == term && vote == Some(id));
        let kept = match body {
            Body::RequestVote(_) | Body::TransferVote(_) => voted_for(from),
            Body::VoteReply(VoteReply::Granted | VoteReply::GrantedInDoubt) => voted_for(to),
            Body::AppendReply(AppendReply::Accepted { matched }) => {
                // A later leader may have taken back what an earlier one was promised.
                let is_past = self.raft.status().hard_state.term > term;
                let base = self.base.min(*matched);
                let lost = self.disk.faulty.range(base.next()..=*matched.max(&base.next()));
                assert!(
                    lost.clone().all(|lost| lost > matched),
                    "what is acknowledged can be read"
                );
                let upto = usize::try_from(matched.get()).unwrap();
                durable_term >= term
                    && (is_past || self.disk.log.get(..upto) == self.log.get(..upto))
            }
            Body::VoteReply(VoteReply::Denied)
            | Body::AppendReply(AppendReply::Rejected { .. })
            | Body::HeartbeatReply(_) => durable_term >= term,
            Body::AppendEntries(_)
            | Body::Heartbeat(_)
            | Body::CommitNotice(_)
            | Body::InstallSnapshot(_)
            | Body::EndRequest(_)
            | Body::EndReply(_)
            | Body::RepairRequest(_)
            | Body::RepairReply(_)
            | Body::PreVote(_)
            | Body::PreVoteReply(_)
            | Body::TimeoutNow
            | Body::Removed(_)
            | Body::ReadIndex(_)
            | Body::ReadIndexReply(_) => true,
        };
        assert!(kept, "{message:?} promises what is not durable: {:?}", self.disk);
    }

    /// The answer to a fetch.
    pub(super) fn read_log(&self, fetch: Fetch) -> Vec<Entry> {
        let Fetch { peer: _, from, upto, bytes_max, purpose: _ } = fetch;
        if from <= self.base {
            return Vec::new();
        }
        let lost = self.disk.faulty.range(from..).next();
        let upto = lost.map_or(upto, |lost| upto.min(lost.prev()));
        let wanted = self.log.iter().filter(|e| from <= e.id.index && e.id.index <= upto);
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.payload.command_len();
            entry.id.index == from || bytes <= bytes_max
        };
        wanted.take_while(fits).cloned().collect()
    }
}

impl Disk {
    pub(super) fn carry_out(&mut self, write: Write) {
        let is_of_log = write.reset.is_none() && write.compact.is_none() && write.repair.is_empty();
        self.before = is_of_log.then(|| self.log.clone());
        self.is_in_doubt &= !write.settles_doubt;
        self.hard_state = write.hard_state.unwrap_or(self.hard_state);
        let base = carry_out(&mut self.log, &write, self.snapshot.as_ref());
        self.base = base.unwrap_or(self.base);
        self.faulty = self.faulty.split_off(&self.base.index.next());
        if let Some(from) = write.truncate {
            self.faulty.split_off(&from);
        }
        for entry in write.repair {
            let at = usize::try_from(entry.id.index.prev().get()).unwrap();
            assert_eq!(self.log[at], entry, "what is given back is what was lost");
            self.faulty.remove(&entry.id.index);
        }
        if write.reset.is_some() {
            self.faulty.clear();
        }
    }

    /// Whether an entry would be found by a start, in the log or in the snapshot.
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let at = usize::try_from(entry.id.index.prev().get()).unwrap();
        let in_snapshot = self.snapshot.as_ref().and_then(|snapshot| snapshot.entries.get(at));
        let in_log = self.log.get(at).filter(|_| !self.faulty.contains(&entry.id.index));
        in_log == Some(entry) || in_snapshot == Some(entry)
    }

    /// What a start finds, with the last `tail` entries in memory.
    pub(super) fn restored(&self, tail: usize) -> Restored {
        let Self { hard_state, log, base, snapshot, faulty, before: _, is_in_doubt, members } =
            self;
        let is_in_doubt = *is_in_doubt;
        if log.is_empty() && snapshot.is_none() {
            let joining = Restored::joining(members.clone());
            return Restored { hard_state: *hard_state, is_in_doubt, ..joining };
        }
        let mut restored = Restored::from_entries(*hard_state, log.clone()).unwrap();
        restored.is_in_doubt = is_in_doubt;
        restored.base = *base;
        restored.snapshot = snapshot.as_ref().map(|snapshot| snapshot.meta.clone());
        restored.term_starts.retain(|start| start.index > base.index);
        restored.memberships.retain(|(id, _)| id.index > base.index);
        let readable = faulty.last().copied().unwrap_or_default().max(base.index);
        restored.tail.retain(|entry| entry.id.index > readable);
        restored.memberships.retain(|(id, _)| !faulty.contains(&id.index));
        let one = |index: &LogIndex| {
            let at = usize::try_from(index.prev().get()).unwrap();
            Faulty { first: *index, last: Some(*index), term: Some(log[at].id.term) }
        };
        restored.faulty = faulty.iter().map(one).collect();
        if snapshot.is_none() && base.index > LogIndex::ZERO {
            let before = Faulty { first: i(1), last: Some(base.index), term: None };
            restored.faulty.insert(0, before);
            let founding = Restored::from_entries(*hard_state, log.clone()).unwrap().memberships;
            restored.memberships.insert(0, founding[0].clone());
        }
        restored.tail.drain(..restored.tail.len().saturating_sub(tail));
        restored
    }
}

/// Gives the new base, if it moves.
fn carry_out(log: &mut Vec<Entry>, write: &Write, snapshot: Option<&Snapshot>) -> Option<LogId> {
    if let Some(last) = write.reset {
        // A newer one has what an older one had.
        let state = snapshot.map_or(&[][..], |snapshot| &snapshot.entries);
        *log = state.iter().take_while(|entry| entry.id.index <= last.index).cloned().collect();
        let durable = log.last().is_some_and(|entry| entry.id == last);
        assert!(durable, "a log is given up for a snapshot that is durable");
    }
    if let Some(from) = write.truncate {
        log.retain(|entry| entry.id.index < from);
    }
    log.extend(write.append.iter().cloned());
    assert!(log.iter().zip(1..).all(|(e, i)| e.id.index.get() == i), "logs have no gaps");
    write.compact.or(write.reset)
}

pub(super) fn last_of(log: &[Entry]) -> LogIndex {
    log.last().map_or(LogIndex::ZERO, |entry| entry.id.index)
}

pub(super) fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}

pub(super) fn i(index: u64) -> LogIndex {
    LogIndex::new(index)
}

pub(super) fn id(index: u64, term: u64) -> LogId {
    LogId::new(Term::new(term), i(index))
}

/// Voters 1 to `size`.
pub(super) fn voters(size: u64) -> Membership {
    Membership::of_voters((1..=size).map(|id| (n(id), ""))).unwrap()
}

/// A command that says where it was made.
pub(super) fn entry(index: u64, term: u64) -> Entry {
    let command = Bytes::from([index.to_le_bytes(), term.to_le_bytes()].concat());
    Entry { id: id(index, term), payload: EntryPayload::Command(command) }
}

pub(super) fn membership_entry(index: u64, term: u64, membership: Membership) -> Entry {
    Entry { id: id(index, term), payload: EntryPayload::Membership(Box::new(membership)) }
}

/// AppendEntries with `entries` after `prev`.
pub(super) fn append(
    prev: LogId,
    entries: impl IntoIterator<Item = Entry>,
    commit: LogIndex,
) -> Body {
    Body::AppendEntries(AppendEntries { prev, entries: entries.into_iter().collect(), commit })
}

pub(super) fn accepted(matched: u64) -> Body {
    Body::AppendReply(AppendReply::Accepted { matched: i(matched) })
}

pub(super) fn rejected(prev: u64, hint: LogId) -> Body {
    Body::AppendReply(AppendReply::Rejected { prev: i(prev), hint })
}

pub(super) fn heartbeat(commit: u64) -> Body {
    Body::Heartbeat(Heartbeat { commit: i(commit), round: ReadRound::default() })
}

/// The answer of a follower whose log is long.
pub(super) fn heartbeat_reply(round: u64) -> Body {
    heartbeat_reply_at(round, 1 << 20)
}

/// The answer of a follower whose log ends at `last`, with an entry of a late term.
pub(super) fn heartbeat_reply_at(round: u64, last: u64) -> Body {
    heartbeat_reply_with(round, id(last, 1 << 20))
}

/// The answer of a follower whose log ends with `last`.
pub(super) fn heartbeat_reply_with(round: u64, last: LogId) -> Body {
    let round = ReadRound::new(round);
    Body::HeartbeatReply(HeartbeatReply { round, installing: None, last, room: Room::Enough })
}

pub(super) fn pre_vote(last: LogId) -> Body {
    Body::PreVote(RequestVote { last })
}

pub(super) fn request_vote(last: LogId) -> Body {
    Body::RequestVote(RequestVote { last })
}

pub(super) const GRANTED: Body = Body::VoteReply(VoteReply::Granted);
pub(super) const GRANTED_IN_DOUBT: Body = Body::VoteReply(VoteReply::GrantedInDoubt);
pub(super) const DENIED: Body = Body::VoteReply(VoteReply::Denied);
pub(super) const PRE_GRANTED: Body = Body::PreVoteReply(VoteReply::Granted);
pub(super) const PRE_DENIED: Body = Body::PreVoteReply(VoteReply::Denied);
