//! Raft as a deterministic, sans-IO state machine.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod membership;
mod message;
mod types;

pub use crate::membership::{Membership, MembershipError, Quorum, VoteOutcome, Voters};
pub use crate::message::{
    AppendEntries, AppendReply, Body, Heartbeat, HeartbeatReply, Message, ReadId, ReadIndex,
    ReadIndexReply, ReadRound, RequestVote, VoteReply,
};
pub use crate::types::{
    ClusterId, DecodeError, Entry, EntryKind, EntryPayload, GroupId, HardState, LogId, LogIndex,
    NodeId, ParseIdError, Term, Timestamp,
};
