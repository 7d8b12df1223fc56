//! Snapshots of replicated state: written as a stream, published atomically, and pulled in chunks
//! of which each is verified.
//!
//! * Whatever the size of a snapshot, one chunk of it is in memory, be it written, read, sent or
//!   received.
//! * A snapshot is there as a whole or not at all, whenever the power fails. What an interrupted
//!   writing leaves is swept; an interrupted transfer goes on where it was.
//! * Every byte is verified: before it is written, before it is sent, before it is handed out.
//! * Whoever lacks a snapshot pulls it, naming it by its content: so a transfer survives lost
//!   connections, restarts on either side, and goes on with another node that has the same one.
//!
//! [`Store`] keeps snapshots on any [`Disk`](raft_wal::disk::Disk), also a simulated one.
//! [`Sender`] and [`Receiver`] move them, and do no I/O. The files are specified in
//! `docs/snapshot-format.md`.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//!
//! use raft_core::{
//!     ClusterId, GroupId, LogId, LogIndex, Membership, NodeId, SnapshotMeta, Term,
//! };
//! use raft_snapshot::{Options, Owner, Store};
//! use raft_wal::disk::OsDisk;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let dir = dir.path();
//! let owner = Owner { cluster: ClusterId::new([7; 16]), group: GroupId::FIRST };
//! let (store, _) = Store::open(OsDisk::new(dir), owner, Options::default())?;
//! let meta = SnapshotMeta {
//!     last: LogId::new(Term::new(2), LogIndex::new(40)),
//!     membership_id: LogId::new(Term::new(1), LogIndex::new(1)),
//!     membership: Membership::of_voters([(NodeId::new(1).ok_or("zero")?, "localhost:7000")])?,
//! };
//!
//! let mut writer = store.create(meta.clone())?;
//! writer.write_all(b"all that there is")?;
//! let snapshot = writer.finish()?;
//!
//! let mut state = Vec::new();
//! snapshot.reader().read_to_end(&mut state)?;
//! assert_eq!((state.as_slice(), snapshot.meta()), (&b"all that there is"[..], &meta));
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod error;
mod file;
mod id;
mod manifest;
mod memory;
mod num;
mod partial;
mod reader;
mod snapshot;
mod store;
mod transfer;
mod writer;

/// The disk, as the log and the snapshots need it.
pub use raft_wal::disk;

pub use crate::error::{OpenError, ReadError, WriteError};
pub use crate::id::{ParseSnapshotIdError, SnapshotId};
pub use crate::manifest::{
    CHUNK_BYTES_MAX, ChunkError, MANIFEST_BYTES_MAX, Manifest, ManifestError, Owner, Sizes,
    VerifiedChunk,
};
pub use crate::memory::{MemoryDisk, MemoryFile};
pub use crate::partial::Partial;
pub use crate::reader::Reader;
pub use crate::snapshot::Snapshot;
pub use crate::store::{
    Choice, DamageKind, Damaged, Look, Opened, Options, Receiving, Store, give_snapshots,
};
pub use crate::transfer::{
    MANIFEST_PIECE_BYTES, Prepared, Progress, ReceiveError, Receiver, ReceiverAction,
    ReceiverLimits, Refusal, Reply, Request, Sender, SenderAction, SenderLimits, Serving,
    TokenBucket,
};
pub use crate::writer::Writer;
