//! Raft as a deterministic, sans-IO state machine.

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
mod progress;
mod raft;
mod restored;
mod status;
mod types;

pub use crate::config::{Config, ConfigError};
pub use crate::error::ProposeError;
pub use crate::event::{Event, PeerFault, RoleKind};
pub use crate::io::{Fetch, Input, Output, ReadReady, Write, WriteSeq};
pub use crate::membership::{Membership, MembershipError, Quorum, VoteOutcome, Voters};
pub use crate::message::{
    AppendEntries, AppendReply, Body, CommitNotice, Heartbeat, HeartbeatReply, Message, ReadId,
    ReadIndex, ReadIndexReply, ReadRound, RequestVote, VoteReply,
};
pub use crate::raft::Raft;
pub use crate::restored::{RestoreError, Restored};
pub use crate::status::{FollowerStatus, Status};
pub use crate::types::{
    ClusterId, DecodeError, Entry, EntryKind, EntryPayload, GroupId, HardState, LogId, LogIndex,
    NodeId, ParseIdError, Term, Timestamp,
};
