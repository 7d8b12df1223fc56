//! Packets on their way to one peer, before they are bytes.
//!
//! | Lane | Packets | Bound | When full |
//! |---|---|---|---|
//! | Control | heartbeats, their replies, commit notices | one of each | the newest replaces |
//! | Control | votes and the like | bytes and number | the oldest is dropped |
//! | Append | entries, replies, forwarded commands | bytes and number | the new one is refused |
//! | Bulk | parts of snapshots | bytes and number | the new one is refused |
//!
//! A reply that acknowledges more replaces the one before it. Votes may wait for a connection;
//! everything else is refused without one, and discarded when it ends: it would be stale.

mod control;
mod lane;

use std::time::Duration;

use raft_core::{Body, Message, Timestamp};

use self::control::{ControlQueue, Pulses};
use self::lane::LaneQueue;
use crate::inbound::{DropReason, SendOutcome};
use crate::limits::{FrameLimits, ITEMS_MAX};
use crate::packet::{Lane, Packet};

/// Bounds of an [`Outbox`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OutboxLimits {
    /// Bytes on the append lane. One packet may exceed it if it is alone.
    pub append_bytes_max: usize,
    /// Packets on the append lane.
    pub append_packets_max: usize,
    /// Bytes on the bulk lane. One packet may exceed it if it is alone.
    pub bulk_bytes_max: usize,
    /// Packets on the bulk lane.
    pub bulk_packets_max: usize,
    /// Bytes of votes and the like.
    pub control_bytes_max: usize,
    /// Packets of this kind.
    pub control_packets_max: usize,
    /// How long a vote may wait for a connection: no longer than an election takes.
    pub vote_age_max: Duration,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            append_bytes_max: 8 * 1024 * 1024,
            append_packets_max: 4096,
            bulk_bytes_max: 4 * 1024 * 1024,
            bulk_packets_max: 64,
            control_bytes_max: 256 * 1024,
            control_packets_max: 1024,
            vote_age_max: Duration::from_secs(1),
        }
    }
}

/// Packets on their way to one peer.
#[derive(Debug)]
pub struct Outbox {
    /// Bounds that the peer agreed to; `None` without a connection.
    open: Option<FrameLimits>,
    pulses: Pulses,
    control: ControlQueue,
    append: LaneQueue,
    bulk: LaneQueue,
    tally: OutboxTally,
}

/// What has happened to packets so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct OutboxTally {
    /// Queued, including those that replaced an older one.
    pub queued: u64,
    /// Made superfluous by a newer one before they left.
    pub replaced: u64,
    /// Refused for want of a connection.
    pub not_connected: u64,
    /// Refused, or pushed out, for want of room.
    pub lane_full: u64,
    /// Refused for their size.
    pub too_large: u64,
    /// Discarded when the connection ended, or for their age.
    pub discarded: u64,
}

/// How many packets were discarded, by lane.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Discarded {
    /// Of the control lane.
    pub control: usize,
    /// Of the append lane.
    pub append: usize,
    /// Of the bulk lane.
    pub bulk: usize,
}

impl Outbox {
    /// Starts without a connection.
    #[must_use]
    pub fn new(limits: OutboxLimits) -> Self {
        Self {
            open: None,
            pulses: Pulses::default(),
            control: ControlQueue::new(&limits),
            append: LaneQueue::new(limits.append_bytes_max, limits.append_packets_max),
            bulk: LaneQueue::new(limits.bulk_bytes_max, limits.bulk_packets_max),
            tally: OutboxTally::default(),
        }
    }

    /// A connection is there, and takes frames within `limits`.
    pub const fn open(&mut self, limits: FrameLimits) {
        self.open = Some(limits);
    }

    /// The connection is gone: discards what would be stale when the next one is there.
    pub fn close(&mut self) -> Discarded {
        self.open = None;
        let discarded = Discarded {
            control: self.pulses.clear() + self.control.keep_votes(),
            append: self.append.clear(),
            bulk: self.bulk.clear(),
        };
        self.tally.discarded += count(discarded.control + discarded.append + discarded.bulk);
        discarded
    }

    /// Queues a packet, or says why not.
    pub fn push(&mut self, packet: Packet, now: Timestamp) -> SendOutcome {
        let outcome = self.admit(packet, now);
        match outcome {
            SendOutcome::Queued => self.tally.queued += 1,
            SendOutcome::Replaced => {
                self.tally.queued += 1;
                self.tally.replaced += 1;
            }
            SendOutcome::Dropped(DropReason::NotConnected) => self.tally.not_connected += 1,
            SendOutcome::Dropped(DropReason::LaneFull) => self.tally.lane_full += 1,
            SendOutcome::Dropped(DropReason::TooLarge) => self.tally.too_large += 1,
            // Decided before a packet comes here.
            SendOutcome::Dropped(DropReason::NotAMember | DropReason::Shutdown) => {}
        }
        outcome
    }

    fn admit(&mut self, packet: Packet, now: Timestamp) -> SendOutcome {
        let Some(limits) = self.open else {
            return match is_vote(&packet) {
                true => self.push_control(packet, now),
                false => SendOutcome::Dropped(DropReason::NotConnected),
            };
        };
        match packet.lane() {
            Lane::Append => {
                let size = packet.payload();
                let fits = |len: usize, max: u32| u32::try_from(len).is_ok_and(|len| len <= max);
                if !fits(size.bytes, limits.append_payload_max()) || !fits(size.items, ITEMS_MAX) {
                    return SendOutcome::Dropped(DropReason::TooLarge);
                }
                self.append.push(packet, size.weight())
            }
            Lane::Bulk => {
                let size = packet.payload();
                let max = limits.lane(Lane::Bulk).payload_max;
                if u32::try_from(size.bytes).is_ok_and(|bytes| bytes <= max) {
                    self.bulk.push(packet, size.weight())
                } else {
                    SendOutcome::Dropped(DropReason::TooLarge)
                }
            }
            Lane::Control => match self.pulses.push(packet) {
                Ok(outcome) => outcome,
                Err(packet) => self.push_control(packet, now),
            },
        }
    }

    fn push_control(&mut self, packet: Packet, now: Timestamp) -> SendOutcome {
        let pushed_out = self.control.push(packet, now);
        self.tally.lane_full += count(pushed_out);
        SendOutcome::Queued
    }

    /// Takes heartbeats, their replies and commit notices, which need not keep any order.
    pub fn take_pulses(&mut self, into: &mut Vec<Packet>) {
        self.pulses.take(into);
    }

    /// Takes the rest of the control lane. What has waited too long for a connection is dropped.
    pub fn take_control(&mut self, into: &mut Vec<Packet>, now: Timestamp) {
        self.tally.discarded += count(self.control.take(into, now));
    }

    /// Takes packets of the append lane in order, as many as weigh `weight_max`, or one.
    pub fn take_append(&mut self, into: &mut Vec<Packet>, weight_max: usize) {
        self.append.take(into, weight_max);
    }

    /// Takes packets of the bulk lane in order, as many as weigh `weight_max`, or one.
    pub fn take_bulk(&mut self, into: &mut Vec<Packet>, weight_max: usize) {
        self.bulk.take(into, weight_max);
    }

    /// Bytes queued on the append lane.
    #[must_use]
    pub const fn append_bytes(&self) -> usize {
        self.append.bytes()
    }

    /// What has happened to packets so far.
    #[must_use]
    pub const fn tally(&self) -> OutboxTally {
        self.tally
    }
}

/// Elections are worth a wait for the connection: they happen while connections come and go.
const fn is_vote(packet: &Packet) -> bool {
    match packet {
        Packet::Raft(Message { body, .. }) => matches!(
            body,
            Body::PreVote(_)
                | Body::PreVoteReply(_)
                | Body::RequestVote(_)
                | Body::TransferVote(_)
                | Body::VoteReply(_)
                | Body::TimeoutNow
        ),
        Packet::Forward(_)
        | Packet::ForwardReply(_)
        | Packet::SnapshotRequest(_)
        | Packet::SnapshotReply(_) => false,
    }
}

fn count(packets: usize) -> u64 {
    u64::try_from(packets).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
