//! The control lane: heartbeats in slots, votes in a queue that forgets the oldest.

use std::collections::VecDeque;
use std::time::Duration;

use raft_core::{Body, Message, Timestamp};

use super::{OutboxLimits, is_vote};
use crate::inbound::SendOutcome;
use crate::packet::Packet;

/// Packets of which only the newest counts.
#[derive(Debug, Default)]
pub(super) struct Pulses {
    heartbeat: Option<Packet>,
    reply: Option<Packet>,
    commit: Option<Packet>,
}

impl Pulses {
    /// Takes `packet` if it is one of these; gives it back if not.
    pub(super) fn push(&mut self, packet: Packet) -> Result<SendOutcome, Packet> {
        let slot = match &packet {
            Packet::Raft(Message { body: Body::Heartbeat(_), .. }) => &mut self.heartbeat,
            Packet::Raft(Message { body: Body::HeartbeatReply(_), .. }) => &mut self.reply,
            Packet::Raft(Message { body: Body::CommitNotice(_), .. }) => &mut self.commit,
            Packet::Raft(_)
            | Packet::Forward(_)
            | Packet::ForwardReply(_)
            | Packet::SnapshotRequest(_)
            | Packet::SnapshotReply(_) => return Err(packet),
        };
        Ok(match slot.replace(packet) {
            None => SendOutcome::Queued,
            Some(_) => SendOutcome::Replaced,
        })
    }

    pub(super) fn take(&mut self, into: &mut Vec<Packet>) {
        into.extend(self.heartbeat.take());
        into.extend(self.reply.take());
        into.extend(self.commit.take());
    }

    pub(super) fn clear(&mut self) -> usize {
        let slots = [self.heartbeat.take(), self.reply.take(), self.commit.take()];
        slots.into_iter().flatten().count()
    }
}

#[derive(Debug)]
pub(super) struct ControlQueue {
    bytes_max: usize,
    packets_max: usize,
    age_max: Duration,
    queue: VecDeque<Waiting>,
    /// Sum of the weights in `queue`.
    bytes: usize,
}

#[derive(Debug)]
struct Waiting {
    packet: Packet,
    weight: usize,
    since: Timestamp,
}

impl ControlQueue {
    pub(super) const fn new(limits: &OutboxLimits) -> Self {
        let OutboxLimits { control_bytes_max, control_packets_max, vote_age_max, .. } = *limits;
        Self {
            bytes_max: control_bytes_max,
            packets_max: control_packets_max,
            age_max: vote_age_max,
            queue: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Queues `packet`; returns how many older ones had to go.
    pub(super) fn push(&mut self, packet: Packet, now: Timestamp) -> usize {
        let weight = packet.payload().weight();
        self.bytes += weight;
        self.queue.push_back(Waiting { packet, weight, since: now });
        let mut pushed_out = 0;
        while self.is_overfull()
            && let Some(oldest) = self.queue.pop_front()
        {
            self.bytes -= oldest.weight;
            pushed_out += 1;
        }
        pushed_out
    }

    fn is_overfull(&self) -> bool {
        self.queue.len() > self.packets_max.max(1)
            || (self.bytes > self.bytes_max && self.queue.len() > 1)
    }

    /// Takes all; returns how many were dropped for their age.
    pub(super) fn take(&mut self, into: &mut Vec<Packet>, now: Timestamp) -> usize {
        self.bytes = 0;
        let before = into.len() + self.queue.len();
        let age_max = self.age_max;
        let fresh = self.queue.drain(..).filter(|waiting| now.since(waiting.since) <= age_max);
        into.extend(fresh.map(|waiting| waiting.packet));
        before - into.len()
    }

    /// Discards all but votes; returns how many.
    pub(super) fn keep_votes(&mut self) -> usize {
        let before = self.queue.len();
        self.queue.retain(|waiting| is_vote(&waiting.packet));
        self.bytes = self.queue.iter().map(|waiting| waiting.weight).sum();
        before - self.queue.len()
    }
}
