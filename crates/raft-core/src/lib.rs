//! Raft as a deterministic, sans-IO state machine.
//!
//! [`Raft`] is one server of a replicated log. It has no clock, no disk, no network and no thread:
//! what happens goes in through [`Raft::step`], and what is to be done comes out of
//! [`Raft::poll_output`]. The same inputs give the same outputs, so a whole cluster can be tested,
//! replayed or explored in one thread.
//!
//! A cluster of one elects itself and commits a command:
//!
//! ```
//! use raft_core::{Config, Input, Membership, NodeId, Raft, Restored, Timestamp};
//!
//! let id = NodeId::new(1).ok_or("zero is no id")?;
//! let founding = Restored::bootstrap(Membership::of_voters([(id, "localhost:7000")])?);
//! let now = Timestamp::default(); // The clock is yours.
//! let mut raft = Raft::new(Config::new(id), founding, 42, now)?;
//! let (mut proposed, mut committed) = (None, None);
//!
//! raft.step(now, Input::Timeout);
//! while let Some(output) = raft.poll_output() {
//!     if let Some(write) = output.write {
//!         raft.step(now, Input::Persisted(write.seq)); // Once it is on your disk.
//!     }
//!     committed = output.commit.or(committed);
//!     if proposed.is_none() && raft.leader() == Some(id) {
//!         proposed = Some(raft.propose(now, "hello".into())?.index);
//!     }
//! }
//! assert!(proposed.is_some() && committed == proposed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The driver's part
//!
//! * Carry out each [`Write`] as a whole and in order, and report it with [`Input::Persisted`] when
//!   it is durable, not before. Nothing else has to wait for it: the core keeps back the messages
//!   that promise what is not on disk yet.
//! * Send [`Output::messages`]. They may be lost, repeated and reordered.
//! * Apply entries up to [`Output::commit`], each once and in order.
//! * Take snapshots ([`Raft::describe_snapshot`]) and report them with [`Input::SnapshotTaken`] once
//!   they are durable; [`Raft::compact`] then removes what they contain from the log.
//! * Carry out each [`Install`]: get the snapshot, make it durable, replace the state machine, and
//!   report it with [`Input::SnapshotInstalled`], or give up with [`Input::SnapshotFailed`].
//! * Answer each [`Fetch`] with [`Input::Fetched`], if need be with no entries.
//! * Give [`Input::Timeout`] when [`Raft::next_deadline`] has come, and ask for the deadline again
//!   after every step.
//! * After a restart, give [`Raft::new`] what is on disk and another seed.
//!
//! What a peer sends never makes [`Raft`] panic: it is ignored and reported as an [`Event`]. A
//! broken invariant of its own does: a server that is down is safe, one that lies is not.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod config;
mod error;
mod event;
mod io;
mod log;
mod membership;
mod message;
mod peers;
mod progress;
mod raft;
mod restored;
mod snapshot;
mod status;
mod types;

pub use crate::config::{Config, ConfigError, Lease};
pub use crate::error::{ChangeError, CompactError, ProposeError, ReadError, TransferError};
pub use crate::event::{Event, PeerFault, RoleKind};
pub use crate::io::{
    Fetch, FetchPurpose, Input, Install, Output, ReadLevel, ReadReady, Write, WriteSeq,
};
pub use crate::membership::{
    Membership, MembershipChange, MembershipError, Quorum, VoteOutcome, Voters,
};
pub use crate::message::{
    AppendEntries, AppendReply, Body, CommitNotice, EndReply, EndRequest, Heartbeat,
    HeartbeatReply, Message, ReadId, ReadIndex, ReadIndexReply, ReadRound, Removed, RepairReply,
    RepairRequest, RequestVote, Room, VoteReply,
};
pub use crate::raft::Raft;
pub use crate::restored::{Faulty, OnLoss, RestoreError, Restored};
pub use crate::snapshot::SnapshotMeta;
pub use crate::status::{FollowerStatus, ReplicationState, Status};
pub use crate::types::{
    ClusterId, DecodeError, Entries, Entry, EntryKind, EntryPayload, GroupId, HardState, LogId,
    LogIndex, NodeId, ParseIdError, Term, Timestamp,
};
