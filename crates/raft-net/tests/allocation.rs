//! No peer makes us allocate what it merely claims.

#[allow(dead_code, reason = "a part of it")]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use raft_core::GroupId;
use raft_net::frame::Prelude;
use raft_net::{FrameKind, FrameLimits, FrameReader, Integrity, Lane};

/// Notes the largest single allocation of each thread.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

fn note(len: usize) {
    // The thread's storage may be gone when its last allocations happen.
    LARGEST.try_with(|largest| largest.set(largest.get().max(len))).ok();
}

// SAFETY: each method passes its arguments on to the system's allocator, whose contract is the
// same.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        note(len);
        // SAFETY: as promised by the caller.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

fn largest_during(f: impl FnOnce()) -> usize {
    LARGEST.set(0);
    f();
    LARGEST.get()
}

fn prelude(body_len: u32, head_len: u32) -> Bytes {
    let prelude = Prelude {
        kind: FrameKind::Forward,
        body_len,
        head_len,
        sequence: 0,
        group: GroupId::FIRST,
        cluster: common::CLUSTER,
        checksum: None,
    };
    Bytes::copy_from_slice(&prelude.encode())
}

#[test]
fn claimed_length_beyond_the_limit_costs_nothing() {
    let bytes = prelude(u32::MAX, 0);
    let mut reader = FrameReader::stream(Lane::Append, FrameLimits::default(), Integrity::Sealed);

    let largest = largest_during(|| {
        reader.push(bytes);
        assert!(reader.next_frame().is_err());
    });

    assert!(largest < 1024, "allocated {largest} bytes");
}

#[test]
fn claimed_length_within_the_limit_costs_little_until_it_arrives() {
    let bytes = prelude(8 * 1024 * 1024, 0);
    let mut reader = FrameReader::stream(Lane::Append, FrameLimits::default(), Integrity::Sealed);

    let largest = largest_during(|| {
        reader.push(bytes);
        assert_eq!(reader.next_frame(), Ok(None));
        for _ in 0..16 {
            reader.push(Bytes::from_static(&[0; 1024]));
            assert_eq!(reader.next_frame(), Ok(None));
        }
    });

    assert!(largest <= 64 * 1024, "allocated {largest} bytes for 16 KiB");
}

#[test]
fn claimed_number_of_items_costs_nothing() {
    // Id 0, then 65 536 commands, and no lengths.
    let head = [0, 0x80, 0x80, 0x04];
    let mut bytes = prelude(4, 4).to_vec();
    bytes.extend(head);
    let mut reader = FrameReader::stream(Lane::Append, FrameLimits::default(), Integrity::Sealed);
    reader.push(bytes.into());
    let frame = reader.next_frame().unwrap().unwrap();

    let largest = largest_during(|| assert!(frame.decode(&common::route()).is_err()));

    assert!(largest < 1024, "allocated {largest} bytes");
}
