//! A write-ahead log for Raft: entries, term and vote, made durable together.

#![deny(unsafe_code)]
#![cfg_attr(not(feature = "mmap"), forbid(unsafe_code))]

pub mod disk;
mod error;
mod format;
mod group;
mod limits;
mod log;
mod num;
mod options;
mod places;
mod read;
mod recovered;
mod recovery;
mod segment;
pub mod sim;
mod stats;
mod submit;
mod tail_cache;
mod view;
mod wal;

pub use crate::error::{
    AppendError, CloseError, Corruption, DiskError, OpenError, ReadError, Unsupported, WalError,
};
pub use crate::log::{FlushError, Log};
pub use crate::options::{OnAmbiguousTail, Options, OptionsError, ReadMode};
pub use crate::recovered::{Recovered, RecoveredGroup, Tail, TailPosition};
pub use crate::stats::Stats;
pub use crate::submit::{Batch, BatchSeq, Completion, Identity};
pub use crate::wal::Wal;
