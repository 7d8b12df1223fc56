//! A server with nothing to do is small: a machine may hold many groups, most of which rest.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and says what it has measured"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use raft_core::{
    Config, Input, Membership, Message, NodeId, Output, Raft, Restored, RoleKind, Timestamp,
};

/// Counts the bytes that each thread holds.
struct Counting;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

fn note(change: impl Fn(usize) -> usize) {
    // The thread's storage may be gone when its last allocations happen.
    LIVE.try_with(|live| live.set(change(live.get()))).ok();
}

// SAFETY: each method passes its arguments on to the system's allocator, whose contract is the
// same.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(|live| live.wrapping_add(layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(|live| live.wrapping_sub(layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        note(|live| live.wrapping_sub(layout.size()).wrapping_add(len));
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server and all that it has on the heap.
const SIZE_MAX: usize = 1_536;

/// Three servers, the first of which leads, with disks and a network that take no time, driven by
/// one and the same `Output`, as the groups of one machine are.
struct Trio {
    servers: Vec<Raft>,
    output: Output,
    wire: Vec<Message>,
    now: Timestamp,
}

impl Trio {
    fn new() -> Self {
        let ids = [1, 2, 3].map(|id| NodeId::new(id).unwrap());
        let members = || Membership::of_voters(ids.map(|id| (id, "10.0.0.1:7000"))).unwrap();
        let now = Timestamp::default();
        let server = |id: NodeId| {
            let mut config = Config::new(id);
            // What is in memory of a log is the user's to say.
            config.tail_bytes_max = 0;
            Raft::new(config, Restored::bootstrap(members()), id.get(), now).unwrap()
        };
        let servers: Vec<_> = ids.into_iter().map(server).collect();
        let now = servers[0].next_deadline();
        let mut trio = Self { servers, output: Output::default(), wire: Vec::new(), now };
        trio.servers[0].step(now, Input::Timeout);
        trio.settle();
        assert_eq!(trio.servers[0].status().role, RoleKind::Leader);
        trio
    }

    fn settle(&mut self) {
        let Self { servers, output, wire, now } = self;
        loop {
            for server in &mut *servers {
                while server.poll_into(output) {
                    wire.append(&mut output.messages);
                    if let Some(write) = output.write.take() {
                        server.step(*now, Input::Persisted(write.seq));
                    }
                }
            }
            if wire.is_empty() {
                return;
            }
            for message in wire.drain(..) {
                let at = usize::try_from(message.to.get()).unwrap() - 1;
                servers[at].step(*now, Input::Message(message));
            }
        }
    }

    /// Has many entries committed at once, one after the other, and read.
    fn work(&mut self) {
        for _ in 0..100 {
            for _ in 0..100 {
                self.servers[0].propose(self.now, Bytes::from_static(&[7; 100])).unwrap();
            }
            self.servers[1].read(self.now, Default::default()).unwrap();
            self.settle();
        }
    }

    /// Lets time pass for three heartbeats.
    fn rest(&mut self) {
        for _ in 0..3 {
            self.now = self.servers[0].next_deadline();
            self.servers[0].step(self.now, Input::Timeout);
            self.settle();
        }
    }
}

/// What a server takes, alone, with its heap. Whatever it shares with others is its own then.
fn size_at(at: usize, work: impl FnOnce(&mut Trio)) -> usize {
    let before = LIVE.get();
    let mut trio = Trio::new();
    work(&mut trio);
    let server = trio.servers.swap_remove(at);
    drop(trio);
    let size = size_of::<Raft>() + LIVE.get() - before;
    println!("{:?}: {size} bytes, of which {} inline", server.status().role, size_of::<Raft>());
    size
}

#[test]
fn a_follower_at_rest_is_small() {
    assert!(size_at(1, Trio::rest) < SIZE_MAX);
}

#[test]
fn a_follower_that_comes_to_rest_gives_back_what_it_took_for_its_work() {
    let size = size_at(1, |trio| {
        trio.work();
        trio.rest();
    });
    assert!(size < SIZE_MAX);
}

#[test]
fn a_leader_that_comes_to_rest_gives_back_what_it_took_for_its_work() {
    let size = size_at(0, |trio| {
        trio.work();
        trio.rest();
    });
    assert!(size < SIZE_MAX);
}

#[test]
fn a_group_at_rest_has_nothing_to_do_before_its_deadlines() {
    let mut trio = Trio::new();
    trio.rest();
    for server in &mut trio.servers {
        let deadline = server.next_deadline();
        assert!(deadline > trio.now);

        // Woken without reason, a moment too early.
        server.step(Timestamp::from_micros(deadline.as_micros() - 1), Input::Timeout);

        assert_eq!(server.poll_output(), None);
        assert_eq!(server.next_deadline(), deadline);
    }
}
