//! What several tests share.

#[cfg(feature = "persistence")]
pub(crate) mod nodes;

use std::time::Duration;

use raft::{Applied, NodeId, StateMachine};

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A list of the numbers that it was given.
#[derive(Default)]
pub(crate) struct List(Vec<u64>);

impl StateMachine for List {
    type Command = u64;
    type Response = usize;
    type Query = ();
    type Answer = Vec<u64>;

    fn apply(&mut self, entry: Applied<u64>) -> usize {
        self.0.push(entry.command);
        self.0.len()
    }

    fn query(&self, (): ()) -> Vec<u64> {
        self.0.clone()
    }
}

pub(crate) fn n(id: u64) -> NodeId {
    NodeId::new(id).unwrap()
}
