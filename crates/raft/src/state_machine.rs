//! What a user replicates.

use raft_core::LogId;

use crate::command::Command;

/// A state that changes only by commands, in the same way on every node.
///
/// It is *volatile*: at each start the node applies the log to it from the beginning. It runs on a
/// thread of its own, so it may take its time; what it must not do is look at anything but itself
/// and the command, such as a clock, a random number or the order of a hash map.
///
/// ```
/// use raft::{Applied, StateMachine};
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
}

/// A committed command, and where in the log it stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Applied<C> {
    /// The entry's name. Indexes ascend; those of Raft's own entries are left out.
    pub id: LogId,
    /// The command.
    pub command: C,
}
