//! Raft cores beside each other: three servers in one thread, commands of 256 bytes, until applied on all three.
//! What a core cannot do (wait for a disk) is not asked of any: writes are durable at once.

mod floor;
mod ours;
mod raft_io_1;
mod raft_rs;
mod raftbare_0_2;
mod rafter_0;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Three servers with an elected leader.
trait Cluster {
    /// Proposes a command.
    fn propose(&mut self, command: &[u8]);

    /// Delivers messages until every command is applied on all three servers.
    fn settle(&mut self);

    /// Commands applied by the server that has applied fewest.
    fn applied(&self) -> u64;
}

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COMMAND: [u8; 256] = [7; 256];

/// Commands arrive in buffers of this size, as they do from a network.
const CHUNK: usize = 64 << 10;

type Make = fn() -> Box<dyn Cluster>;

const CONTENDERS: [(&str, Make); 6] = [
    ("one copy, bare bookkeeping", || Box::new(floor::Floor::new())),
    ("raft-core", || Box::new(ours::Ours::new())),
    ("raft-rs 0.7", || Box::new(raft_rs::RaftRs::new())),
    ("raft-io 1.0", || Box::new(raft_io_1::RaftIo::new())),
    ("raftbare 0.2", || Box::new(raftbare_0_2::Raftbare::new())),
    ("rafter 0.0.1", || Box::new(rafter_0::Rafter::new())),
];

fn main() {
    let only = std::env::args().nth(1);
    let loads: Vec<u64> = std::env::args().skip(2).filter_map(|load| load.parse().ok()).collect();
    let loads = if loads.is_empty() { vec![1, 16, 256] } else { loads };
    let heads: Vec<_> = loads.iter().map(|load| format!("{:>26}", format!("{load} in flight"))).collect();
    println!("{:<28} {}", "", heads.join(" "));
    for (name, make) in CONTENDERS {
        if only.as_ref().is_some_and(|only| !name.contains(&**only)) {
            continue;
        }
        let cells: Vec<_> = loads.iter().map(|&in_flight| measure(make, in_flight)).collect();
        println!("{name:<28} {}", cells.join(" "));
    }
}

/// The best of five runs: what disturbs a run makes it slower, never faster.
fn measure(make: Make, in_flight: u64) -> String {
    let runs: Vec<_> = (0..5).map(|_| run(make, in_flight)).collect();
    let best = runs.iter().map(|run| run.0).min().unwrap_or_default();
    let allocations = runs.iter().map(|run| run.1).fold(f64::MAX, f64::min);
    format!("{:>14} ns {allocations:>5.2} all.", best.as_nanos())
}

/// Time and allocations for each command. It takes a while, or as many rounds as `ROUNDS` says: for whoever counts
/// instructions.
fn run(make: Make, in_flight: u64) -> (Duration, f64) {
    const LASTS: Duration = Duration::from_millis(150);
    let rounds: Option<u64> = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut cluster = make();
    let round = |cluster: &mut Box<dyn Cluster>| {
        (0..in_flight).for_each(|_| cluster.propose(&COMMAND));
        cluster.settle();
    };
    (0..64).for_each(|_| round(&mut cluster));
    let (applied, allocations, start) = (cluster.applied(), ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
    let mut done = 0;
    while rounds.map_or_else(|| start.elapsed() < LASTS, |rounds| done < rounds) {
        round(&mut cluster);
        done += 1;
    }
    let elapsed = start.elapsed();
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - allocations;
    let applied = cluster.applied() - applied;
    assert!(applied > 0, "nothing was applied");
    (elapsed / u32::try_from(applied).unwrap_or(u32::MAX), allocations as f64 / applied as f64)
}
