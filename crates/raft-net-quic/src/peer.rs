//! One peer: its outbox, its connection, and what has been reported about it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{NodeId, Timestamp};
use raft_net::{
    Admission, CloseCode, DownReason, DropReason, Inbound, Lane, Outbox, OutboxLimits, Packet,
    PeerEvent, RejectReason, RunFence, SendOutcome, Severity,
};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::session::Session;
use crate::stats::{ConnectionStats, Counter, PeerStats};

/// One peer.
#[derive(Debug)]
pub(crate) struct Peer {
    id: NodeId,
    address: Mutex<String>,
    line: Mutex<Line>,
    lifecycle: Mutex<Lifecycle>,
    link: watch::Sender<Link>,
    /// The address has changed: call again at once.
    pub(crate) redial: Notify,
    received: Counter,
    connections: Counter,
}

/// What a sender touches. Locked for a few instructions only, never while anybody is called.
#[derive(Debug)]
struct Line {
    outbox: Outbox,
    session: Option<Arc<Session>>,
}

/// What changes with connections. Locked while events are reported, so that they are in order.
#[derive(Debug, Default)]
struct Lifecycle {
    fence: RunFence,
    present: Option<Arc<Session>>,
    trouble: Option<Trouble>,
    /// Why there will be no connection any more.
    gone: Option<CloseCode>,
    supervisor: Option<AbortHandle>,
}

/// Why there is no connection, as last reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Trouble {
    /// Nobody answers.
    Unreachable(String),
    /// Somebody answers, and one of us refuses.
    Rejected(RejectReason),
}

/// Whether there is a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Link {
    Up,
    Down(Ending),
}

/// How the last connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ending {
    pub(crate) severity: Severity,
    /// Whether the peer had sent a packet over it.
    pub(crate) was_heard: bool,
}

impl Peer {
    pub(crate) fn new(id: NodeId, address: String, limits: OutboxLimits) -> Self {
        let ending = Ending { severity: Severity::Routine, was_heard: false };
        Self {
            id,
            address: Mutex::new(address),
            line: Mutex::new(Line { outbox: Outbox::new(limits), session: None }),
            lifecycle: Mutex::default(),
            link: watch::Sender::new(Link::Down(ending)),
            redial: Notify::new(),
            received: Counter::default(),
            connections: Counter::default(),
        }
    }

    pub(crate) const fn id(&self) -> NodeId {
        self.id
    }

    pub(crate) fn address(&self) -> String {
        lock(&self.address).clone()
    }

    /// Changes the address; calls there at once if it is another and there is no connection.
    pub(crate) fn set_address(&self, address: String) {
        let mut present = lock(&self.address);
        if *present != address {
            *present = address;
            self.redial.notify_one();
        }
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn set_supervisor(&self, supervisor: AbortHandle) {
        lock(&self.lifecycle).supervisor = Some(supervisor);
    }

    pub(crate) fn send(&self, packet: Packet, now: Timestamp) -> SendOutcome {
        let lane = packet.lane();
        let mut line = lock(&self.line);
        let outcome = line.outbox.push(packet, now);
        // What is replaced was in the queue, so the writer is awake.
        if outcome == SendOutcome::Queued
            && let Some(session) = &line.session
        {
            match lane {
                Lane::Append => session.wake_append(),
                Lane::Bulk => session.wake_bulk(),
                Lane::Control => session.wake_control(),
            }
        }
        outcome
    }

    pub(crate) fn with_outbox<T>(&self, f: impl FnOnce(&mut Outbox) -> T) -> T {
        f(&mut lock(&self.line).outbox)
    }

    pub(crate) fn count_received(&self) {
        self.received.add(1);
    }

    /// Makes `session` the connection in use, if it is the one to keep.
    ///
    /// # Errors
    ///
    /// The code to close it with, if it is not.
    pub(crate) fn install(
        &self,
        session: &Arc<Session>,
        inbound: &dyn Inbound,
    ) -> Result<(), CloseCode> {
        let mut lifecycle = lock(&self.lifecycle);
        if let Some(code) = lifecycle.gone {
            return Err(code);
        }
        let present = lifecycle.present.as_ref().map(|present| present.candidate());
        match lifecycle.fence.admit(present, session.candidate()) {
            Admission::Replace => self.retire(&mut lifecycle, CloseCode::Duplicate, inbound),
            Admission::Supersede => {
                self.retire(&mut lifecycle, CloseCode::StaleGeneration, inbound);
            }
            Admission::Duplicate => return Err(CloseCode::Duplicate),
            Admission::Stale => return Err(CloseCode::StaleGeneration),
            Admission::Cloned => {
                self.retire(&mut lifecycle, CloseCode::Cloned, inbound);
                let ending = Ending { severity: Severity::Retry, was_heard: false };
                self.link.send_replace(Link::Down(ending));
                return Err(CloseCode::Cloned);
            }
        }
        self.put_in_use(&mut lifecycle, session, inbound);
        Ok(())
    }

    fn put_in_use(&self, lifecycle: &mut Lifecycle, session: &Arc<Session>, inbound: &dyn Inbound) {
        let agreement = session.agreement();
        lifecycle.present = Some(Arc::clone(session));
        lifecycle.trouble = None;
        {
            let mut line = lock(&self.line);
            line.outbox.open(agreement.limits);
            line.session = Some(Arc::clone(session));
        }
        self.connections.add(1);
        // Votes may have waited for this.
        session.wake_control();
        self.link.send_replace(Link::Up);
        let generation = agreement.run.generation;
        tracing::info!(
            peer = %self.id,
            generation,
            address = %session.connection().remote_address(),
            "connected"
        );
        inbound.on_event(PeerEvent::Up { peer: self.id, generation });
    }

    /// Closes the connection in use, if there is one, in favour of another.
    fn retire(&self, lifecycle: &mut Lifecycle, code: CloseCode, inbound: &dyn Inbound) {
        if let Some(session) = lifecycle.present.take() {
            session.close(code);
            self.take_out_of_use(&session, DownReason::Closed(code), inbound);
        }
    }

    /// The connection of `session` is at its end.
    pub(crate) fn on_closed(&self, session: &Arc<Session>, why: DownReason, inbound: &dyn Inbound) {
        let mut lifecycle = lock(&self.lifecycle);
        session.end();
        if !lifecycle.present.as_ref().is_some_and(|present| Arc::ptr_eq(present, session)) {
            // It was replaced, and that was reported.
            return;
        }
        lifecycle.present = None;
        let rejection = rejection(&why);
        let severity = rejection.as_ref().map_or(Severity::Routine, severity);
        self.take_out_of_use(session, why, inbound);
        if let Some(reason) = rejection.filter(|_| severity != Severity::Routine) {
            self.report(&mut lifecycle, Trouble::Rejected(reason), inbound);
        }
        let ending = Ending { severity, was_heard: session.is_heard() };
        self.link.send_replace(Link::Down(ending));
    }

    fn take_out_of_use(&self, session: &Arc<Session>, why: DownReason, inbound: &dyn Inbound) {
        session.end();
        let discarded = {
            let mut line = lock(&self.line);
            line.session = None;
            line.outbox.close()
        };
        tracing::info!(peer = %self.id, reason = %why, "disconnected");
        let peer = self.id;
        let lanes = [
            (Lane::Control, discarded.control),
            (Lane::Append, discarded.append),
            (Lane::Bulk, discarded.bulk),
        ];
        for (lane, packets) in lanes {
            if packets > 0 {
                inbound.on_event(PeerEvent::Dropped { peer, lane, packets });
            }
        }
        inbound.on_event(PeerEvent::Down { peer, why });
    }

    /// An attempt to connect has failed; tells that if it is news.
    pub(crate) fn on_trouble(&self, trouble: Trouble, inbound: &dyn Inbound) {
        let mut lifecycle = lock(&self.lifecycle);
        // A failed attempt beside a connection that works is no trouble.
        if lifecycle.present.is_none() {
            self.report(&mut lifecycle, trouble, inbound);
        }
    }

    fn report(&self, lifecycle: &mut Lifecycle, trouble: Trouble, inbound: &dyn Inbound) {
        let is_news = match (&lifecycle.trouble, &trouble) {
            (Some(Trouble::Unreachable(_)), Trouble::Unreachable(_)) => false,
            (known, new) => known.as_ref() != Some(new),
        };
        if !is_news {
            tracing::debug!(peer = %self.id, ?trouble, "still not connected");
            return;
        }
        match &trouble {
            Trouble::Unreachable(reason) => {
                tracing::info!(peer = %self.id, %reason, "cannot connect, will keep trying");
            }
            Trouble::Rejected(reason) => {
                tracing::warn!(peer = %self.id, %reason, "connection rejected");
                let event = PeerEvent::Rejected { peer: self.id, reason: reason.clone() };
                inbound.on_event(event);
            }
        }
        lifecycle.trouble = Some(trouble);
    }

    /// Ends the connection, and all attempts at another, for good.
    pub(crate) fn leave(&self, code: CloseCode) {
        let mut lifecycle = lock(&self.lifecycle);
        lifecycle.gone = Some(code);
        if let Some(supervisor) = lifecycle.supervisor.take() {
            supervisor.abort();
        }
        if let Some(session) = &lifecycle.present {
            session.close(code);
        }
    }

    pub(crate) fn stats(&self) -> PeerStats {
        let (session, outbox) = {
            let line = lock(&self.line);
            (line.session.clone(), line.outbox.tally())
        };
        PeerStats {
            connection: session.map(|session| {
                ConnectionStats::of(session.connection(), session.agreement().run.generation)
            }),
            connections: self.connections.get(),
            outbox,
            received: self.received.get(),
        }
    }
}

/// What a connection's end says about the next attempt.
fn rejection(why: &DownReason) -> Option<RejectReason> {
    match why {
        DownReason::Closed(code) => Some(RejectReason::Refused(*code)),
        DownReason::ClosedByPeer(code) => Some(RejectReason::RefusedByPeer(*code)),
        DownReason::Lost(_) | _ => None,
    }
}

/// How soon to try again after a rejection.
pub(crate) fn severity(reason: &RejectReason) -> Severity {
    match reason {
        RejectReason::Refused(code) | RejectReason::RefusedByPeer(code) => code.severity(),
        RejectReason::Certificate(_) | _ => Severity::Fatal,
    }
}

/// Why a packet to a peer that has left is dropped.
pub(crate) const UNKNOWN: SendOutcome = SendOutcome::Dropped(DropReason::NotAMember);

/// Locks. A panic of another thread leaves nothing half done that matters here.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
