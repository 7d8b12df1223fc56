//! A write-ahead log for Raft: entries, term and vote, made durable together.
//!
//! * One write and one `fdatasync` make a batch durable, whatever it holds: term and vote, the
//!   removal of a suffix, entries. What gathers while one sync runs shares the next.
//! * Segments are written with zeros in advance, so that an append changes no metadata.
//! * Every batch says how far the log was durable when it was written. So an interrupted write is
//!   told from damage: the first is dropped and reported, the second refused by name, and a missing
//!   file is noticed, whichever it is.
//! * Whoever waits for the disk writes to it: a lone caller of [`Wal::write`] pays for no hand-over,
//!   and one of many carries out the write of all.
//! * Want of space is no failure: entries are refused, while terms, votes and compactions go on in
//!   segments that were prepared for that, until there is space again.
//! * After a failed write or sync the log stops. It does not try again, because the system may then
//!   report success for data that it has dropped.
//! * Recent entries are read from memory and older ones through read-only maps, without a copy;
//!   every byte from disk is verified.
//!
//! [`Wal`] is the log in a directory, with a thread that writes. [`Log`] is the same without
//! threads. Both also run on any other [`Disk`](disk::Disk), such as a [simulated](sim) one. The format is specified in
//! `docs/wal-format.md`.
//!
//! ```
//! use raft_core::{ClusterId, Entry, EntryPayload, GroupId, LogId, LogIndex, NodeId, Term};
//! use raft_wal::{Batch, Identity, Options, Wal};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let identity = Identity { cluster: ClusterId::new([7; 16]), node: NodeId::new(1).unwrap() };
//! let options = Options { segment_bytes: 1 << 20, ..Options::default() };
//! let (wal, recovered) = Wal::open(dir, identity, options, |_| {})?;
//! assert_eq!(recovered.group(GroupId::FIRST).last, LogId::ZERO);
//!
//! let id = LogId::new(Term::new(1), LogIndex::new(1));
//! let entry = Entry { id, payload: EntryPayload::Command("set x 1".into()) };
//! wal.write(Batch { entries: vec![entry.clone()], ..Batch::new(GroupId::FIRST) })?;
//!
//! assert_eq!(wal.entries(GroupId::FIRST, id.index..=id.index, 1 << 20)?, [entry]);
//! wal.close()?;
//! # Ok(())
//! # }
//! ```
//!
//! # What it rests on
//!
//! A sector of 512 bytes is written as a whole or not at all, and writing it does not harm its
//! neighbours; `fdatasync` returns after the data is on the medium; `rename` is atomic. See
//! "Assumptions about media" in `docs/wal-format.md`. Unix only; tested on Linux.
//!
//! # Features
//!
//! * `mmap` (default): reads sealed segments through memory maps. This is the only unsafe code.

#![deny(unsafe_code)]
#![cfg_attr(not(feature = "mmap"), forbid(unsafe_code))]

pub mod disk;
mod error;
mod faults;
mod format;
mod group;
mod limits;
mod log;
mod num;
mod options;
mod places;
mod read;
mod reader;
mod recovered;
mod recovery;
mod segment;
pub mod sim;
mod stats;
mod submit;
mod tail_cache;
mod view;
mod wal;

/// Looking at the files of a log whatever their condition: for tools.
pub mod inspect {
    pub use crate::recovery::audit::{
        Content, Cost, Damage, FoundBatch, FoundRecord, FoundSegment, GroupState, Inspector,
        LogIdent, Met, SegmentState, Verification,
    };
}

pub use crate::error::{
    AppendError, CloseError, Corruption, DiskError, OpenError, ReadError, Unsupported, WalError,
    WriteError,
};
pub use crate::log::{FlushError, Log};
pub use crate::options::{OnAmbiguousTail, OnCorruption, Options, OptionsError, ReadMode, Verify};
pub use crate::reader::Reader;
pub use crate::recovered::{Faulty, OpenProgress, Recovered, RecoveredGroup, Tail, TailPosition};
pub use crate::stats::Stats;
pub use crate::submit::{Batch, BatchSeq, Completion, Identity};
pub use crate::wal::Wal;
