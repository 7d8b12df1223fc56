//! The lanes of entries and of snapshots: queues that refuse rather than forget.

use std::collections::VecDeque;

use raft_core::{AppendReply, Body, Message};

use crate::inbound::{DropReason, SendOutcome};
use crate::packet::Packet;

#[derive(Debug)]
pub(super) struct LaneQueue {
    bytes_max: usize,
    packets_max: usize,
    queue: VecDeque<(Packet, usize)>,
    /// Sum of the weights in `queue`.
    bytes: usize,
}

impl LaneQueue {
    pub(super) const fn new(bytes_max: usize, packets_max: usize) -> Self {
        Self { bytes_max, packets_max, queue: VecDeque::new(), bytes: 0 }
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, packet: Packet, weight: usize) -> SendOutcome {
        if let Some((last, _)) = self.queue.back_mut()
            && acknowledges_more(&packet, last)
        {
            *last = packet;
            return SendOutcome::Replaced;
        }
        let has_room = self.bytes + weight <= self.bytes_max && self.queue.len() < self.packets_max;
        if !has_room && !self.queue.is_empty() {
            return SendOutcome::Dropped(DropReason::LaneFull);
        }
        self.bytes += weight;
        self.queue.push_back((packet, weight));
        SendOutcome::Queued
    }

    pub(super) fn take(&mut self, into: &mut Vec<Packet>, weight_max: usize) {
        let mut taken = 0;
        while let Some((packet, weight)) =
            self.queue.pop_front_if(|(_, weight)| taken == 0 || taken + *weight <= weight_max)
        {
            taken += weight;
            self.bytes -= weight;
            into.push(packet);
        }
    }

    pub(super) fn clear(&mut self) -> usize {
        let count = self.queue.len();
        self.queue.clear();
        self.bytes = 0;
        count
    }
}

/// Whether `new` says all that `old` says: both acknowledge, in the same term, `new` more.
fn acknowledges_more(new: &Packet, old: &Packet) -> bool {
    let (Some((new, new_index)), Some((old, old_index))) = (acknowledged(new), acknowledged(old))
    else {
        return false;
    };
    new_index >= old_index && new.term == old.term && new.to == old.to
}

const fn acknowledged(packet: &Packet) -> Option<(&Message, u64)> {
    if let Packet::Raft(message) = packet
        && let Body::AppendReply(AppendReply::Accepted { matched }) = &message.body
    {
        return Some((message, matched.get()));
    }
    None
}
