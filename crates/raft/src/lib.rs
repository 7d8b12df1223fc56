//! A replicated state machine on Raft: durable, authenticated, linearizable.

#![forbid(unsafe_code)]

mod command;
pub mod driver;
mod error;
mod log;
mod log_store;
mod node;
mod state_machine;
mod status;
pub mod transport;

pub use raft_core::{
    ClusterId, Entry, FollowerStatus, LogId, LogIndex, Membership, MembershipError, NodeId,
    Restored, RoleKind, Term, Write, WriteSeq,
};

pub use crate::command::{Command, CommandError, Raw};
pub use crate::driver::Forwarding;
pub use crate::error::{ProposeError, ReadError, StartError, StopReason, UnknownReason, WaitError};
pub use crate::log_store::{DurableCallback, LogError, LogStats, LogStore, OpenLog, OpenedLog};
pub use crate::node::{Builder, Node};
pub use crate::state_machine::{Applied, StateMachine};
pub use crate::status::{Metrics, Status};

/// The QUIC transport, and the certificates it needs.
#[cfg(feature = "quic")]
pub mod quic {
    pub use raft_net_quic::*;
}
