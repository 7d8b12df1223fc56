//! A replicated state machine on Raft: durable, authenticated, linearizable.
//!
//! Say what your state is and how a command changes it; the library keeps a log of the commands on
//! the disks of a majority of your nodes, and applies them on all nodes in the same order.
//!
//! ```
//! use raft::{Applied, Membership, Node, NodeId, StateMachine};
//!
//! #[derive(Default)]
//! struct Sum(i64);
//!
//! impl StateMachine for Sum {
//!     type Command = i64;
//!     type Response = i64;
//!     type Query = ();
//!     type Answer = i64;
//!     fn apply(&mut self, entry: Applied<i64>) -> i64 {
//!         self.0 += entry.command;
//!         self.0
//!     }
//!     fn query(&self, (): ()) -> i64 {
//!         self.0
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let id = NodeId::new(1).ok_or("zero is no id")?;
//! let members = Membership::of_voters([(id, "")])?;
//! let node = Node::<Sum>::builder(id).in_memory().bootstrap(members).start(Sum(0)).await?;
//! assert_eq!(node.propose(40).await?, 40);
//! assert_eq!(node.propose(2).await?, 42);
//! assert_eq!(node.read(()).await?, 42);
//! node.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! In production replace `in_memory()` by `data_dir("…")` and, for a cluster of several, add
//! `quic(listen, security)` and the other members.
//!
//! # What is promised
//!
//! * [`Node::propose`] returns `Ok` when the command is durable on a majority and applied here. An
//!   error tells whether the command is *certainly not applied* or its outcome is *unknown*.
//! * [`Node::read`] is linearizable, on any node: it sees everything that was acknowledged before
//!   it was called, wherever that was.
//! * Every call that waits ends, with a reason, whatever happens to the cluster.
//!
//! # Features
//!
//! * `persistence` (default): the log on disk, by `raft-wal`.
//! * `quic` (default): the network, by `raft-net-quic`, with mutual TLS.
//! * `sim`: the parts of a node without threads, in [`sim`], to run your state machine in the
//!   deterministic simulator of `raft-sim`.
//!
//! Without the first two, bring a [`LogStore`] and a [`transport::Transport`] of your own. No feature changes
//! the protocol or a format.

#![forbid(unsafe_code)]

mod command;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod driver;
mod error;
mod log;
mod log_store;
#[cfg_attr(not(feature = "sim"), allow(unreachable_pub, reason = "public in `sim` only"))]
mod machine;
mod node;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
mod state_machine;
mod status;
pub mod transport;

pub use raft_core::{
    ChangeError as ChangeReason, ClusterId, Entry, Faulty, FollowerStatus, Lease, LogId, LogIndex,
    Membership, MembershipChange, MembershipError, NodeId, OnLoss, ReadLevel, ReplicationState,
    Restored, RoleKind, Room, Term, TransferError as TransferReason, Write, WriteSeq,
};

pub use crate::command::{Command, CommandError, Raw};
pub use crate::driver::{Forwarding, SnapshotPolicy};
pub use crate::error::{
    ChangeError, ProposeError, ReadError, StartError, StopReason, TransferError, UnknownReason,
    WaitError,
};
pub use crate::log_store::{DurableCallback, LogError, LogStats, LogStore, OpenLog, OpenedLog};
pub use crate::node::{Builder, Node, SnapshotPace};
pub use crate::snapshot::{Frozen, SnapshotError, SnapshotMetrics, SnapshotReader, SnapshotWriter};
pub use crate::state_machine::{Applied, StateMachine};
pub use crate::status::{Metrics, Status};

/// The QUIC transport, and the certificates it needs.
#[cfg(feature = "quic")]
pub mod quic {
    pub use raft_net_quic::*;
}
