//! What a user replicates.

use std::io;

use raft_core::LogId;

use crate::command::Command;
use crate::snapshot::{Frozen, SnapshotReader, SnapshotWriter};

/// A state that changes only by commands, in the same way on every node.
///
/// It is *volatile*: at each start the node restores it from its newest snapshot, if it has any, and
/// applies the log from there on. It runs on a thread of its own, so it may take its time; what it
/// must not do is look at anything but itself and the command, such as a clock, a random number or
/// the order of a hash map.
///
/// Without [`snapshot`](Self::snapshot) and [`restore`](Self::restore) the log is kept for ever, and
/// all of it is applied at every start.
///
/// ```
/// use std::io::{self, Read as _, Write as _};
///
/// use raft::{Applied, SnapshotReader, SnapshotWriter, StateMachine};
///
/// #[derive(Default)]
/// struct Counter(u64);
///
/// impl StateMachine for Counter {
///     type Command = u64;
///     type Response = u64;
///     type Query = ();
///     type Answer = u64;
///
///     fn apply(&mut self, entry: Applied<u64>) -> u64 {
///         self.0 = self.0.wrapping_add(entry.command);
///         self.0
///     }
///
///     fn query(&self, (): ()) -> u64 {
///         self.0
///     }
///
///     fn snapshot(&self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
///         to.write_all(&self.0.to_le_bytes())
///     }
///
///     fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
///         let mut bytes = [0; 8];
///         from.read_exact(&mut bytes)?;
///         self.0 = u64::from_le_bytes(bytes);
///         Ok(())
///     }
/// }
/// ```
pub trait StateMachine: Send + 'static {
    /// What changes the state.
    type Command: Command;
    /// What a proposer is told when its command has been applied.
    type Response: Send + 'static;
    /// A question about the state.
    type Query: Send + 'static;
    /// The answer to a [`StateMachine::Query`].
    type Answer: Send + 'static;

    /// Carries out a committed command, in log order, exactly once for each entry of the log.
    ///
    /// It must be deterministic, and cannot fail: a command that makes no sense is answered, on
    /// every node in the same way. If it panics, the node stops.
    fn apply(&mut self, entry: Applied<Self::Command>) -> Self::Response;

    /// Answers a question, at a point where everything is applied that had been acknowledged when
    /// the question was asked.
    fn query(&self, query: Self::Query) -> Self::Answer;

    /// Writes the whole state, as it is now, as a stream. Equal states had better give equal bytes:
    /// then a node that is being sent one can go on with another that has the same.
    ///
    /// Nothing is applied meanwhile, unless [`freeze`](Self::freeze) gives a copy to be written.
    ///
    /// # Errors
    ///
    /// If it cannot be written, by the writer or in itself. Then there is no new snapshot, the log
    /// stays, and it is tried again when the log has grown by as much again. By default it writes
    /// what [`freeze`](Self::freeze) gives, or says [`Unsupported`](io::ErrorKind::Unsupported).
    fn snapshot(&self, to: &mut SnapshotWriter<'_>) -> io::Result<()> {
        match self.freeze() {
            Some(frozen) => frozen.write(to),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Replaces the whole state, whatever it was, by one that [`snapshot`](Self::snapshot) wrote,
    /// here or on another node. What it reads is verified.
    ///
    /// It may take as long as it takes: the node stays a member of the cluster meanwhile.
    ///
    /// # Errors
    ///
    /// If the bytes cannot be read, or are no state. The node stops: its state is neither the old one
    /// nor the new one.
    fn restore(&mut self, from: &mut SnapshotReader<'_>) -> io::Result<()> {
        let _ = from;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The state as it is now, to be written on another thread while commands are applied, if that
    /// costs little: for example because it is shared until it is changed. By default there is none.
    fn freeze(&self) -> Option<Frozen> {
        None
    }
}

/// A committed command, and where in the log it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Applied<C> {
    /// The entry's name. Indexes ascend; those of Raft's own entries are left out.
    pub id: LogId,
    /// The command.
    pub command: C,
}
