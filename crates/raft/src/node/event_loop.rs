//! The shell around the driver: it waits, and carries out what the driver wants. It decides
//! nothing.
//!
//! Shutdown, in this order: the inbox takes no more; callers that are left are told; the transport
//! closes; the state machine ends what it was given, and snapshots are given up; the log closes;
//! everybody learns the reason.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use raft_core::{Event, Input, LogId, LogIndex, Membership, NodeId, Timestamp};
use raft_net::{Lane, PeerEvent, SendOutcome};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Sleep;
use tracing::{debug, error, info, warn};

use super::callers::Caller;
use super::clock::Clock;
use super::inbox::{Happening, Inbox, Reader, Snapshotter};
use super::librarian::Librarian;
use super::peers::Peers;
use super::worker::Worker;
use super::writing::Tempo;
use crate::driver::{Driver, Leftover, Requests, SnapshotDone, TransferDone};
use crate::error::{ReadError, StopReason};
use crate::log_store::LogStore;
use crate::snapshot::{Kept, SnapshotError, SnapshotMetrics};
use crate::state_machine::StateMachine;
use crate::status::{Metrics, Status};
use crate::transport::Transport;

type NodeDriver<S> = Driver<Caller<S>, Reader<S>>;
type NodeRequests<S> = Requests<Caller<S>, Reader<S>>;

/// A running node, as its own thread sees it.
pub(super) struct EventLoop<S: StateMachine> {
    pub(super) id: NodeId,
    pub(super) driver: NodeDriver<S>,
    pub(super) inbox: Arc<Inbox<S>>,
    pub(super) log: Arc<dyn LogStore>,
    pub(super) transport: Box<dyn Transport>,
    pub(super) peers: Peers,
    pub(super) worker: Worker<S>,
    pub(super) librarian: Librarian<S>,
    pub(super) snapshots: Ledger,
    pub(super) tempo: Tempo,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<watch::Sender<Metrics>>,
    pub(super) room: Room,
}

/// Whether the log has room for entries, as far as the driver was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Room {
    Enough,
    None,
}

/// What has become of snapshots, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) metrics: SnapshotMetrics,
    /// Each with the number of the attempt that will do for it.
    callers: Vec<(u64, Snapshotter)>,
}

impl Ledger {
    fn on_taken(&mut self, node: NodeId, attempt: u64, taken: &Result<Kept, SnapshotError>) {
        let answer = match taken {
            Ok(kept) => {
                let last = kept.id.last;
                info!(%node, %last, bytes = kept.bytes, "snapshot taken");
                (self.metrics.last, self.metrics.bytes) = (Some(last), kept.bytes);
                self.metrics.taken += 1;
                Ok(last)
            }
            Err(SnapshotError::Unsupported) => Err(SnapshotError::Unsupported),
            Err(error) => {
                warn!(%node, %error, "cannot take a snapshot; the log stays as it is");
                self.metrics.failed += 1;
                Err(error.clone())
            }
        };
        for (_, caller) in self.callers.extract_if(.., |(needs, _)| *needs <= attempt) {
            drop(caller.send(answer.clone()));
        }
    }

    fn on_installed(&mut self, last: LogId) {
        self.metrics.last = Some(last);
        self.metrics.installed += 1;
    }
}

impl<S: StateMachine> EventLoop<S> {
    /// Runs until the node stops; gives the reason.
    pub(super) async fn run(mut self) -> StopReason {
        let mut happenings = Vec::new();
        let mut alarm = Box::pin(tokio::time::sleep_until(self.next_wake()));
        let reason = loop {
            if let Err(reason) = self.turn(&mut happenings) {
                break reason;
            }
            self.set(alarm.as_mut());
            tokio::select! {
                biased;
                () = self.inbox.filled() => {}
                () = alarm.as_mut() => {}
            }
        };
        self.stop(reason).await
    }

    /// Takes what has happened, and does what follows from it.
    fn turn(&mut self, happenings: &mut Vec<Happening<S>>) -> Result<(), StopReason> {
        if self.driver.is_gathering() {
            self.inbox.linger();
        }
        self.inbox.drain(happenings);
        let now = self.clock.now();
        self.look_for_room(now)?;
        for happening in happenings.drain(..) {
            self.take(now, happening)?;
        }
        self.driver.on_applied(self.worker.applied());
        if now >= self.driver.next_deadline() {
            self.driver.on_timeout(now);
        }
        let rate = self.tempo.pace().on_sending(now, self.driver.sending());
        self.driver.set_sending_rate(rate);
        while let Some(requests) = self.driver.poll(now) {
            self.carry_out(now, requests)?;
        }
        self.await_room();
        self.publish();
        if self.driver.is_gathering() {
            self.inbox.gather();
        }
        Ok(())
    }

    fn take(&mut self, now: Timestamp, happening: Happening<S>) -> Result<(), StopReason> {
        match happening {
            Happening::Propose(batch) => self.driver.propose(now, batch),
            Happening::Read { level, readers } => self.driver.read(now, level, readers),
            Happening::Change { change, caller } => {
                self.driver.change_membership(now, &change, caller);
            }
            Happening::HandOver { to, caller } => self.driver.transfer(now, to, caller),
            Happening::Packet { from, packet } => self.driver.on_packet(now, from, packet),
            Happening::Peer(event) => self.on_peer_event(now, event),
            Happening::Durable(Ok(seq)) => {
                self.tempo.pace().on_durable(now, seq);
                self.driver.on_input(now, Input::Persisted(seq));
            }
            Happening::Durable(Err(error)) => return Err(StopReason::Log(Arc::new(error))),
            Happening::Fetched { fetch, entries } => {
                let entries = entries.unwrap_or_else(|error| {
                    warn!(%error, peer = %fetch.peer, "cannot read entries for a follower");
                    Vec::new()
                });
                self.driver.on_input(now, Input::Fetched { fetch, entries });
            }
            // It is asked how far it is at every turn.
            Happening::Applied => {}
            Happening::WantSnapshot(caller) => self.want_snapshot(caller),
            Happening::Taken(taken) => self.on_taken(now, taken),
            Happening::Restored(meta) => {
                self.snapshots.on_installed(meta.last);
                self.driver.on_snapshot(now, SnapshotDone::Restored { meta });
            }
            Happening::Transfer(done) => {
                if let TransferDone::Read { outcome: Ok(bytes), .. } = &done {
                    self.tempo.pace().on_moved(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                }
                self.driver.on_transfer(now, done);
            }
            Happening::Stop(reason) => return Err(reason),
        }
        Ok(())
    }

    /// Tells the driver when the log has no room for entries, and when it has some again.
    fn look_for_room(&mut self, now: Timestamp) -> Result<(), StopReason> {
        if self.room == Room::None {
            self.log.resume().map_err(|error| StopReason::Log(Arc::new(error)))?;
        }
        match (self.room, self.log.stats().is_full) {
            (Room::Enough, true) => {
                self.room = Room::None;
                self.driver.on_input(now, Input::StorageFull);
            }
            (Room::None, false) => {
                self.room = Room::Enough;
                self.driver.on_input(now, Input::StorageAvailable);
            }
            (Room::Enough, false) | (Room::None, true) => {}
        }
        Ok(())
    }

    fn want_snapshot(&mut self, caller: Snapshotter) {
        if self.worker.applied() == LogIndex::ZERO {
            drop(caller.send(Err(SnapshotError::Empty)));
            return;
        }
        let attempt = self.driver.want_snapshot();
        self.snapshots.callers.push((attempt, caller));
    }

    /// A snapshot of the state machine is durable, or there is none.
    fn on_taken(&mut self, now: Timestamp, taken: Result<Kept, SnapshotError>) {
        self.snapshots.on_taken(self.id, self.driver.snapshot_attempt(), &taken);
        let done = taken.map_or(SnapshotDone::NotTaken, |kept| SnapshotDone::Taken {
            meta: kept.meta,
            bytes: kept.bytes,
        });
        self.driver.on_snapshot(now, done);
    }

    /// The transport itself logs changes; here only what follows from them counts.
    fn on_peer_event(&mut self, now: Timestamp, event: PeerEvent) {
        match event {
            PeerEvent::Up { peer, .. } | PeerEvent::Dropped { peer, .. } => {
                self.driver.on_unreachable(now, peer);
            }
            PeerEvent::Down { peer, .. } => self.driver.on_gone(now, peer),
            PeerEvent::Stranger { id, address } => self.on_stranger(id, address),
            PeerEvent::Rejected { .. } | _ => {}
        }
    }

    fn on_stranger(&mut self, id: NodeId, address: SocketAddr) {
        let raft = self.driver.raft();
        if let Some(peers) = self.peers.welcome(id, address, raft.leader()) {
            info!(node = %raft.id(), peer = %id, %address, "hears a stranger");
            self.transport.update_peers(peers);
        }
    }

    fn carry_out(&mut self, now: Timestamp, requests: NodeRequests<S>) -> Result<(), StopReason> {
        let Requests {
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
        } = requests;
        for write in writes {
            self.tempo.pace().on_submitted(now, write.seq);
            self.log.submit(write).map_err(|error| StopReason::Log(Arc::new(error)))?;
        }
        snapshot_tasks.into_iter().for_each(|task| self.librarian.submit(task));
        if !jobs.is_empty() {
            self.worker.submit(jobs);
        }
        for (to, packet) in packets {
            let lane = packet.lane();
            let outcome = self.transport.send(to, packet);
            if matches!((lane, outcome), (Lane::Append, SendOutcome::Dropped(_))) {
                self.driver.on_unreachable(now, to);
            }
        }
        for fetch in fetches {
            let (log, inbox) = (Arc::clone(&self.log), Arc::clone(&self.inbox));
            // Not awaited: the answer comes through the inbox.
            drop(Handle::current().spawn_blocking(move || {
                let entries = log.entries(fetch.from..=fetch.upto, fetch.bytes_max);
                inbox.tell(Happening::Fetched { fetch, entries });
            }));
        }
        refused.into_iter().for_each(|(caller, refusal)| caller.refuse(refusal));
        if !changes.is_empty() || !transfers.is_empty() {
            // What the callers see next must not seem to come from the past.
            self.publish();
        }
        changes.into_iter().for_each(|(caller, outcome)| caller.on_changed(outcome));
        transfers.into_iter().for_each(|(caller, outcome)| caller.on_transferred(outcome));
        for Reader { reply, .. } in reads_timed_out {
            drop(reply.send(Err(ReadError::TimedOut)));
        }
        for (Reader { reply, .. }, why) in reads_refused {
            drop(reply.send(Err(read_error(why))));
        }
        events.into_iter().for_each(|event| log_event(self.id, event));
        Ok(())
    }

    /// If entries wait for room, the state machine says when there is some; there may be by now.
    fn await_room(&mut self) {
        if self.driver.waits_for_apply() {
            self.worker.await_progress();
            if self.driver.on_applied(self.worker.applied()) {
                self.inbox.tell(Happening::Applied);
            }
        }
    }

    fn publish(&mut self) {
        let raft = self.driver.raft().status();
        let known = self.metrics.borrow().status.membership_id;
        let newer = (known != raft.membership_id).then(|| Arc::new(raft.membership.clone()));
        if let Some(membership) = &newer
            && let Some(peers) = self.peers.update(raft.membership_id, membership)
        {
            self.transport.update_peers(peers);
        }
        self.metrics.send_modify(|metrics| {
            let membership = newer.unwrap_or_else(|| Arc::clone(&metrics.status.membership));
            *metrics = metrics_of(&raft, membership);
            metrics.followers = self.driver.raft().followers();
            metrics.status.successor = self.driver.raft().successor();
            metrics.status.applied = self.worker.applied();
            metrics.log = self.log.stats();
            metrics.snapshots = self.snapshots.metrics.clone();
            metrics.snapshots.is_taking = self.driver.is_taking_snapshot();
            metrics.snapshots.receiving = self.driver.receiving();
            metrics.snapshots.sending = self.driver.serving();
            metrics.snapshots.bytes_per_second = self.tempo.pace().current();
        });
    }

    fn next_wake(&self) -> tokio::time::Instant {
        self.clock.instant(self.driver.next_deadline())
    }

    /// Sets the alarm to the next deadline. One that is set too early rings in vain, which is
    /// cheaper than to move it whenever a deadline does.
    fn set(&self, mut alarm: std::pin::Pin<&mut Sleep>) {
        /// What timers do not tell apart.
        const GRAIN: Duration = Duration::from_millis(1);
        let wake = self.next_wake();
        if alarm.is_elapsed() || wake + GRAIN < alarm.deadline() {
            alarm.as_mut().reset(wake);
        }
    }

    async fn stop(self, reason: StopReason) -> StopReason {
        let Self { id, driver, inbox, log, transport, worker, librarian, .. } = self;
        if matches!(reason, StopReason::Shutdown) {
            info!(node = %id, "stopping");
        } else {
            error!(node = %id, %reason, "stopping");
        }
        inbox.close(reason.clone());
        refuse_leftover(driver.stop(), &reason);
        transport.shutdown().await;
        worker.stop();
        librarian.stop();
        match log.close() {
            Ok(()) => reason,
            Err(error) if matches!(reason, StopReason::Shutdown) => {
                StopReason::Log(Arc::new(error))
            }
            Err(_) => reason,
        }
    }
}

/// The metrics of a server that has no followers.
pub(super) fn metrics_of(raft: &raft_core::Status<'_>, membership: Arc<Membership>) -> Metrics {
    Metrics {
        status: Status {
            id: raft.id,
            role: raft.role,
            term: raft.hard_state.term,
            leader: raft.leader,
            commit: raft.commit,
            applied: raft.snapshot.map_or(raft.base, |snapshot| snapshot.last).index,
            first: raft.base.index.next(),
            last: raft.last.index,
            membership_id: raft.membership_id,
            membership,
            removed_by: raft.removed_by,
            is_in_doubt: raft.is_in_doubt,
            successor: None,
        },
        followers: Vec::new(),
        log: crate::log_store::LogStats::default(),
        snapshots: SnapshotMetrics::default(),
    }
}

fn refuse_leftover<S: StateMachine>(leftover: Leftover<Caller<S>, Reader<S>>, reason: &StopReason) {
    leftover.not_applied.into_iter().for_each(|caller| caller.on_stopped(reason.clone()));
    leftover.unknown.into_iter().for_each(|caller| caller.on_lost(reason.clone()));
    for Reader { reply, .. } in leftover.reads {
        drop(reply.send(Err(ReadError::Stopped(reason.clone()))));
    }
}

const fn read_error(why: raft_core::ReadError) -> ReadError {
    match why {
        raft_core::ReadError::LeasesOff => ReadError::LeasesOff,
        raft_core::ReadError::Removed { .. } | _ => ReadError::Removed,
    }
}

fn log_event(id: NodeId, event: Event) {
    match event {
        Event::RoleChanged { role, term } => debug!(node = %id, ?role, %term, "role changed"),
        Event::LeaderChanged { leader, term } => match leader {
            Some(leader) => info!(node = %id, %leader, %term, "leader elected"),
            None => info!(node = %id, %term, "no leader"),
        },
        Event::QuorumLost { term } => {
            warn!(node = %id, %term, "lost touch with the majority; stepping down");
        }
        Event::SnapshotOffered { peer, last } => {
            info!(node = %id, %peer, %last, "a follower needs entries that are gone from the log");
        }
        Event::SnapshotWanted { peer, upto } => {
            info!(node = %id, %peer, %upto, "a follower has lost its snapshot and needs a newer one");
        }
        Event::PeerFaulted { peer, fault } => {
            warn!(node = %id, %peer, ?fault, "ignored what no correct peer sends");
        }
        Event::DoubtSettled => info!(node = %id, "nothing is lost; in doubt no more"),
        Event::SnapshotInstalled { last } => info!(node = %id, %last, "snapshot installed"),
        Event::MembershipCommitted { id: at } => info!(node = %id, %at, "membership changed"),
        Event::Removed { by } => {
            warn!(node = %id, %by, "removed from the cluster; this node can be stopped");
        }
        Event::LearnerTooSlow { peer } => {
            warn!(node = %id, %peer, "a learner cannot keep pace with what is written");
        }
        Event::TransferFailed { to } => {
            warn!(node = %id, %to, "the successor was not ready in time; not handing over");
        }
        Event::DiskStuck { term } => {
            warn!(node = %id, %term, "the disk takes too long; stepping down");
        }
        Event::LogRegressed { peer, acknowledged, last } => warn!(
            node = %id, %peer, %acknowledged, %last,
            "a follower has lost what it had acknowledged; remove it, and add it under another id"
        ),
        event @ (Event::UnknownWrite | _) => warn!(node = %id, ?event, "unexpected"),
    }
}
