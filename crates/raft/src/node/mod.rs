//! A node of a cluster, as its user sees it.

mod builder;
mod callers;
mod clock;
mod event_loop;
mod inbox;
mod librarian;
mod members;
mod origin;
mod pace;
mod peers;
mod restore;
mod start;
mod worker;
mod writing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use raft_core::{LogId, LogIndex, NodeId, ReadLevel, RoleKind};
use tokio::sync::{oneshot, watch};

pub use self::builder::Builder;
use self::callers::Caller;
use self::inbox::{Closed, Happening, Inbox, Reader};
pub use self::pace::SnapshotPace;
#[cfg(feature = "sim")]
pub(crate) use self::restore::{Beginning, restore};
use crate::command::Command;
use crate::error::{ProposeError, ReadError, StopReason, UnknownReason, WaitError};
use crate::snapshot::SnapshotError;
use crate::state_machine::StateMachine;
use crate::status::{Metrics, Status};

/// A node of a cluster that replicates `S`.
///
/// Clones are the same node. When the last one is dropped the node stops, as if its process had
/// ended; [`Node::shutdown`] also waits until it has.
pub struct Node<S: StateMachine> {
    handle: Arc<Handle<S>>,
}

/// What all clones share.
struct Handle<S: StateMachine> {
    inbox: Arc<Inbox<S>>,
    metrics: watch::Receiver<Metrics>,
    stopped: watch::Receiver<Option<StopReason>>,
    command_bytes_max: usize,
}

impl<S: StateMachine> Drop for Handle<S> {
    fn drop(&mut self) {
        self.inbox.tell(Happening::Stop(StopReason::Shutdown));
    }
}

impl<S: StateMachine> Clone for Node<S> {
    fn clone(&self) -> Self {
        Self { handle: Arc::clone(&self.handle) }
    }
}

impl<S: StateMachine> fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl<S: StateMachine> Node<S> {
    /// Says how a node called `id` is to run.
    #[must_use]
    pub fn builder(id: NodeId) -> Builder {
        Builder::new(id)
    }

    fn new(
        inbox: Arc<Inbox<S>>,
        metrics: watch::Receiver<Metrics>,
        stopped: watch::Receiver<Option<StopReason>>,
        command_bytes_max: usize,
    ) -> Self {
        Self { handle: Arc::new(Handle { inbox, metrics, stopped, command_bytes_max }) }
    }

    /// Has a command applied on every node, and returns the response of this one.
    ///
    /// When it returns `Ok`, the command is durable on a majority and applied here; every read that
    /// is asked from now on, on any node, sees it. On a node that does not lead, the command goes
    /// to the leader. Dropping the future does not take the command back.
    ///
    /// # Errors
    ///
    /// [`ProposeError::is_certainly_not_applied`] tells the two kinds apart.
    pub async fn propose(&self, command: S::Command) -> Result<S::Response, ProposeError> {
        let response = self.submit([command])?.pop();
        match response {
            Some(response) => self.response(response?).await,
            None => Err(ProposeError::Overloaded),
        }
    }

    /// Has commands applied in this order, as one batch: one write and one message a node. It is
    /// not a transaction: after a failure some may be applied and others not.
    ///
    /// The results are in the order of the commands. As [`Node::propose`] otherwise.
    pub async fn propose_batch(
        &self,
        commands: Vec<S::Command>,
    ) -> Vec<Result<S::Response, ProposeError>> {
        let count = commands.len();
        match self.submit(commands) {
            Ok(responses) => {
                let mut results = Vec::with_capacity(count);
                for response in responses {
                    results.push(match response {
                        Ok(response) => self.response(response).await,
                        Err(error) => Err(error),
                    });
                }
                results
            }
            Err(error) => std::iter::repeat_with(|| Err(error.clone())).take(count).collect(),
        }
    }

    /// Answers a query from a state in which everything is applied that was acknowledged, anywhere,
    /// when this was called. Works on any node. Nothing is written.
    ///
    /// Cancel safe: dropping the future forgets the read.
    ///
    /// # Errors
    ///
    /// If no leader could confirm it in time, or the node has stopped.
    pub async fn read(&self, query: S::Query) -> Result<S::Answer, ReadError> {
        self.read_with(ReadLevel::Linearizable, query).await
    }

    /// Answers a query from a state that is as new as `level` says. Works on any node. As
    /// [`Node::read`] otherwise.
    ///
    /// Who wants to see at least its own writes, or what it has read, on whichever node, takes
    /// [`Node::applied`] of the node that has acknowledged them to [`ReadLevel::AtLeast`].
    ///
    /// # Errors
    ///
    /// As [`Node::read`]; and [`ReadError::LeasesOff`] for [`ReadLevel::Lease`] without
    /// [`Builder::lease`].
    pub async fn read_with(
        &self,
        level: ReadLevel,
        query: S::Query,
    ) -> Result<S::Answer, ReadError> {
        match self.read_batch_with(level, Vec::from([query])).await.pop() {
            Some(answer) => answer,
            None => Err(ReadError::TimedOut),
        }
    }

    /// Answers queries from one state, with one confirmation for all. The answers are in the order
    /// of the queries. As [`Node::read`] otherwise.
    pub async fn read_batch(&self, queries: Vec<S::Query>) -> Vec<Result<S::Answer, ReadError>> {
        self.read_batch_with(ReadLevel::Linearizable, queries).await
    }

    /// Answers queries from one state, which is as new as `level` says. The answers are in the order
    /// of the queries. As [`Node::read_with`] otherwise.
    pub async fn read_batch_with(
        &self,
        level: ReadLevel,
        queries: Vec<S::Query>,
    ) -> Vec<Result<S::Answer, ReadError>> {
        /// What a waiting read counts for.
        const READ_BYTES: usize = 128;
        let count = queries.len();
        let (mut readers, mut answers) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for query in queries {
            let (reply, answer) = oneshot::channel();
            readers.push(Reader { query, reply });
            answers.push(answer);
        }
        let read = Happening::Read { level, readers };
        if let Err(closed) = self.handle.inbox.ask(read, count * READ_BYTES) {
            let error = match closed {
                Closed::Full => ReadError::Overloaded,
                Closed::Stopped(reason) => ReadError::Stopped(reason),
            };
            return std::iter::repeat_with(|| Err(error.clone())).take(count).collect();
        }
        let mut results = Vec::with_capacity(count);
        for answer in answers {
            results.push(match answer.await {
                Ok(answer) => answer,
                Err(_) => Err(ReadError::Stopped(self.stop_reason())),
            });
        }
        results
    }

    /// Takes a snapshot of everything that is applied here by now, and waits until it is durable.
    /// Returns the last entry that it covers. The log gets shorter by what it makes superfluous.
    ///
    /// Snapshots are taken by themselves as the log grows; this is for those who know better when.
    ///
    /// Cancel safe: the snapshot is taken all the same.
    ///
    /// # Errors
    ///
    /// If there is none. The one before, if there was one, still is there.
    pub async fn snapshot(&self) -> Result<LogId, SnapshotError> {
        let (reply, taken) = oneshot::channel();
        let asked = self.handle.inbox.ask(Happening::WantSnapshot(reply), 0);
        if let Err(Closed::Stopped(reason)) = asked {
            return Err(SnapshotError::Stopped(reason));
        }
        taken.await.unwrap_or_else(|_| Err(SnapshotError::Stopped(self.stop_reason())))
    }

    /// Waits until somebody leads, and says who.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// If nobody led within `timeout`, or the node has stopped.
    pub async fn wait_for_leader(&self, timeout: Duration) -> Result<NodeId, WaitError> {
        let mut metrics = self.metrics();
        let elected = metrics.wait_for(|metrics| metrics.status.leader.is_some());
        match tokio::time::timeout(timeout, elected).await {
            Ok(Ok(metrics)) => metrics.status.leader.ok_or(WaitError::TimedOut(timeout)),
            Ok(Err(_)) => Err(WaitError::Stopped(self.stop_reason())),
            Err(_) => Err(WaitError::TimedOut(timeout)),
        }
    }

    /// Who leads, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.handle.metrics.borrow().status.leader
    }

    /// Whether this node leads, as far as it knows: another may have been elected meanwhile.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.handle.metrics.borrow().status.role == RoleKind::Leader
    }

    /// Index up to which everything is applied here.
    ///
    /// Once a proposal is acknowledged or a read answered by this node, it includes what they
    /// concern: a token for reads [elsewhere](Node::read_with) that must not see less.
    #[must_use]
    pub fn applied(&self) -> LogIndex {
        self.handle.metrics.borrow().status.applied
    }

    /// The node at a glance.
    #[must_use]
    pub fn status(&self) -> Status {
        self.handle.metrics.borrow().status.clone()
    }

    /// What the node measures; the receiver is woken by every change.
    #[must_use]
    pub fn metrics(&self) -> watch::Receiver<Metrics> {
        self.handle.metrics.clone()
    }

    /// Waits until the node stops, by itself or because it was asked to, and says why.
    ///
    /// Cancel safe.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.handle.stopped.clone();
        match stopped.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // The thread ended without a word.
            Ok(None) | Err(_) => StopReason::InvariantViolated,
        }
    }

    /// Stops the node: callers that wait are told, the log is closed, ports are free.
    ///
    /// Acknowledged commands are durable already; nothing is lost by not calling this.
    ///
    /// # Errors
    ///
    /// If the node had stopped by itself, or its log could not be closed.
    pub async fn shutdown(&self) -> Result<(), StopReason> {
        self.handle.inbox.tell(Happening::Stop(StopReason::Shutdown));
        let reason = self.stopped().await;
        if matches!(reason, StopReason::Shutdown) { Ok(()) } else { Err(reason) }
    }

    /// Gives commands to the event loop; what each came to is in the order of the commands.
    fn submit(
        &self,
        commands: impl IntoIterator<Item = S::Command>,
    ) -> Result<Vec<Result<Pending<S>, ProposeError>>, ProposeError> {
        let mut batch: Vec<(Bytes, Caller<S>)> = Vec::new();
        let mut pending = Vec::new();
        let mut bytes = 0;
        for command in commands {
            pending.push(self.encode(&command).map(|command| {
                let (caller, response) = oneshot::channel();
                bytes += command.len();
                batch.push((command, Caller::Command(caller)));
                response
            }));
        }
        if batch.is_empty() {
            return Ok(pending);
        }
        self.handle.inbox.ask(Happening::Propose(batch), bytes).map_err(|closed| match closed {
            Closed::Full => ProposeError::Overloaded,
            Closed::Stopped(reason) => ProposeError::Stopped(reason),
        })?;
        Ok(pending)
    }

    fn encode(&self, command: &S::Command) -> Result<Bytes, ProposeError> {
        let bytes_max = self.handle.command_bytes_max;
        let command = command.encode()?;
        match command.len() {
            bytes if bytes > bytes_max => Err(ProposeError::TooLarge { bytes, bytes_max }),
            _ => Ok(command),
        }
    }

    async fn response(&self, pending: Pending<S>) -> Result<S::Response, ProposeError> {
        pending.await.unwrap_or_else(|_| {
            Err(ProposeError::Unknown(UnknownReason::Stopped(self.stop_reason())))
        })
    }

    /// Why nobody answers any more.
    fn stop_reason(&self) -> StopReason {
        self.handle.inbox.stop_reason().unwrap_or(StopReason::InvariantViolated)
    }
}

/// The response to a command, once it is applied.
type Pending<S> = oneshot::Receiver<Result<<S as StateMachine>::Response, ProposeError>>;
