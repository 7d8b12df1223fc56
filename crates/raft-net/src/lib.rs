//! What all Raft transports share: frames, lanes, the handshake and queues.
//!
//! Nothing here does I/O, reads a clock or draws at random: transports differ in how the bytes of
//! a lane reach a peer, and in nothing else.
//!
//! ```
//! use raft_core::{Body, ClusterId, GroupId, Heartbeat, LogIndex, Message, NodeId, ReadRound, Term};
//! use raft_net::{FrameLimits, FrameReader, FrameWriter, Integrity, Lane, Packet, Route};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (from, to) = ("1".parse()?, "2".parse()?);
//! let (cluster, group) = (ClusterId::new([7; 16]), GroupId::FIRST);
//! let body = Body::Heartbeat(Heartbeat { commit: LogIndex::new(3), round: ReadRound::new(1) });
//! let packet = Packet::Raft(Message { from, to, term: Term::new(2), body });
//!
//! let mut writer = FrameWriter::new(cluster, group, Integrity::Sealed);
//! writer.push(&packet)?;
//!
//! let mut reader =
//!     FrameReader::stream(Lane::Control, FrameLimits::default(), Integrity::Sealed);
//! reader.push(writer.take_contiguous());
//! let frame = reader.next_frame()?.ok_or("incomplete")?;
//! assert_eq!(frame.decode(&Route { cluster, group, from, to })?, packet);
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod backoff;
mod close;
mod duplicate;
pub mod frame;
mod handshake;
mod inbound;
mod limits;
mod outbox;
mod packet;

pub use crate::backoff::{Backoff, BackoffSchedule};
pub use crate::close::{CloseCode, Severity};
pub use crate::duplicate::{Admission, Candidate, RunFence, Side};
pub use crate::frame::{
    EncodeError, Frame, FrameError, FrameKind, FrameReader, FrameWriter, Integrity, Route,
};
pub use crate::handshake::{
    Acceptor, Agreement, Dialler, Features, Hello, HelloAck, LocalNode, Refusal, Run, VersionRange,
};
pub use crate::inbound::{DownReason, DropReason, Inbound, PeerEvent, RejectReason, SendOutcome};
pub use crate::limits::{FrameLimits, ITEMS_MAX, LaneLimits};
pub use crate::outbox::{Discarded, Outbox, OutboxLimits, OutboxTally};
pub use crate::packet::{
    Forward, ForwardOutcome, ForwardReply, Lane, Packet, PayloadSize, SnapshotOutcome,
    SnapshotReply, SnapshotRequest,
};
