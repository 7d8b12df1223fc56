//! Bringing a snapshot from one node to another, without I/O.
//!
//! Whoever lacks a snapshot *pulls* it: first the manifest, then chunk by chunk, naming the
//! snapshot each time. So there is no state of a connection to lose: after an interruption, a
//! restart of either side or a change of leader the next request is as good as the first.
//!
//! ```text
//! Receiver                                                        Sender
//!    |--- Manifest { last, offset 0 } ------------------------------>|
//!    |<-- bytes -----------------------------------------------------|
//!    |    what of it is on disk already?                             |
//!    |--- Chunk { id, 17 }, Chunk { id, 18 }, .. a window of them -->|
//!    |<-- bytes, or Refused: Unknown, Busy, .. ----------------------|
//!    |    each verified, then written; at last published             |
//! ```

mod bucket;
mod receiver;
mod sender;

use bytes::Bytes;
use raft_core::LogId;

pub use self::bucket::TokenBucket;
pub use self::receiver::{
    Prepared, Progress, ReceiveError, Receiver, ReceiverAction, ReceiverLimits,
};
pub use self::sender::{Sender, SenderAction, SenderLimits, Serving};
use crate::id::SnapshotId;
use crate::manifest::Manifest;
use crate::num::narrow;

/// Most bytes of a manifest in one reply.
pub const MANIFEST_PIECE_BYTES: u32 = 256 << 10;

/// Asks for a part of a snapshot.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Request {
    /// The manifest of the snapshot that ends with `last`, from `offset` on, as much of it as
    /// [`MANIFEST_PIECE_BYTES`] allow.
    Manifest {
        /// The last entry that it covers.
        last: LogId,
        /// Bytes that are there already.
        offset: u32,
    },
    /// One chunk of the data.
    Chunk {
        /// Of this snapshot.
        id: SnapshotId,
        /// Counted from zero.
        number: u32,
    },
}

/// Answers a [`Request`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// What was asked.
    pub request: Request,
    /// The bytes, or why there are none.
    pub outcome: Result<Bytes, Refusal>,
}

/// Why a [`Request`] gets no bytes.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such snapshot, or not any more: there is a newer one, or none.
    #[error("there is no such snapshot here")]
    Unknown,
    /// The snapshot has no such part.
    #[error("the snapshot ends before that")]
    OutOfRange,
    /// Others are being served. Later, the same request may be answered.
    #[error("others are being served")]
    Busy,
    /// The snapshot is there but cannot be read.
    #[error("the snapshot cannot be read here")]
    Unreadable,
}

impl Request {
    /// The last entry of the snapshot in question.
    #[must_use]
    pub const fn last(&self) -> LogId {
        match self {
            Self::Manifest { last, .. } => *last,
            Self::Chunk { id, .. } => id.last,
        }
    }
}

impl Manifest {
    /// The piece of the manifest that answers [`Request::Manifest`].
    ///
    /// # Errors
    ///
    /// [`Refusal::OutOfRange`] if nothing begins at `offset`.
    pub fn piece(&self, offset: u32) -> Result<Bytes, Refusal> {
        let from = narrow(u64::from(offset));
        let upto = from.saturating_add(narrow(u64::from(MANIFEST_PIECE_BYTES)));
        let encoded = self.encoded();
        match from < encoded.len() {
            true => Ok(encoded.slice(from..upto.min(encoded.len()))),
            false => Err(Refusal::OutOfRange),
        }
    }
}
