//! The parts of a node that [`driver`](crate::driver) leaves out, without threads: for simulation.
//!
//! A [`Driver`](crate::driver::Driver), a [`SteppedLog`], a [`SteppedShelf`] and a [`Machine`] are a
//! whole node, the same code as in production, for whoever owns the clock, the network and the disk. The crate
//! `raft-sim` is such an owner.

pub use crate::log::SteppedLog;
pub use crate::machine::{Machine, Undecodable};
pub use crate::snapshot::{Begun, SteppedShelf};
