//! What is going to happen, in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use raft_core::{Fetch, NodeId};
use raft_net::Lane;

/// Something that happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    /// A packet arrives.
    Packet(Transit),
    /// A sender is told that packets to a peer may have been lost.
    Unreachable { at: Process, peer: NodeId },
    /// A node's deadline has come.
    Wake(Process),
    /// A node takes what has gathered.
    Turn(Process),
    /// A write and its sync have taken their time.
    Flush(Process),
    /// Nothing has been written for a while.
    Idle { at: Process, writes: u32 },
    /// Entries were read back.
    Fetched { at: Process, fetch: Fetch },
    /// A state machine is ready for its next job.
    Job(Process),
    /// The shelf of snapshots has done something.
    Shelf(Process),
    /// A client asks.
    Client(u16),
    /// The fault with this number begins.
    Fault(usize),
    /// It ends.
    Relief(usize),
    /// A process starts.
    Start(u8),
}

/// A packet under way.
#[derive(Debug)]
pub(super) struct Transit {
    pub(super) from: Process,
    pub(super) to: Process,
    /// For the trace.
    pub(super) number: u64,
    pub(super) lane: Lane,
    /// Whether it may arrive after either end was started anew.
    pub(super) outlives: bool,
    pub(super) corrupted: bool,
    pub(super) bytes: Bytes,
}

/// One run of a node's process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Process {
    pub(super) node: u8,
    pub(super) life: u32,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: BinaryHeap<Reverse<Due>>,
    /// The events, where `heap` says; it is small, for it is moved about much.
    events: Vec<Option<Event>>,
    /// Places in `events` that are free.
    free: Vec<usize>,
    count: u64,
}

/// What is due first is the smallest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Due {
    at: u64,
    /// What was queued first happens first.
    number: u64,
    place: usize,
}

impl Queue {
    pub(super) fn push(&mut self, at: u64, event: Event) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.count += 1;
        self.heap.push(Reverse(Due { at, number: self.count, place }));
    }

    /// Takes what happens next, if it does until `end`.
    pub(super) fn pop_until(&mut self, end: u64) -> Option<(u64, Event)> {
        if self.heap.peek()?.0.at > end {
            return None;
        }
        let Reverse(Due { at, place, .. }) = self.heap.pop()?;
        self.free.push(place);
        self.events[place].take().map(|event| (at, event))
    }
}
