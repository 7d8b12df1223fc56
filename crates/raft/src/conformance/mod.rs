//! Checks that a log store keeps its promises: for whoever writes one.
//!
//! A program is drawn from a seed: founding, appends, votes, truncations, compactions and resets, in
//! the order in which a node may submit them; now and then the store is closed, or loses power, and
//! is opened again. After each step what the store says is compared with what a list in memory would
//! say.
//!
//! ```
//! use raft::OpenLog;
//! use raft::conformance::{OpenMemory, Subject, check_log_store};
//!
//! /// The log in memory, which is nothing but a list. A store on a disk opens what the last run has
//! /// left, and loses power when it is told to.
//! #[derive(Default)]
//! struct Mine {
//!     runs: u64,
//! }
//!
//! impl Subject for Mine {
//!     fn open(&mut self) -> Box<dyn OpenLog> {
//!         self.runs += 1;
//!         Box::new(OpenMemory { generation: self.runs })
//!     }
//!
//!     fn forgets(&self) -> bool {
//!         true
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! for seed in 0..100 {
//!     check_log_store(&mut Mine::default(), seed)?;
//! }
//! # Ok(())
//! # }
//! ```
//!
//! `examples/custom-storage` is a store on a database, with losses of power.

mod model;
mod run;
#[cfg(test)]
mod tests;

/// The log in memory.
pub use crate::log::OpenMemory;
use crate::log_store::{LogError, OpenLog};

/// A store to be checked. Each check needs a new one, which holds nothing.
pub trait Subject {
    /// Says how to open the store, on what the last run of it left. Only one is open at a time.
    fn open(&mut self) -> Box<dyn OpenLog>;

    /// Loses power: of what was not reported durable, any part may be gone. Called between two runs,
    /// the first of which was dropped without being closed. `false` if that cannot be done to this
    /// store, which then is only dropped.
    fn lose_power(&mut self) -> bool {
        false
    }

    /// Whether everything is gone when the store is closed, as with one in memory.
    fn forgets(&self) -> bool {
        false
    }
}

/// A promise that a store did not keep.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// An operation failed that must not.
    #[error("step {step}: the store failed")]
    Failed {
        /// Counts from 0.
        step: usize,
        /// What the store said.
        #[source]
        source: LogError,
    },
    /// A rule was broken.
    #[error("step {step}: {rule}: {found}")]
    Broken {
        /// Counts from 0.
        step: usize,
        /// The rule.
        rule: &'static str,
        /// What was found instead.
        found: String,
    },
}

/// Checks a store by the program of a seed.
///
/// A write that is not reported within ten seconds counts as forgotten.
///
/// # Errors
///
/// The first promise that was not kept.
pub fn check_log_store(subject: &mut dyn Subject, seed: u64) -> Result<(), Violation> {
    run::Run::new(subject, seed).run()
}
