//! Equal commands make equal responses and equal states, on every node.

use std::collections::BTreeMap;

use raft_core::{LogIndex, NodeId};

use super::{Rule, Violation, ensure};

/// What the first node to apply an entry made of it.
#[derive(Debug, Default)]
pub(crate) struct Replicas {
    /// By index; the first one at index 1.
    responses: Vec<Option<(u64, NodeId)>>,
    /// States after some of the entries.
    states: BTreeMap<LogIndex, (u64, NodeId)>,
}

impl Replicas {
    /// Takes the response of `node` to the command at `index`, as a number; whether it is the first
    /// one.
    pub(crate) fn on_response(
        &mut self,
        node: NodeId,
        index: LogIndex,
        response: u64,
    ) -> Result<bool, Violation> {
        let position = usize::try_from(index.prev().get()).unwrap_or(usize::MAX);
        if self.responses.len() <= position {
            self.responses.resize(position + 1, None);
        }
        let Some((first, whose)) = self.responses[position].replace((response, node)) else {
            return Ok(true);
        };
        ensure(first == response, Rule::Determinism, || {
            format!("{whose} and {node} answer the command at {index} differently")
        })?;
        Ok(false)
    }

    /// Takes the state of `node` after `applied`, as a number.
    pub(crate) fn on_state(
        &mut self,
        node: NodeId,
        applied: LogIndex,
        state: u64,
    ) -> Result<(), Violation> {
        let (first, whose) = *self.states.entry(applied).or_insert((state, node));
        ensure(first == state, Rule::Determinism, || {
            format!(
                "{whose} and {node} differ, though both have applied everything up to {applied}"
            )
        })
    }
}
