//! An entry costs its own bytes and no allocation besides; what a batch costs, its entries share: a
//! list for each follower.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it has measured"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::VecDeque;

use bytes::Bytes;
use raft_core::{
    Config, Input, LogIndex, Membership, Message, NodeId, Output, Raft, Restored, RoleKind,
    Timestamp, WriteSeq,
};

/// Counts the allocations of each thread.
struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

fn note() {
    // The thread's storage may be gone when its last allocations happen.
    COUNT.try_with(|count| count.set(count.get() + 1)).ok();
}

// SAFETY: each method passes its arguments on to the system's allocator, whose contract is the
// same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        note();
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Three servers, the first of which leads, with disks and a network that take no time.
struct Trio {
    servers: [Raft; 3],
    wire: VecDeque<Message>,
    writes: VecDeque<(usize, WriteSeq)>,
    now: Timestamp,
    output: Output,
    /// Allocations in the core alone.
    allocations: usize,
}

impl Trio {
    fn new() -> Self {
        let ids = [1, 2, 3].map(|id| NodeId::new(id).unwrap());
        let members = Membership::of_voters(ids.map(|id| (id, ""))).unwrap();
        let now = Timestamp::default();
        let servers = ids.map(|id| {
            let mut config = Config::new(id);
            // Small, so that what is in memory soon takes no more of it.
            config.tail_bytes_max = 64 << 10;
            Raft::new(config, Restored::bootstrap(members.clone()), id.get(), now).unwrap()
        });
        let (wire, writes) = (VecDeque::with_capacity(64), VecDeque::with_capacity(64));
        let output = Output::default();
        let mut trio = Self { servers, wire, writes, now, output, allocations: 0 };
        trio.now = trio.servers[0].next_deadline();
        let now = trio.now;
        trio.on(0, |raft| raft.step(now, Input::Timeout));
        trio.settle();
        assert_eq!(trio.servers[0].status().role, RoleKind::Leader);
        trio
    }

    /// Calls the core, and counts what that allocates.
    fn call<T>(&mut self, server: usize, act: impl FnOnce(&mut Raft) -> T) -> T {
        let before = COUNT.get();
        let answer = act(&mut self.servers[server]);
        self.allocations += COUNT.get() - before;
        answer
    }

    /// Calls the core, and takes what comes out.
    fn on(&mut self, server: usize, act: impl FnOnce(&mut Raft)) {
        self.call(server, act);
        let mut output = core::mem::take(&mut self.output);
        while self.call(server, |raft| raft.poll_into(&mut output)) {
            self.writes.extend(output.write.as_ref().map(|write| (server, write.seq)));
            self.wire.extend(output.messages.drain(..));
        }
        self.output = output;
    }

    fn settle(&mut self) {
        let now = self.now;
        loop {
            if let Some((server, seq)) = self.writes.pop_front() {
                self.on(server, |raft| raft.step(now, Input::Persisted(seq)));
            } else if let Some(message) = self.wire.pop_front() {
                let server = usize::try_from(message.to.get()).unwrap() - 1;
                self.on(server, |raft| raft.step(now, Input::Message(message)));
            } else {
                return;
            }
        }
    }

    /// Has as many clients propose one command each, all of which are committed.
    fn round(&mut self, clients: usize) {
        let now = self.now;
        for _ in 0..clients {
            let command = Bytes::from_static(&[7; 100]);
            self.call(0, |raft| raft.propose(now, command).unwrap());
        }
        self.on(0, |_| {});
        self.settle();
    }

    fn committed(&self) -> [LogIndex; 3] {
        [0, 1, 2].map(|server: usize| self.servers[server].status().commit)
    }
}

/// Allocations of all three servers together for a thousand entries, beside their own bytes.
fn allocations_per_thousand(clients: usize) -> usize {
    const ROUNDS: usize = 100;
    let mut trio = Trio::new();
    (0..ROUNDS).for_each(|_| trio.round(clients));
    let before = trio.committed();
    trio.allocations = 0;

    (0..ROUNDS).for_each(|_| trio.round(clients));

    let entries = ROUNDS * clients;
    let more = u64::try_from(entries).unwrap();
    let expected = before.map(|index| LogIndex::new(index.get() + more));
    assert_eq!(trio.committed(), expected, "everywhere, and at once");
    let allocations = trio.allocations * 1_000 / entries;
    println!("{clients} in flight: {allocations} allocations for a thousand entries");
    allocations
}

#[test]
fn with_16_entries_in_flight_each_costs_an_eighth_of_an_allocation_on_three_servers_together() {
    // One list for each follower.
    assert!(allocations_per_thousand(16) <= 130);
}

#[test]
fn with_256_entries_in_flight_each_costs_next_to_none() {
    assert!(allocations_per_thousand(256) <= 10);
}
