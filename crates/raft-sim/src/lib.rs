//! Whole Raft clusters, disks and networks included, in one deterministic thread.
//!
//! A [`Case`] is a cluster, its configuration, and what goes wrong, all drawn from a seed. A run of
//! it is the real code - `raft`'s driver over `raft-core`, `raft-wal`'s engine, `raft-net`'s frames,
//! and *your* state machine - on simulated disks, links and clocks. After every event it is checked
//! what must hold ([`Rule`]); then the faults end for a quorum, which must make progress. The same
//! case does the same on every machine and in every build.
//!
//! Bring your state machine as an [`App`], with a [`Model`](App::Model) of what clients expect:
//!
//! ```
//! use raft::{Applied, StateMachine};
//! use raft_sim::{App, Ask, Case, Random};
//!
//! struct Sum(u64);
//!
//! impl StateMachine for Sum {
//!     type Command = u64;
//!     type Response = u64;
//!     type Query = ();
//!     type Answer = u64;
//!     fn apply(&mut self, entry: Applied<u64>) -> u64 {
//!         self.0 += entry.command;
//!         self.0
//!     }
//!     fn query(&self, (): ()) -> u64 {
//!         self.0
//!     }
//! }
//!
//! #[derive(Clone, Debug)]
//! struct Counting;
//!
//! impl App for Counting {
//!     type Machine = Sum;
//!     type Model = u64;
//!     fn machine(&self) -> Sum {
//!         Sum(0)
//!     }
//!     fn draw(&self, random: &mut Random) -> Ask<Self> {
//!         if random.coin() { Ask::Query(()) } else { Ask::Command(random.below(10)) }
//!     }
//!     fn run(model: &mut u64, command: &u64) -> u64 {
//!         *model += command;
//!         *model
//!     }
//!     fn answer(model: &u64, (): &()) -> u64 {
//!         *model
//!     }
//!     fn digest(machine: &Sum) -> u64 {
//!         machine.0
//!     }
//! }
//!
//! let report = Case::drawn(6).run(&Counting);
//! assert_eq!(report.violation, None);
//! ```
//!
//! When a rule does not hold, [`shrink`] looks for a smaller case that breaks it, and
//! [`Case::trace`] writes down what happens: as lines of JSON, and as a page for a browser.
//!
//! # What is simulated
//!
//! * Links: delay, loss, repetition, reordering, damage, cuts in one or both directions, clogs.
//! * Disks: what was not synced is lost, reordered or torn at a crash; writes, syncs and reads that
//!   fail; bits that flip; full and stuck disks; machines that burn down.
//! * Processes: crashes at any call to the disk, pauses, restarts; clocks that drift and leap.
//! * Clients: as many as the seed draws, with histories that are checked for linearizability.

#![forbid(unsafe_code)]
#![allow(
    clippy::indexing_slicing,
    reason = "a position that is out of range is a bug of the simulator, which shall stop it"
)]

mod app;
mod check;
mod digest;
mod random;
mod registers;
mod run;
mod schedule;
mod settings;
mod shrink;
mod tally;
mod trace;
mod tracked;
mod world;

pub use crate::app::{Answer, App, Ask, Command, Query, Reply, Response};
pub use crate::check::{Call, History, Outcome, Rule, Violation};
pub use crate::random::Random;
pub use crate::registers::{Before, Change, Registers, Store, Update};
pub use crate::run::{Case, Report};
pub use crate::schedule::{
    Change as MemberChange, Class, DiskCall, Fault, Medium, Planned, Schedule, Storm, Target,
    Wayward,
};
pub use crate::settings::{Asks, Clients, Disk, Network, Protocol, Settings, Snapshots};
pub use crate::shrink::shrink;
pub use crate::tally::{Point, Standing, Tally};
pub use crate::trace::Trace;
