//! Everything a node decides, without any I/O.
//!
//! The driver stands between the protocol and the world: it matches replies to callers, forwards
//! commands to the leader, orders what is applied and what is read, and gives up on callers that
//! have waited too long. It takes inputs and yields [`Requests`]; a shell carries them out. The same
//! code runs under tokio and in simulation.

mod apply;
mod changes;
mod forwards;
mod proposals;
mod reads;
mod snapshots;
#[cfg(test)]
mod tests;
mod transfers;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Event, Fetch, Input, LogId, LogIndex, MembershipChange, Message, NodeId, Output, ProposeError,
    Raft, ReadError, ReadLevel, Timestamp, Write,
};
use raft_net::{Forward, ForwardOutcome, ForwardReply, Packet};
use raft_snapshot::{Progress, Serving};

use self::apply::ApplyQueue;
use self::apply::weight;
pub use self::apply::{Entries, Job};
pub use self::changes::ChangeRefusal;
use self::changes::Changes;
use self::forwards::{Forwards, Held};
use self::proposals::{Parked, Waiting};
use self::reads::Reads;
use self::snapshots::{Received, Snapshots};
pub use self::snapshots::{
    Sending, SnapshotDone, SnapshotOptions, SnapshotPolicy, SnapshotTask, TransferDone,
};
pub use self::transfers::TransferRefusal;
use self::transfers::Transfers;

/// A node's decisions. `P` is a caller who wants something changed, `R` one who reads; both are handed back in
/// [`Requests`], each exactly once.
#[derive(Debug)]
pub struct Driver<P, R> {
    raft: Raft,
    options: Options,
    /// Commands for which no leader is known.
    parked: Parked<P>,
    /// Commands sent to a leader that has not answered.
    forwards: Forwards<P>,
    /// Commands of followers that came while this leader hands over.
    held: Held,
    /// Commands in the log.
    waiting: Waiting<P>,
    reads: Reads<R>,
    transfers: Transfers<P>,
    changes: Changes<P>,
    apply: ApplyQueue,
    snapshots: Snapshots,
    requests: Requests<P, R>,
}

/// What a driver may do, and how much.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// How long a caller waits at most.
    pub request_timeout: Duration,
    /// What happens to commands on a node that does not lead.
    pub forwarding: Forwarding,
    /// Bytes of commands that wait for a leader, or for its answer.
    pub parked_bytes_max: usize,
    /// Bytes of entries that the state machine was given and has not applied.
    pub apply_bytes_max: usize,
    /// Bytes of commands in one message to the leader.
    pub forward_bytes_max: usize,
    /// When snapshots are taken, and bounds on their transfer.
    pub snapshots: SnapshotOptions,
}

/// What happens to commands on a node that does not lead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forwarding {
    /// They go to the leader, or wait until there is one.
    ToLeader,
    /// They are refused with the leader's name.
    Refused,
}

/// Work for the shell. The fields are independent of each other.
#[derive(Debug)]
#[must_use]
pub struct Requests<P, R> {
    /// To be made durable in this order, then reported with [`Input::Persisted`].
    pub writes: Vec<Write>,
    /// To be sent, in this order for each peer.
    pub packets: Vec<(NodeId, Packet)>,
    /// For the shelf of snapshots.
    pub snapshot_tasks: Vec<SnapshotTask>,
    /// To be read from the log and answered with [`Input::Fetched`].
    pub fetches: Vec<Fetch>,
    /// For the state machine, in this order.
    pub jobs: Vec<Job<P, R>>,
    /// Callers whose commands will not be applied, or nobody knows.
    pub refused: Vec<(P, Refusal)>,
    /// Callers whose reads will not be answered: they have waited too long.
    pub reads_timed_out: Vec<R>,
    /// Callers whose reads cannot be answered here.
    pub reads_refused: Vec<(R, ReadError)>,
    /// How changes of membership ended: with the entry of the membership that completed them.
    pub changes: Vec<(P, Result<LogId, ChangeRefusal>)>,
    /// How transfers of leadership ended.
    pub transfers: Vec<(P, Result<(), TransferRefusal>)>,
    /// What happened, for logs and metrics.
    pub events: Vec<Event>,
}

/// Why a caller's command was not acknowledged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// Certainly not applied: another node leads, and commands are not forwarded.
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// Certainly not applied: nobody led in time.
    NoLeader,
    /// Certainly not applied: too much is waiting.
    Overloaded,
    /// Certainly not applied: the leader's disk is full.
    StorageFull,
    /// Certainly not applied: a new leader put another entry in its place.
    Superseded,
    /// Unknown: not committed in time.
    TimedOut,
    /// Unknown: this leader lost touch with the majority.
    QuorumLost,
    /// Unknown: the leader did not answer.
    ConnectionLost,
    /// Unknown: applied before this node learned whose it was.
    ResponseLost,
}

/// Callers that are left when a node stops.
#[derive(Debug)]
pub struct Leftover<P, R> {
    /// Their commands left this node for nowhere: certainly not applied.
    pub not_applied: Vec<P>,
    /// Their commands may be applied.
    pub unknown: Vec<P>,
    /// Their reads will not be answered.
    pub reads: Vec<R>,
}

impl<P, R> Default for Requests<P, R> {
    fn default() -> Self {
        Self {
            writes: Vec::new(),
            packets: Vec::new(),
            snapshot_tasks: Vec::new(),
            fetches: Vec::new(),
            jobs: Vec::new(),
            refused: Vec::new(),
            reads_timed_out: Vec::new(),
            reads_refused: Vec::new(),
            changes: Vec::new(),
            transfers: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl<P, R> Requests<P, R> {
    fn is_empty(&self) -> bool {
        let Self {
            writes,
            packets,
            snapshot_tasks,
            fetches,
            jobs,
            refused,
            reads_timed_out,
            reads_refused,
            changes,
            transfers,
            events,
        } = self;
        writes.is_empty()
            && packets.is_empty()
            && snapshot_tasks.is_empty()
            && fetches.is_empty()
            && jobs.is_empty()
            && refused.is_empty()
            && reads_timed_out.is_empty()
            && reads_refused.is_empty()
            && changes.is_empty()
            && transfers.is_empty()
            && events.is_empty()
    }
}

impl<P, R> Driver<P, R> {
    /// A driver for `raft`, whose state machine is as its newest snapshot says, or has applied
    /// nothing yet: also if the snapshot is lost from which the log goes on.
    #[must_use]
    pub fn new(raft: Raft, options: Options) -> Self {
        let status = raft.status();
        let base = status.snapshot.map_or(LogIndex::ZERO, |snapshot| snapshot.last.index);
        let id = status.id;
        Self {
            raft,
            options,
            parked: Parked::default(),
            forwards: Forwards::default(),
            held: Held::default(),
            waiting: Waiting::default(),
            reads: Reads::default(),
            transfers: Transfers::default(),
            changes: Changes::default(),
            apply: ApplyQueue::new(base),
            snapshots: Snapshots::new(id, base, options.snapshots),
            requests: Requests::default(),
        }
    }

    /// The protocol's state.
    #[must_use]
    pub const fn raft(&self) -> &Raft {
        &self.raft
    }

    /// Takes what happened to the protocol: a write that is durable, entries that were read.
    pub fn on_input(&mut self, now: Timestamp, input: Input) {
        self.raft.step(now, input);
    }

    /// Says how long the newest snapshot is, once the driver is made: it decides when the next one
    /// is due.
    pub const fn on_snapshot_known(&mut self, bytes: u64) {
        self.snapshots.on_known(bytes);
    }

    /// Has a snapshot taken, of everything that is applied by now. Returns the number of the attempt
    /// that will be it; see [`Driver::snapshot_attempt`].
    pub const fn want_snapshot(&mut self) -> u64 {
        self.snapshots.want();
        self.snapshots.begun() + 1
    }

    /// The number of the latest attempt at a snapshot, which is under way or has ended.
    #[must_use]
    pub const fn snapshot_attempt(&self) -> u64 {
        self.snapshots.begun()
    }

    /// Takes what has become of a [`SnapshotTask`].
    pub fn on_transfer(&mut self, now: Timestamp, done: TransferDone) {
        self.snapshots.on_transfer(now, done);
    }

    /// Takes what has become of [`Job::Snapshot`] or [`Job::Restore`].
    pub fn on_snapshot(&mut self, now: Timestamp, done: SnapshotDone) {
        match done {
            SnapshotDone::NotTaken => self.snapshots.end(),
            SnapshotDone::Taken { meta, bytes } => {
                self.snapshots.end();
                self.snapshots.on_known(bytes);
                let last = meta.last.index;
                self.raft.step(now, Input::SnapshotTaken(meta));
                self.compact(now, last);
            }
            SnapshotDone::Restored { meta } => {
                let last = meta.last.index;
                // Another may be to follow, and nothing is applied in between.
                let restoring = &mut self.snapshots.restoring;
                restoring.take_if(|restoring| restoring.last == meta.last);
                self.snapshots.restart(last);
                self.apply.on_restored(last);
                let unanswered = self.waiting.take_until(last);
                let callers = unanswered.into_iter().map(|(_, caller)| caller);
                self.refuse_all(callers.collect(), Refusal::ResponseLost);
                self.raft.step(now, Input::SnapshotInstalled(meta));
                self.compact(now, last);
            }
        }
    }

    /// Forgets what a durable snapshot up to `last` makes superfluous in the log.
    fn compact(&mut self, now: Timestamp, last: LogIndex) {
        let upto = self.snapshots.compact_to(last);
        // It refuses to go beyond the newest snapshot it knows of, which is this one or a newer.
        self.raft.compact(now, upto).ok();
    }

    /// Proposes commands of one batch, with the caller of each; all wait until `now` plus the
    /// request timeout at most.
    pub fn propose(&mut self, now: Timestamp, batch: Vec<(Bytes, P)>) {
        let deadline = now.after(self.options.request_timeout);
        self.route(now, batch, deadline);
    }

    /// Asks for a read of this level for `callers`, which will be in [`Job::Read`]. `now` must have
    /// been read after they came.
    pub fn read(&mut self, now: Timestamp, level: ReadLevel, callers: Vec<R>) {
        let deadline = now.after(self.options.request_timeout);
        match self.raft.read(now, level) {
            Ok(id) => self.reads.push(id, callers, deadline),
            Err(error) => {
                let refused = callers.into_iter().map(|caller| (caller, error));
                self.requests.reads_refused.extend(refused);
            }
        }
    }

    /// Changes the membership, as [`Raft::change_membership`] does. The caller is answered in
    /// [`Requests::changes`]: well, once a membership that is not joint is committed.
    pub fn change_membership(&mut self, now: Timestamp, change: &MembershipChange, caller: P) {
        let deadline = now.after(self.options.request_timeout);
        match self.raft.change_membership(now, change) {
            Ok(first) => self.changes.push(first, caller, deadline),
            Err(error) => self.requests.changes.push((caller, Err(ChangeRefusal::Refused(error)))),
        }
    }

    /// Hands leadership over to `to`, as [`Raft::transfer`] does. The caller is answered in
    /// [`Requests::transfers`]: well, once this node knows that `to` leads.
    pub fn transfer(&mut self, now: Timestamp, to: NodeId, caller: P) {
        match self.raft.transfer(now, to) {
            Err(error) => {
                self.requests.transfers.push((caller, Err(TransferRefusal::Refused(error))));
            }
            Ok(()) if to == self.raft.id() => self.requests.transfers.push((caller, Ok(()))),
            Ok(()) => {
                // Whether it takes the place of another transfer is known here first.
                let ended = self.transfers.on_other(to);
                self.requests.transfers.extend(ended);
                self.transfers.push(to, caller, now.after(self.options.request_timeout));
            }
        }
    }

    /// Takes a packet from a peer.
    pub fn on_packet(&mut self, now: Timestamp, from: NodeId, packet: Packet) {
        match packet {
            // The transport has checked that it comes from there.
            Packet::Raft(message) if message.from == from => {
                self.raft.step(now, Input::Message(message));
            }
            Packet::Raft(Message { .. }) => {}
            Packet::Forward(forward) => self.on_forward(now, from, forward),
            Packet::ForwardReply(reply) => self.on_forward_reply(now, from, reply),
            Packet::SnapshotRequest(request) => self.snapshots.on_request(now, from, request),
            Packet::SnapshotReply(reply) => self.snapshots.on_reply(now, from, reply),
        }
    }

    /// Takes the news that packets to `peer` may have been lost, or that it can be reached again.
    pub fn on_unreachable(&mut self, now: Timestamp, peer: NodeId) {
        self.raft.step(now, Input::Unreachable(peer));
        let lost = self.forwards.take_sent_to(peer);
        self.refuse_all(lost, Refusal::ConnectionLost);
    }

    /// Takes the news that the connection to `peer` is gone.
    pub fn on_gone(&mut self, now: Timestamp, peer: NodeId) {
        self.on_unreachable(now, peer);
        self.snapshots.on_gone(peer);
    }

    /// Takes the news that the state machine has applied everything up to `index`; true if there
    /// is work now that waited for that.
    pub fn on_applied(&mut self, index: LogIndex) -> bool {
        let waited = self.waits_for_apply();
        self.apply.on_applied(index);
        waited && !self.waits_for_apply()
    }

    /// Gives up on callers that have waited too long, and lets the protocol's time pass.
    pub fn on_timeout(&mut self, now: Timestamp) {
        if now >= self.raft.next_deadline() {
            self.raft.step(now, Input::Timeout);
        }
        let parked = self.parked.take_expired(now);
        self.refuse_all(parked, Refusal::NoLeader);
        let unanswered = self.forwards.take_expired(now);
        self.refuse_all(unanswered, Refusal::TimedOut);
        let uncommitted = self.waiting.take_expired(now);
        self.refuse_all(uncommitted, Refusal::TimedOut);
        self.requests.reads_timed_out.extend(self.reads.take_expired(now));
        self.requests.transfers.extend(self.transfers.take_expired(now));
        self.requests.changes.extend(self.changes.take_expired(now));
    }

    /// When to call [`Driver::on_timeout`], at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        self.raft
            .next_deadline()
            .min(self.parked.deadline())
            .min(self.forwards.deadline())
            .min(self.waiting.deadline())
            .min(self.reads.deadline())
            .min(self.transfers.deadline())
            .min(self.changes.deadline())
            .min(self.snapshots.next_deadline())
    }

    /// What is being received, if anything.
    #[must_use]
    pub fn receiving(&self) -> Option<Progress> {
        self.snapshots.progress()
    }

    /// What is being sent, and to whom.
    #[must_use]
    pub fn serving(&self) -> Vec<Serving> {
        self.snapshots.serving()
    }

    /// What is being sent, by its age.
    #[must_use]
    pub fn sending(&self) -> Sending {
        self.snapshots.sending()
    }

    /// Lets no more than so many bytes per second be sent from here on, and no more than
    /// [`SnapshotOptions::sender`] does.
    pub fn set_sending_rate(&mut self, bytes_per_second: Option<NonZeroU64>) {
        self.snapshots.set_sending_rate(bytes_per_second);
    }

    /// Whether a snapshot is being taken.
    #[must_use]
    pub const fn is_taking_snapshot(&self) -> bool {
        self.snapshots.is_taking()
    }

    /// Whether committed entries wait until [`Driver::on_applied`] makes room for them.
    #[must_use]
    pub fn waits_for_apply(&self) -> bool {
        self.apply.is_held_back(self.options.apply_bytes_max)
    }

    /// Whether proposals may as well gather until something else happens.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        self.raft.is_gathering()
    }

    /// Takes the work that has come up since the last call; `None` if there is none.
    pub fn poll(&mut self, now: Timestamp) -> Option<Requests<P, R>> {
        loop {
            while let Some(output) = self.raft.poll_output() {
                self.on_output(now, output);
            }
            let Requests { packets, snapshot_tasks, .. } = &mut self.requests;
            let received = self.snapshots.poll(now, packets, snapshot_tasks);
            if received.is_empty() {
                break;
            }
            received.into_iter().for_each(|received| self.on_received(now, received));
        }
        self.hand_out_applies();
        self.take_snapshot();
        if self.requests.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.requests))
    }

    /// Ends the driver: every caller that is left.
    #[must_use]
    pub fn stop(self) -> Leftover<P, R> {
        let Self { parked, forwards, waiting, reads, transfers, changes, mut requests, .. } = self;
        let mut unknown: Vec<P> = forwards.into_callers();
        unknown.extend(waiting.into_callers());
        unknown.extend(transfers.into_callers());
        unknown.extend(changes.into_callers());
        unknown.extend(requests.changes.drain(..).map(|(caller, _)| caller));
        unknown.extend(requests.transfers.drain(..).map(|(caller, _)| caller));
        let mut reading = reads.into_callers();
        for job in requests.jobs.drain(..) {
            match job {
                Job::Apply { callers, .. } => unknown.extend(callers.into_iter().map(|c| c.1)),
                Job::Read { callers } => reading.extend(callers),
                Job::Snapshot { .. } | Job::Restore { .. } => {}
            }
        }
        unknown.extend(requests.refused.into_iter().map(|(caller, _)| caller));
        reading.extend(requests.reads_timed_out);
        reading.extend(requests.reads_refused.into_iter().map(|(caller, _)| caller));
        Leftover { not_applied: parked.into_callers(), unknown, reads: reading }
    }

    /// Brings a batch to the leader's log, wherever that is.
    fn route(&mut self, now: Timestamp, batch: Vec<(Bytes, P)>, deadline: Timestamp) {
        let me = self.raft.id();
        match (self.raft.leader(), self.options.forwarding) {
            // Whoever leads when that is over takes them.
            (Some(leader), _) if leader == me && self.raft.successor().is_some() => {
                self.park(batch, deadline);
            }
            (Some(leader), _) if leader == me => self.append(now, batch, deadline),
            (leader, Forwarding::Refused) => {
                let callers = batch.into_iter().map(|(_, caller)| caller);
                self.refuse_all(callers.collect(), Refusal::NotLeader { leader });
            }
            (Some(leader), Forwarding::ToLeader) => self.forward(leader, batch, deadline),
            (None, Forwarding::ToLeader) => self.park(batch, deadline),
        }
    }

    fn append(&mut self, now: Timestamp, batch: Vec<(Bytes, P)>, deadline: Timestamp) {
        let (commands, callers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match self.raft.propose_batch(now, commands) {
            Ok(first) => self.waiting.push(first, callers, deadline),
            // It led when it was asked, so it does not refuse for that.
            Err(ProposeError::NotLeader { leader }) => {
                self.refuse_all(callers, Refusal::NotLeader { leader });
            }
            Err(ProposeError::StorageFull) => self.refuse_all(callers, Refusal::StorageFull),
            // It does not refuse for handing over, either.
            Err(ProposeError::Busy { .. } | ProposeError::Transferring { .. } | _) => {
                self.refuse_all(callers, Refusal::Overloaded);
            }
        }
    }

    fn forward(&mut self, leader: NodeId, batch: Vec<(Bytes, P)>, deadline: Timestamp) {
        for part in split_by_bytes(batch, self.options.forward_bytes_max) {
            if self.forwards.bytes() > self.options.parked_bytes_max {
                let callers = part.into_iter().map(|(_, caller)| caller);
                self.refuse_all(callers.collect(), Refusal::Overloaded);
                continue;
            }
            let commands = part.iter().map(|(command, _)| command.clone()).collect();
            let id = self.forwards.push(leader, part, deadline);
            self.requests.packets.push((leader, Packet::Forward(Forward { id, commands })));
        }
    }

    fn park(&mut self, batch: Vec<(Bytes, P)>, deadline: Timestamp) {
        if let Err(refused) = self.parked.push(batch, deadline, self.options.parked_bytes_max) {
            self.refuse_all(refused, Refusal::Overloaded);
        }
    }

    /// A follower's commands: appended all or none.
    fn on_forward(&mut self, now: Timestamp, from: NodeId, forward: Forward) {
        let forward = if self.raft.successor().is_some() {
            match self.held.push(from, forward, self.options.parked_bytes_max) {
                Ok(()) => return,
                Err(refused) => refused,
            }
        } else {
            forward
        };
        let Forward { id, commands } = forward;
        let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
        let outcome = match self.raft.propose_batch(now, commands) {
            Ok(first) => ForwardOutcome::Appended { first, count },
            Err(ProposeError::NotLeader { leader }) => ForwardOutcome::NotLeader { leader },
            Err(ProposeError::Busy { .. } | ProposeError::Transferring { .. } | _) => {
                ForwardOutcome::Busy
            }
        };
        let reply = Packet::ForwardReply(ForwardReply { id, outcome });
        self.requests.packets.push((from, reply));
    }

    fn on_forward_reply(&mut self, now: Timestamp, from: NodeId, reply: ForwardReply) {
        let Some(forwarded) = self.forwards.take(from, reply.id) else { return };
        match reply.outcome {
            ForwardOutcome::Appended { first, count } => {
                let as_sent = usize::try_from(count).is_ok_and(|n| n == forwarded.batch.len());
                let deadline = forwarded.deadline;
                let callers = forwarded.into_callers().collect();
                if as_sent && first.index > self.apply.handed() {
                    self.waiting.push(first, callers, deadline);
                } else {
                    self.refuse_all(callers, Refusal::ResponseLost);
                }
            }
            ForwardOutcome::Busy => {
                self.refuse_all(forwarded.into_callers().collect(), Refusal::Overloaded);
            }
            // Certainly not appended. It goes to whoever leads; but if that is still the one who
            // refused, this node has not heard the news yet, and it waits for them.
            ForwardOutcome::NotLeader { .. } if self.raft.leader() == Some(from) => {
                self.park(forwarded.batch, forwarded.deadline);
            }
            ForwardOutcome::NotLeader { .. } => {
                self.route(now, forwarded.batch, forwarded.deadline);
            }
        }
    }

    fn on_output(&mut self, now: Timestamp, output: Output) {
        let Output { write, messages, commit, install, fetches, reads, events } = output;
        if let Some(write) = write {
            self.apply.on_write(&write, self.options.apply_bytes_max);
            self.changes.on_write(&write);
            let bytes: usize = write.append.iter().map(weight).sum();
            self.snapshots.on_append(u64::try_from(bytes).unwrap_or(u64::MAX));
            self.requests.writes.push(write);
        }
        let packets = messages.into_iter().map(|m| (m.to, Packet::Raft(m)));
        self.requests.packets.extend(packets);
        if let Some(install) = install {
            self.snapshots.install(now, install);
        }
        self.requests.fetches.extend(fetches);
        if let Some(commit) = commit {
            self.apply.on_committed(commit);
            self.snapshots.on_committed(commit);
            let raft = &self.raft;
            let ended = self.changes.on_commit(commit, |index| raft.log_id_at(index));
            self.requests.changes.extend(ended);
        }
        for ready in reads {
            self.reads.on_ready(ready);
        }
        for event in events {
            self.on_event(now, event);
        }
    }

    fn on_event(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::LeaderChanged { leader: Some(leader), .. } => {
                let lost = self.forwards.take_not_sent_to(leader);
                self.refuse_all(lost, Refusal::ConnectionLost);
                self.requests.transfers.extend(self.transfers.on_leader(leader));
                self.route_parked(now);
            }
            Event::MembershipCommitted { id } => {
                let raft = &self.raft;
                let ended = self.changes.on_committed(id, |index| raft.log_id_at(index));
                self.requests.changes.extend(ended);
            }
            Event::TransferFailed { to } => {
                self.requests.transfers.extend(self.transfers.on_failed(to));
                self.route_parked(now);
            }
            Event::QuorumLost { .. } => {
                let uncommitted = self.waiting.take_all();
                self.refuse_all(uncommitted, Refusal::QuorumLost);
            }
            Event::LeaderChanged { leader: None, .. } => self.answer_held(now),
            Event::SnapshotWanted { upto, .. } if upto <= self.apply.handed() => {
                self.snapshots.want_first();
            }
            Event::RoleChanged { .. } | _ => {}
        }
        self.requests.events.push(event);
    }

    /// Sends what waits for a leader on its way.
    fn route_parked(&mut self, now: Timestamp) {
        self.answer_held(now);
        for (batch, deadline) in self.parked.take_all() {
            self.route(now, batch, deadline);
        }
    }

    fn answer_held(&mut self, now: Timestamp) {
        for (from, forward) in self.held.take_all() {
            self.on_forward(now, from, forward);
        }
    }

    /// A transfer has come to its end.
    fn on_received(&mut self, now: Timestamp, received: Received) {
        match received {
            // Another leader has offered it as well.
            Received::Complete(_, meta) if self.snapshots.is_restoring(meta.last.index) => {}
            Received::Complete(id, meta) if meta.last.index > self.apply.handed() => {
                self.snapshots.restoring = Some(meta.clone());
                self.requests.jobs.push(Job::Restore { id, meta });
            }
            // The log has brought as much meanwhile.
            Received::Complete(_, meta) | Received::Failed(meta) => {
                self.raft.step(now, Input::SnapshotFailed { last: meta.last });
            }
        }
    }

    /// Has the state machine take a snapshot if it is time for one.
    fn take_snapshot(&mut self) {
        let handed = self.apply.handed();
        if self.snapshots.restoring.is_none()
            && self.snapshots.is_due(handed)
            && let Some(meta) = self.raft.describe_snapshot(handed)
        {
            self.snapshots.begin(handed);
            self.requests.jobs.push(Job::Snapshot { meta });
        }
    }

    /// Gives the state machine what is committed, as far as there is room, and the reads that
    /// need no more than that.
    fn hand_out_applies(&mut self) {
        // What comes after a snapshot is applied to the state of that snapshot.
        while self.snapshots.restoring.is_none()
            && let Some(entries) = self.apply.next(self.options.apply_bytes_max)
        {
            let (first, last) = (entries.first(), entries.last());
            let callers = self.take_callers(first, last);
            self.requests.jobs.push(Job::Apply { entries, callers });
        }
        let callers = self.reads.take_ready(self.apply.handed());
        if !callers.is_empty() {
            self.requests.jobs.push(Job::Read { callers });
        }
    }

    /// The callers of the entries from `first` to `last`, which are committed.
    fn take_callers(&mut self, first: LogIndex, last: LogIndex) -> VecDeque<(LogIndex, P)> {
        let mut callers = VecDeque::new();
        for (id, caller) in self.waiting.take_until(last) {
            let committed = self.raft.log_id_at(id.index);
            if id.index < first {
                self.requests.refused.push((caller, Refusal::ResponseLost));
            } else if committed == Some(id) {
                callers.push_back((id.index, caller));
            } else {
                self.requests.refused.push((caller, Refusal::Superseded));
            }
        }
        callers
    }

    fn refuse_all(&mut self, callers: Vec<P>, refusal: Refusal) {
        self.requests.refused.extend(callers.into_iter().map(|caller| (caller, refusal)));
    }
}

/// The first of the deadlines, or never.
fn earliest(deadlines: impl Iterator<Item = Timestamp>) -> Timestamp {
    deadlines.min().unwrap_or(Timestamp::NEVER)
}

/// Cuts a batch into parts of at most `bytes_max`, but of one command at least.
fn split_by_bytes<P>(batch: Vec<(Bytes, P)>, bytes_max: usize) -> Vec<Vec<(Bytes, P)>> {
    let mut parts: Vec<Vec<(Bytes, P)>> = Vec::new();
    let mut bytes = usize::MAX;
    for (command, caller) in batch {
        bytes = bytes.saturating_add(command.len());
        match parts.last_mut() {
            Some(part) if bytes <= bytes_max => part.push((command, caller)),
            Some(_) | None => {
                bytes = command.len();
                parts.push(Vec::from([(command, caller)]));
            }
        }
    }
    parts
}
