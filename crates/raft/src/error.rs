//! Why something did not work, in terms of what the caller can do about it.

use std::sync::Arc;
use std::time::Duration;

use raft_core::{
    ChangeError as ChangeReason, Faulty, NodeId, RestoreError, TransferError as TransferReason,
};

use crate::command::CommandError;
use crate::log_store::LogError;

/// Why a command was not acknowledged.
///
/// All but [`ProposeError::Unknown`] mean that it was not applied and never will be:
/// see [`ProposeError::is_certainly_not_applied`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProposeError {
    /// This node does not lead, and does not forward: propose to `leader`.
    #[error("this node is not the leader{}", hint(.leader))]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// Nobody led for as long as a proposal waits; try again later.
    #[error("no leader was elected in time; is a majority of the nodes up and connected?")]
    NoLeader,
    /// Too much is waiting already; try again later, and more slowly.
    #[error("too many commands are waiting; try again later")]
    Overloaded,
    /// The disk of this node, which leads, is full. It hands over if anybody can take over; try again
    /// later.
    #[error("the disk of this node is full; free some space, or try again when another node leads")]
    StorageFull,
    /// The command is longer than the node accepts.
    #[error("the command is {bytes} bytes long, {bytes_max} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The bound, see `Builder::command_bytes_max`.
        bytes_max: usize,
    },
    /// The command could not be encoded.
    #[error(transparent)]
    Encode(#[from] CommandError),
    /// A new leader put another entry in its place; propose it again.
    #[error("a new leader replaced the command before it was committed; propose it again")]
    Superseded,
    /// The node has stopped, or stopped before it passed the command on.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
    /// The command may have been applied, or may still be. Repeat it only if applying it twice is
    /// harmless.
    #[error("the outcome is unknown: {0}")]
    Unknown(UnknownReason),
}

impl ProposeError {
    /// Whether the command was not applied and never will be, so that it may be proposed again
    /// without being applied twice.
    #[must_use]
    pub const fn is_certainly_not_applied(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::NotLeader { .. }
            | Self::NoLeader
            | Self::Overloaded
            | Self::StorageFull
            | Self::TooLarge { .. }
            | Self::Encode(_)
            | Self::Superseded
            | Self::Stopped(_) => true,
        }
    }
}

/// Why nobody knows whether a command is applied.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnknownReason {
    /// It was not committed in time.
    #[error("it was not committed in time")]
    TimedOut,
    /// This leader lost touch with the majority.
    #[error("the leader lost touch with the majority")]
    QuorumLost,
    /// The connection to the leader was lost before it answered.
    #[error("the connection to the leader was lost")]
    ConnectionLost,
    /// It was applied here before this node learned that it was the caller's.
    #[error("its response was lost")]
    ResponseLost,
    /// The node stopped.
    #[error("the node stopped: {0}")]
    Stopped(StopReason),
}

/// Why a read was not answered. A read changes nothing, so it may be repeated.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// No leader proved in time that it leads, or what the read must see was not applied here in
    /// time; is a majority of the nodes up and connected?
    #[error("no leader confirmed the read in time; is a majority of the nodes up and connected?")]
    TimedOut,
    /// Nothing was said about clocks; read at another level.
    #[error("the node was started without leases: call `lease`, or read at another level")]
    LeasesOff,
    /// Too much is waiting already; try again later, and more slowly.
    #[error("too many reads are waiting; try again later")]
    Overloaded,
    /// The node is no longer a member; read on another one.
    #[error("the node was removed from the cluster; read on another one")]
    Removed,
    /// The node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
}

/// Why a change of membership did not succeed.
///
/// All but [`ChangeError::Unknown`] mean that nothing has changed and nothing will: see
/// [`ChangeError::is_certainly_not_done`].
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Only the leader changes the membership: ask `leader`.
    #[error("this node is not the leader{}", hint(.leader))]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The leader would not begin with it; its reason says whether to try again.
    #[error(transparent)]
    Refused(ChangeReason),
    /// A new leader put another entry in its place; look at the membership, and ask again.
    #[error("a new leader replaced the change before it was committed; ask again")]
    Superseded,
    /// Too much is waiting already; try again later.
    #[error("too much is waiting; try again later")]
    Overloaded,
    /// The node had stopped.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
    /// The change may have been made, or may still be: look at the membership before asking again.
    #[error("the outcome is unknown: {0}")]
    Unknown(UnknownReason),
}

impl ChangeError {
    /// Whether nothing has changed and nothing will.
    #[must_use]
    pub const fn is_certainly_not_done(&self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::NotLeader { .. }
            | Self::Refused(_)
            | Self::Superseded
            | Self::Overloaded
            | Self::Stopped(_) => true,
        }
    }
}

/// Why leadership was not handed over. No command is lost by that, and asking again is safe.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// Only the leader can hand over: ask `leader`.
    #[error("this node is not the leader{}", hint(.leader))]
    NotLeader {
        /// Who leads, as far as this node knows.
        leader: Option<NodeId>,
    },
    /// The successor cannot lead; choose another one.
    #[error(transparent)]
    Refused(TransferReason),
    /// The successor was not ready within an election timeout, or the transfer was called off. This
    /// node leads as before.
    #[error("the successor was not ready in time; this node leads as before")]
    NotReady,
    /// Another node was elected.
    #[error("node {leader} was elected instead")]
    OtherLeader {
        /// Who leads.
        leader: NodeId,
    },
    /// Nobody was elected in time.
    #[error("no leader was elected in time; is a majority of the nodes up and connected?")]
    TimedOut,
    /// Too much is waiting already; try again later.
    #[error("too much is waiting; try again later")]
    Overloaded,
    /// The node has stopped.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
}

/// Why a node stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopReason {
    /// It was asked to.
    #[error("it was shut down")]
    Shutdown,
    /// The log could not be written or read. Nothing that was acknowledged is lost; start the node
    /// again once the cause is mended.
    #[error("its log failed: {0}")]
    Log(Arc<LogError>),
    /// A committed command cannot be decoded: a newer version of the program wrote it, or another
    /// program did.
    #[error("it cannot decode the committed command at index {index}: {error}")]
    Undecodable {
        /// Where the command stands.
        index: u64,
        /// What is wrong with it.
        error: CommandError,
    },
    /// The state machine could not be restored from a snapshot. What is on disk is as it was.
    #[error("it cannot restore its state machine from a snapshot: {0}")]
    Snapshot(Arc<std::io::Error>),
    /// The state machine panicked.
    #[error("its state machine panicked")]
    StateMachinePanicked,
    /// A check of the protocol failed in this node: a bug of this library. It stops rather than
    /// go on from a state that cannot be right.
    #[error("it failed an internal check; please report this")]
    InvariantViolated,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It was not said where to keep the log.
    #[error("a node needs a place for its log: call `data_dir`, or `in_memory` for tests")]
    NoLog,
    /// A cluster of several needs a network.
    #[error("a cluster of {members} members needs a transport: call `quic` or `transport`")]
    NoTransport {
        /// How many members the cluster has.
        members: usize,
    },
    /// Nobody said who the members are, and the log does not either.
    #[error("the log is empty and no members were given: call `bootstrap` or `join`")]
    NotBootstrapped,
    /// A node that joins is none of the members that it joins.
    #[error(
        "node {id} is among the members that it is to join: leave it out, \
         or give the new node an id that nobody has had"
    )]
    JoinsItself {
        /// This node.
        id: NodeId,
    },
    /// The log belongs to a node that was to join a cluster, and may have voted there.
    #[error("the log is that of a node that joins a cluster: call `join`, not `bootstrap`")]
    HasJoined,
    /// The node is not one of the members.
    #[error("node {id} is not one of the members {members:?}")]
    NotAMember {
        /// This node.
        id: NodeId,
        /// The members that were given.
        members: Vec<NodeId>,
    },
    /// The log belongs to a cluster of other members.
    #[error(
        "the log was created for the members {stored:?}, not {given:?}; \
         start the node with the members it was created with"
    )]
    OtherMembers {
        /// The members that were given.
        given: Vec<NodeId>,
        /// The members that the log names.
        stored: Vec<NodeId>,
    },
    /// An option is out of range.
    #[error("{0}")]
    Option(String),
    /// Entries of the log are damaged, and no other node can give them back.
    #[error(
        "{} of the log cannot be read and no other node can give back what is lost{damage}; restore \
         the file, give this node a new id and an empty directory, or accept the loss of this and \
         of all that follows (`on_loss`)",
        ranges(.lost)
    )]
    EntriesLost {
        /// Which.
        lost: Vec<Faulty>,
        /// Where they were, if the log says so.
        damage: String,
    },
    /// The configuration or the log cannot be used.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The log could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The directory of snapshots could not be opened.
    #[error(transparent)]
    Snapshots(#[from] raft_snapshot::OpenError),
    /// The state machine could not be restored from a snapshot that the log continues, and no other
    /// node can give one.
    #[error(
        "no snapshot from which the log goes on can be read; the newest one: {source}; \
         give this node a new id and an empty directory, or restore its snapshots"
    )]
    SnapshotUnreadable {
        /// What is wrong with the newest one.
        source: std::io::Error,
    },
    /// The log is new, and there are snapshots: it was removed, and with it what the node had
    /// promised.
    #[error(
        "there are snapshots in the data directory but no log: it was removed; \
         restore it, or give this node a new id and an empty directory"
    )]
    LogRemoved,
    /// The transport could not be started.
    #[error(transparent)]
    Transport(Box<dyn std::error::Error + Send + Sync>),
    /// The operating system refused a thread or a source of randomness.
    #[error("the operating system refused {what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
}

impl StartError {
    /// Says why the core cannot start: from a log with this `damage`, and perhaps without a snapshot
    /// that is `unreadable`.
    pub(crate) fn from_restore(
        error: RestoreError,
        damage: &[LogError],
        unreadable: Option<std::io::Error>,
    ) -> Self {
        match (error, unreadable) {
            (RestoreError::EntriesLost { faulty: lost }, _) => {
                let damage = damage.iter().map(|damage| format!(": {damage}")).collect();
                Self::EntriesLost { lost, damage }
            }
            (RestoreError::SnapshotMissing { .. }, Some(source)) => Self::unreadable(source),
            (error, _) => Self::Restore(error),
        }
    }

    pub(crate) const fn unreadable(source: std::io::Error) -> Self {
        Self::SnapshotUnreadable { source }
    }
}

/// Entries, for a sentence.
fn ranges(lost: &[Faulty]) -> String {
    let range = |lost: &Faulty| match lost.last {
        Some(last) if last == lost.first => format!("entry {last}"),
        Some(last) => format!("entries {} to {last}", lost.first),
        None => format!("an unknown number of entries from {} on", lost.first),
    };
    let ranges: Vec<_> = lost.iter().map(range).collect();
    ranges.join(", ")
}

/// Nobody led within the time that the caller was willing to wait.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// No leader within the time.
    #[error("no leader within {0:?}; is a majority of the nodes up and connected?")]
    TimedOut(Duration),
    /// The node stopped meanwhile.
    #[error("the node has stopped: {0}")]
    Stopped(StopReason),
}

fn hint(leader: &Option<NodeId>) -> String {
    leader.map(|id| format!("; node {id} is")).unwrap_or_default()
}
