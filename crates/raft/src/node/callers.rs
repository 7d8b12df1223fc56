//! Who waits for a change, and what they are told.

use raft_core::LogId;
use tokio::sync::oneshot;

use crate::driver::{ChangeRefusal, Refusal, TransferRefusal};
use crate::error::{ChangeError, ProposeError, StopReason, TransferError, UnknownReason};
use crate::state_machine::StateMachine;

/// Who waits for the response to a command.
pub(super) type Proposer<S> = oneshot::Sender<Result<<S as StateMachine>::Response, ProposeError>>;

/// Who waits for something that changes. The driver answers each kind in a list of its own.
pub(super) enum Caller<S: StateMachine> {
    Command(Proposer<S>),
    Membership(oneshot::Sender<Result<LogId, ChangeError>>),
    Transfer(oneshot::Sender<Result<(), TransferError>>),
}

impl<S: StateMachine> Caller<S> {
    /// Answers one whose command is applied.
    pub(super) fn respond(self, response: S::Response) {
        self.command(Ok(response));
    }

    /// Answers one whose command was not acknowledged.
    pub(super) fn refuse(self, refusal: Refusal) {
        self.command(Err(propose_error(refusal)));
    }

    pub(super) fn on_changed(self, outcome: Result<LogId, ChangeRefusal>) {
        if let Self::Membership(caller) = self {
            drop(caller.send(outcome.map_err(change_error)));
        }
    }

    pub(super) fn on_transferred(self, outcome: Result<(), TransferRefusal>) {
        if let Self::Transfer(caller) = self {
            drop(caller.send(outcome.map_err(transfer_error)));
        }
    }

    /// Answers one whose command never left this node, which stops.
    pub(super) fn on_stopped(self, reason: StopReason) {
        self.command(Err(ProposeError::Stopped(reason)));
    }

    /// Answers one whose change may go on without this node, which stops.
    pub(super) fn on_lost(self, reason: StopReason) {
        match self {
            Self::Command(caller) => {
                let unknown = UnknownReason::Stopped(reason);
                drop(caller.send(Err(ProposeError::Unknown(unknown))));
            }
            Self::Membership(caller) => {
                let unknown = UnknownReason::Stopped(reason);
                drop(caller.send(Err(ChangeError::Unknown(unknown))));
            }
            Self::Transfer(caller) => drop(caller.send(Err(TransferError::Stopped(reason)))),
        }
    }

    /// Whoever does not wait any more need not be told.
    fn command(self, outcome: Result<S::Response, ProposeError>) {
        if let Self::Command(caller) = self {
            drop(caller.send(outcome));
        }
    }
}

const fn propose_error(refusal: Refusal) -> ProposeError {
    match refusal {
        Refusal::NotLeader { leader } => ProposeError::NotLeader { leader },
        Refusal::NoLeader => ProposeError::NoLeader,
        Refusal::Overloaded => ProposeError::Overloaded,
        Refusal::StorageFull => ProposeError::StorageFull,
        Refusal::Superseded => ProposeError::Superseded,
        Refusal::TimedOut => ProposeError::Unknown(UnknownReason::TimedOut),
        Refusal::QuorumLost => ProposeError::Unknown(UnknownReason::QuorumLost),
        Refusal::ConnectionLost => ProposeError::Unknown(UnknownReason::ConnectionLost),
        Refusal::ResponseLost => ProposeError::Unknown(UnknownReason::ResponseLost),
    }
}

const fn change_error(refusal: ChangeRefusal) -> ChangeError {
    match refusal {
        ChangeRefusal::Refused(raft_core::ChangeError::NotLeader { leader }) => {
            ChangeError::NotLeader { leader }
        }
        ChangeRefusal::Refused(why) => ChangeError::Refused(why),
        ChangeRefusal::Superseded => ChangeError::Superseded,
        ChangeRefusal::TimedOut => ChangeError::Unknown(UnknownReason::TimedOut),
        ChangeRefusal::ResponseLost => ChangeError::Unknown(UnknownReason::ResponseLost),
    }
}

const fn transfer_error(refusal: TransferRefusal) -> TransferError {
    match refusal {
        TransferRefusal::Refused(raft_core::TransferError::NotLeader { leader }) => {
            TransferError::NotLeader { leader }
        }
        TransferRefusal::Refused(why) => TransferError::Refused(why),
        TransferRefusal::Failed => TransferError::NotReady,
        TransferRefusal::OtherLeader { leader } => TransferError::OtherLeader { leader },
        TransferRefusal::TimedOut => TransferError::TimedOut,
    }
}
