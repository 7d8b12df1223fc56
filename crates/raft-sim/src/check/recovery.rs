//! A restart finds everything that was durable, and beyond it only what was being written.

use raft_core::{HardState, LogId, NodeId, Restored};
use raft_wal::Tail;

use super::{Rule, Violation, ensure};
use crate::world::{Found, Mirror};

/// Checks what `node` found on its disk, in a log that ends as `tail` says, against what it had
/// written.
///
/// If the disk was damaged, entries may be lost that the log names, and the newest write, if the log
/// says that it may be. Term and vote never are.
pub(crate) fn check_recovery(
    node: NodeId,
    disk: &Mirror,
    found: &Restored,
    tail: Tail,
    is_damaged: bool,
) -> Result<(), Violation> {
    let log = Found::of(found);
    let may_lack_newest = is_damaged && tail.is_doubtful();
    let is_known = if found.faulty.is_empty() {
        disk.could_be(&log) || may_lack_newest && disk.could_be_without_newest(&log)
    } else {
        let is_admitted = disk.admits_loss(&log);
        is_damaged && is_admitted || may_lack_newest && disk.admits_loss_without_newest(&log)
    };
    ensure(is_known, Rule::Recovery, || {
        let HardState { term, vote } = found.hard_state;
        let LogId { index, .. } = found.last;
        format!(
            "{node} finds term {term}, vote {vote:?} and a log up to {} ({index} entries, terms \
             {:?}, faulty {:?}, {tail:?}) on its disk, where {:?} and entries up to {} were durable, and {:?} was being \
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
