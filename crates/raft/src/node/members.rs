//! Who belongs to the cluster and who leads it, as a user of [`Node`] changes it.

use raft_core::{LogId, MembershipChange, NodeId};
use tokio::sync::oneshot;

use super::Node;
use super::callers::Caller;
use super::inbox::{Closed, Happening};
use crate::error::{ChangeError, TransferError, UnknownReason};
use crate::state_machine::StateMachine;

/// What a waiting change counts for.
const CHANGE_BYTES: usize = 1024;

impl<S: StateMachine> Node<S> {
    /// Changes the members of the cluster, by as many as it takes, and returns the entry of the
    /// membership that is in force then: [`MembershipChange::based_on`] takes it.
    ///
    /// Only the leader does; a follower refuses with its name. When this returns `Ok`, the change is
    /// complete and durable on a majority of the new members. A new member runs with
    /// [`Builder::join`](crate::Builder::join), and had better be running already. One that was
    /// removed may be stopped; its id must never be used again.
    ///
    /// Dropping the future does not take the change back.
    ///
    /// # Errors
    ///
    /// [`ChangeError::is_certainly_not_done`] tells the two kinds apart. A change that says what it
    /// is [based on](MembershipChange::based_on) may be repeated in any case: it is made once.
    pub async fn change_membership(&self, change: MembershipChange) -> Result<LogId, ChangeError> {
        let (reply, outcome) = oneshot::channel();
        let change = Happening::Change { change, caller: Caller::Membership(reply) };
        self.handle.inbox.ask(change, CHANGE_BYTES).map_err(|closed| match closed {
            Closed::Full => ChangeError::Overloaded,
            Closed::Stopped(reason) => ChangeError::Stopped(reason),
        })?;
        outcome.await.unwrap_or_else(|_| {
            Err(ChangeError::Unknown(UnknownReason::Stopped(self.stop_reason())))
        })
    }

    /// Adds a member that receives the log and does not vote, or makes one of a voter. As
    /// [`Node::change_membership`].
    ///
    /// # Errors
    ///
    /// As [`Node::change_membership`].
    pub async fn add_learner(
        &self,
        id: NodeId,
        address: impl Into<String>,
    ) -> Result<LogId, ChangeError> {
        self.change_membership(MembershipChange::new().add_learner(id, address)).await
    }

    /// Makes a voter of a learner that has caught up. As [`Node::change_membership`];
    /// [`MembershipChange::add_voter`] adds a learner and does this by itself when it is time.
    ///
    /// # Errors
    ///
    /// As [`Node::change_membership`]; the learner may have to [catch
    /// up](raft_core::ChangeError::NotCaughtUp) first.
    pub async fn promote(&self, id: NodeId) -> Result<LogId, ChangeError> {
        self.change_membership(MembershipChange::new().promote(id)).await
    }

    /// Removes a member, which may be this node: it hands over then. As [`Node::change_membership`].
    ///
    /// # Errors
    ///
    /// As [`Node::change_membership`].
    pub async fn remove(&self, id: NodeId) -> Result<LogId, ChangeError> {
        self.change_membership(MembershipChange::new().remove(id)).await
    }

    /// Hands leadership over to `to`, and returns when this node knows that it leads: for example
    /// before a restart, so that nobody waits for an election.
    ///
    /// Only the leader does; a follower refuses with its name. Commands that are proposed meanwhile
    /// wait, and go to the next leader. Handing over to the leader itself calls off what is under
    /// way.
    ///
    /// Dropping the future does not call it off.
    ///
    /// # Errors
    ///
    /// See [`TransferError`]. Whatever it is, no command is lost, and asking again is safe.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), TransferError> {
        let (reply, outcome) = oneshot::channel();
        let transfer = Happening::HandOver { to, caller: Caller::Transfer(reply) };
        self.handle.inbox.ask(transfer, CHANGE_BYTES).map_err(|closed| match closed {
            Closed::Full => TransferError::Overloaded,
            Closed::Stopped(reason) => TransferError::Stopped(reason),
        })?;
        outcome.await.unwrap_or_else(|_| Err(TransferError::Stopped(self.stop_reason())))
    }
}
