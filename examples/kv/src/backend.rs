//! What the server needs of a cluster.
//!
//! [`raft::Node`] provides it. Being a trait, it lets the server be tested without a cluster.

use std::fmt;
use std::future::Future;

use raft::NodeId;
use serde::{Deserialize, Serialize};

use crate::command::Command;
use crate::store::{Answer, Query, Response};

/// A replicated [`Store`](crate::store::Store), as seen from one node.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Proposes commands as one batch. Answers one result for each, in their order.
    fn propose(
        &self,
        commands: Vec<Command>,
    ) -> impl Future<Output = Vec<Result<Response, Refusal>>> + Send;

    /// Answers questions, each as of a moment not before it was asked. One result for each, in
    /// their order.
    fn read(
        &self,
        queries: Vec<Query>,
    ) -> impl Future<Output = Vec<Result<Answer, Refusal>>> + Send;

    /// Takes a snapshot of this node's store, and waits until it is durable. Returns the last entry
    /// that it covers.
    fn snapshot(&self) -> impl Future<Output = Result<u64, Refusal>> + Send;

    /// Changes who belongs to the cluster, and waits until that is so.
    fn change(&self, change: Change) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Hands leadership over to this node, or to whoever is best at it.
    fn transfer(&self, to: Option<NodeId>) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// What the node knows of itself and its cluster.
    fn status(&self) -> Status;
}

/// Another member, or another part for one.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Adds a node that votes as soon as it has caught up.
    AddVoter(NodeId, String),
    /// Adds a node that receives everything and does not vote.
    AddLearner(NodeId, String),
    /// Makes a voter of a learner that has caught up.
    Promote(NodeId),
    /// Removes a node.
    Remove(NodeId),
}

/// Why a request was not answered: what the client should do is in the kind.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{kind} {reason}")]
pub struct Refusal {
    /// What the client should do.
    pub kind: RefusalKind,
    /// The rest of the sentence.
    pub reason: String,
}

/// First word of an error reply, which tells a client what has happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// Certainly not applied: ask the leader.
    NotLeader,
    /// Certainly not applied: try again later.
    Unavailable,
    /// May have been applied: look before trying again.
    Unknown,
    /// Certainly not applied, and never will be: the request is wrong.
    Mistake,
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotLeader => "NOTLEADER",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Mistake => "ERR",
        })
    }
}

/// What a node knows of itself and its cluster, as `RAFT.STATUS` shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Status {
    /// The node's own id.
    pub id: u64,
    /// `leader`, `follower`, `candidate`, …
    pub role: String,
    /// Current term.
    pub term: u64,
    /// Who leads, as far as this node knows.
    pub leader: Option<u64>,
    /// Last entry that is committed.
    pub commit: u64,
    /// Last entry that the store has seen.
    pub applied: u64,
    /// First entry in the log.
    pub first: u64,
    /// Last entry in the log.
    pub last: u64,
    /// How often the log was synced since the node was started. `INFO` shows it, `RAFT.STATUS` does
    /// not.
    #[serde(default, skip_serializing)]
    pub wal_fsyncs: u64,
    /// What `INFO` says about snapshots, and `RAFT.STATUS` does not.
    #[serde(default, skip_serializing)]
    pub snapshots: Snapshots,
    /// All members.
    pub members: Vec<Member>,
}

/// What a node knows of its snapshots.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct Snapshots {
    /// The last entry that the newest one covers; zero if there is none.
    pub last: u64,
    /// Bytes of the newest one.
    pub bytes: u64,
    /// How many were taken since the node was started.
    pub taken: u64,
    /// How many of other nodes were installed since the node was started.
    pub installed: u64,
    /// Whether one is being taken.
    pub is_taking: bool,
    /// Bytes of one that is being received.
    pub receiving: u64,
    /// Bytes sent of those that are being sent.
    pub sending: u64,
}

/// One member of the cluster.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Where the others reach it.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
}
