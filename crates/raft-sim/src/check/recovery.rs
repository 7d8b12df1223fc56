//! A restart finds everything that was durable, and beyond it only what was being written.

use raft_core::{HardState, LogId, NodeId, Restored};

use super::{Rule, Violation, ensure};
use crate::world::{Found, Mirror};

/// Checks what `node` found on its disk against what it had written.
pub(crate) fn check_recovery(
    node: NodeId,
    disk: &Mirror,
    found: &Restored,
    is_damaged: bool,
) -> Result<(), Violation> {
    let is_known = if found.faulty.is_empty() {
        disk.could_be(&Found::of(found))
    } else {
        is_damaged && disk.admits_loss(&Found::of(found))
    };
    ensure(is_known, Rule::Recovery, || {
        let HardState { term, vote } = found.hard_state;
        let LogId { index, .. } = found.last;
        format!(
            "{node} finds term {term}, vote {vote:?} and a log up to {} ({index} entries, terms \
             {:?}, faulty {:?}) on its disk, where {:?} and entries up to {} were durable, and {:?} was being \
             written",
            found.last,
            found.term_starts,
            found.faulty,
            disk.hard_state(),
            disk.durable_last(),
            disk.pending(),
        )
    })
}
