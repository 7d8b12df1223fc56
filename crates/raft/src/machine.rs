//! A state machine behind the log: commands are decoded, applied in order, and answered.

use std::io::{self, Read};

use raft_core::{Entry, EntryPayload, LogIndex};

use crate::command::{Command, CommandError};
use crate::snapshot::SnapshotReader;
use crate::state_machine::{Applied, StateMachine};

/// A state machine, and how far it has applied the log.
#[derive(Debug)]
pub struct Machine<S> {
    state_machine: S,
    applied: LogIndex,
}

/// A committed command that cannot be decoded. The node stops: to go on without it would make its
/// state differ from the others'.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the command at index {index} cannot be read")]
pub struct Undecodable {
    /// Where it stands in the log.
    pub index: LogIndex,
    /// What is wrong with it.
    #[source]
    pub error: CommandError,
}

impl<S: StateMachine> Machine<S> {
    /// A state machine that has applied nothing.
    #[must_use]
    pub const fn new(state_machine: S) -> Self {
        Self { state_machine, applied: LogIndex::ZERO }
    }

    /// Applies committed entries, and hands out the response to each command.
    ///
    /// # Errors
    ///
    /// [`Undecodable`]; entries before that one are applied.
    pub fn apply(
        &mut self,
        entries: Vec<Entry>,
        mut respond: impl FnMut(LogIndex, S::Response),
    ) -> Result<(), Undecodable> {
        for entry in entries {
            let index = entry.id.index;
            if let EntryPayload::Command(bytes) = entry.payload {
                let command = S::Command::decode(bytes);
                let command = command.map_err(|error| Undecodable { index, error })?;
                let response = self.state_machine.apply(Applied { id: entry.id, command });
                respond(index, response);
            }
            self.applied = index;
        }
        Ok(())
    }

    /// Replaces the state by that of a snapshot that covers everything up to `last`.
    ///
    /// # Errors
    ///
    /// If the snapshot cannot be read. The state machine is of no use then.
    pub fn restore(&mut self, last: LogIndex, from: &mut dyn Read) -> io::Result<()> {
        self.state_machine.restore(&mut SnapshotReader::new(from))?;
        self.applied = last;
        Ok(())
    }

    /// Index of the last entry that is applied.
    #[must_use]
    pub const fn applied(&self) -> LogIndex {
        self.applied
    }

    /// The state machine.
    #[must_use]
    pub const fn state_machine(&self) -> &S {
        &self.state_machine
    }
}
