//! Visits every state of a small cluster of the real `raft-core`.
//!
//! All orders in which messages arrive, are lost or arrive twice, deadlines come, writes become
//! durable, and servers crash and restart are tried, within the bounds of a [`Scenario`]; in every
//! state the rules of Raft are checked. Nothing is modelled but the world around the servers.
//!
//! A server that meets the same thing in the same state does the same, so the core is asked once
//! for each pair, and a state of the cluster is a handful of numbers.
//!
//! ```
//! use raft_explore::{Outcome, explore, known};
//!
//! let two = &known()[0].scenario;
//! let report = explore(two, 10_000, |_, _| {});
//! assert_eq!(report.outcome, Outcome::Bounded);
//! ```

#![forbid(unsafe_code)]

mod check;
mod local;
mod scenario;
mod scenarios;
mod search;
mod table;

pub use crate::check::Violation;
pub use crate::scenario::{Change, Scenario};
pub use crate::scenarios::{Known, known};
pub use crate::search::{Outcome, Report, explore};
