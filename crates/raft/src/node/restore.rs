//! What a node starts from: its newest snapshot, and the log.

use std::io;

use raft_core::{HardState, LogId, OnLoss, Restored};
use tracing::{info, warn};

use crate::error::StartError;
use crate::machine::Machine;
use crate::snapshot::{Kept, Shelf};
use crate::state_machine::StateMachine;

/// A state machine, what the core starts from, and the snapshot that both are from.
pub(crate) type Begun<S> = (Machine<S>, Option<Restored>, Option<Kept>);

/// Restores the state machine from the newest snapshot that can be read and that the log continues,
/// if there is any; `unreadable` says why one cannot be used, and `generation` counts the starts from
/// the log.
pub(crate) fn restore<S: StateMachine>(
    state_machine: S,
    shelf: &dyn Shelf,
    unreadable: Option<io::Error>,
    log: Option<Restored>,
    generation: u64,
) -> Result<Begun<S>, StartError> {
    /// Of a log that was made by this start.
    const FIRST_GENERATION: u64 = 1;
    let mut machine = Machine::new(state_machine);
    let kept = shelf.kept();
    if log.is_none() && generation <= FIRST_GENERATION && !kept.is_empty() {
        return Err(StartError::LogRemoved);
    }
    let base = log.as_ref().map_or(LogId::ZERO, |log| log.base);
    let mut failure = unreadable.filter(|_| base != LogId::ZERO);
    for kept in kept.into_iter().filter(|kept| kept.id.last.index >= base.index) {
        match restore_one(&mut machine, shelf, &kept) {
            Ok(()) => {
                let mut restored = log.unwrap_or_else(empty);
                restored.snapshot = Some(kept.meta.clone());
                return Ok((machine, Some(restored), Some(kept)));
            }
            Err(error) => {
                warn!(snapshot = %kept.id, %error, "cannot restore from a snapshot");
                failure = failure.or(Some(error));
            }
        }
    }
    match failure {
        Some(source) => Err(StartError::SnapshotUnreadable { source }),
        // If the log needs one, the core says so.
        None => Ok((machine, log, None)),
    }
}

fn restore_one<S: StateMachine>(
    machine: &mut Machine<S>,
    shelf: &dyn Shelf,
    kept: &Kept,
) -> io::Result<()> {
    let mut from = shelf.read(kept.id)?;
    machine.restore(kept.id.last.index, &mut *from)?;
    // What the state machine did not read may be damaged as well, and with it what it did read.
    io::copy(&mut from, &mut io::sink())?;
    info!(snapshot = %kept.id, bytes = kept.bytes, "state machine restored");
    Ok(())
}

/// A log that was given up for a snapshot, but not begun after it.
fn empty() -> Restored {
    Restored {
        hard_state: HardState::default(),
        snapshot: None,
        base: LogId::ZERO,
        term_starts: Vec::new(),
        last: LogId::ZERO,
        tail: Vec::new(),
        memberships: Vec::new(),
        faulty: Vec::new(),
        is_in_doubt: false,
        on_loss: OnLoss::Refuse,
    }
}
