//! Serving those who pull snapshots.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{LogId, NodeId, Timestamp};

use super::{Refusal, Reply, Request, TokenBucket};
use crate::num::wide;

/// Bounds on serving.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SenderLimits {
    /// Peers that are served at a time; others are told to come back.
    pub transfers_max: usize,
    /// Requests of one peer that wait; more are dropped, and the peer asks again.
    pub requests_max: usize,
    /// Bytes per second, to all peers together; `None` for no bound.
    pub bytes_per_second: Option<NonZeroU64>,
    /// A peer that has not asked for so long makes room for another.
    pub idle_after: Duration,
}

impl Default for SenderLimits {
    fn default() -> Self {
        Self {
            transfers_max: 2,
            requests_max: 16,
            bytes_per_second: NonZeroU64::new(128 << 20),
            idle_after: Duration::from_secs(5),
        }
    }
}

/// Work for the shell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SenderAction {
    /// Read what is asked, hold on to the snapshot for this peer, and tell [`Sender::on_read`].
    Read {
        /// For whom.
        to: NodeId,
        /// What.
        request: Request,
    },
    /// Send this.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        reply: Reply,
    },
    /// This peer is done, or has given up: what was held for it may go.
    Release {
        /// Whose.
        to: NodeId,
    },
}

/// One transfer, as far as the sender knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Serving {
    /// Who pulls.
    pub to: NodeId,
    /// The last entry of the snapshot.
    pub last: LogId,
    /// Bytes sent so far, manifests and repetitions included.
    pub bytes: u64,
}

/// Serves those who pull snapshots: a few at a time, taking turns, and within a rate. Who was turned
/// away comes before whoever is served begins another transfer.
///
/// It does no I/O: it is told of requests and of what was read, and yields [`SenderAction`]s.
#[derive(Debug)]
pub struct Sender {
    limits: SenderLimits,
    bucket: TokenBucket,
    peers: BTreeMap<NodeId, Peer>,
    /// Who was served last; the next one in order is next.
    turn: Option<NodeId>,
    /// Who was turned away, in that order, and when each asked last.
    turned_away: Vec<(NodeId, Timestamp)>,
    actions: VecDeque<SenderAction>,
}

#[derive(Debug)]
struct Peer {
    waiting: VecDeque<Request>,
    reading: Option<Request>,
    heard_at: Timestamp,
    last: LogId,
    bytes: u64,
}

impl Sender {
    /// Serves nobody yet.
    #[must_use]
    pub fn new(limits: SenderLimits) -> Self {
        Self {
            bucket: TokenBucket::new(limits.bytes_per_second),
            limits,
            peers: BTreeMap::new(),
            turn: None,
            turned_away: Vec::new(),
            actions: VecDeque::new(),
        }
    }

    /// Sends no more than so many bytes per second from here on, nor more than its limits allow.
    pub fn set_rate(&mut self, bytes_per_second: Option<NonZeroU64>) {
        let bounds = [self.limits.bytes_per_second, bytes_per_second];
        self.bucket.set_rate(bounds.into_iter().flatten().min());
    }

    /// A peer asks for something.
    pub fn on_request(&mut self, now: Timestamp, from: NodeId, request: Request) {
        self.release_idle(now);
        let is_served = self.peers.get(&from).is_some_and(|peer| peer.last == request.last());
        if !is_served && !self.has_place(from) {
            self.release(from);
            self.turn_away(now, from);
            let reply = Reply { request, outcome: Err(Refusal::Busy) };
            // One for each request, and they come from a connection: it is bounded by that.
            self.actions.push_back(SenderAction::Send { to: from, reply });
            return;
        }
        self.turned_away.retain(|(peer, _)| *peer != from);
        let peer = self.peers.entry(from).or_insert_with(|| Peer::new(now, request.last()));
        peer.heard_at = now;
        peer.last = request.last();
        let is_new = !peer.waiting.contains(&request) && peer.reading != Some(request);
        if is_new && peer.waiting.len() < self.limits.requests_max.max(1) {
            peer.waiting.push_back(request);
        }
    }

    /// What was asked with [`SenderAction::Read`] was read, or cannot be.
    pub fn on_read(
        &mut self,
        now: Timestamp,
        to: NodeId,
        request: Request,
        outcome: Result<Bytes, Refusal>,
    ) {
        let Some(peer) = self.peers.get_mut(&to).filter(|peer| peer.reading == Some(request))
        else {
            // It went away meanwhile.
            return;
        };
        peer.reading = None;
        peer.heard_at = now;
        let bytes = outcome.as_ref().map_or(0, |bytes| wide(bytes.len()));
        peer.bytes += bytes;
        self.bucket.spend(now, bytes);
        self.actions.push_back(SenderAction::Send { to, reply: Reply { request, outcome } });
    }

    /// The connection to a peer is gone.
    pub fn on_gone(&mut self, peer: NodeId) {
        self.turned_away.retain(|(other, _)| *other != peer);
        self.release(peer);
    }

    /// When [`Sender::poll`] may have something although nothing has happened.
    #[must_use]
    pub fn next_deadline(&self) -> Timestamp {
        let waits = |peer: &Peer| peer.reading.is_none() && !peer.waiting.is_empty();
        let ready = self.peers.values().any(waits).then(|| self.bucket.ready_at());
        let idle = self.peers.values().map(|peer| peer.heard_at.after(self.limits.idle_after));
        idle.chain(ready).min().unwrap_or(Timestamp::NEVER)
    }

    /// Whether there is nothing to do until somebody asks for something.
    #[inline]
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.peers.is_empty() && self.actions.is_empty()
    }

    /// The next thing to do; `None` if there is nothing before [`Sender::next_deadline`].
    pub fn poll(&mut self, now: Timestamp) -> Option<SenderAction> {
        if self.peers.is_empty() {
            return self.actions.pop_front();
        }
        self.release_idle(now);
        if let Some(action) = self.actions.pop_front() {
            return Some(action);
        }
        if !self.bucket.is_ready(now) {
            return None;
        }
        let to = self.next_peer()?;
        let peer = self.peers.get_mut(&to)?;
        let request = peer.waiting.pop_front()?;
        peer.reading = Some(request);
        self.turn = Some(to);
        Some(SenderAction::Read { to, request })
    }

    /// Who is being served.
    pub fn serving(&self) -> impl Iterator<Item = Serving> + '_ {
        self.peers.iter().map(|(&to, peer)| Serving { to, last: peer.last, bytes: peer.bytes })
    }

    /// The next peer, in turn, that waits for something. One read for each at a time.
    fn next_peer(&self) -> Option<NodeId> {
        let waits =
            |(_, peer): &(&NodeId, &Peer)| peer.reading.is_none() && !peer.waiting.is_empty();
        let after = |(id, _): &(&NodeId, &Peer)| self.turn.is_none_or(|turn| **id > turn);
        let mut waiting = self.peers.iter().filter(waits);
        let next = waiting.clone().find(after).or_else(|| waiting.next());
        next.map(|(&id, _)| id)
    }

    /// Whether a transfer to `peer` may begin: others that are served, or wait for longer, leave a
    /// place.
    fn has_place(&self, peer: NodeId) -> bool {
        let served = self.peers.keys().filter(|other| **other != peer).count();
        let earlier = self.turned_away.iter().take_while(|(other, _)| *other != peer).count();
        served + earlier < self.limits.transfers_max.max(1)
    }

    fn turn_away(&mut self, now: Timestamp, peer: NodeId) {
        match self.turned_away.iter_mut().find(|(other, _)| *other == peer) {
            Some((_, asked_at)) => *asked_at = now,
            None => self.turned_away.push((peer, now)),
        }
    }

    fn release(&mut self, peer: NodeId) {
        if self.peers.remove(&peer).is_some() {
            self.actions.push_back(SenderAction::Release { to: peer });
        }
    }

    fn release_idle(&mut self, now: Timestamp) {
        let idle_after = self.limits.idle_after;
        self.turned_away.retain(|(_, asked_at)| now < asked_at.after(idle_after));
        let is_idle = |peer: &Peer| peer.heard_at.after(idle_after) <= now;
        while let Some((&id, _)) = self.peers.iter().find(|(_, peer)| is_idle(peer)) {
            self.release(id);
        }
    }
}

impl Peer {
    const fn new(now: Timestamp, last: LogId) -> Self {
        Self { waiting: VecDeque::new(), reading: None, heard_at: now, last, bytes: 0 }
    }
}

#[cfg(test)]
mod tests;
