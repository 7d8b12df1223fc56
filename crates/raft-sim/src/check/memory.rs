//! What a leader holds for others is bounded by its configuration.

use raft_core::LogId;

use super::{Rule, View, Violation, ensure};

/// Checks how many entries are in the log and not committed, where they can be counted.
///
/// Entries of earlier leaders, and those that only Raft needs, count little; so there is some
/// slack.
pub(crate) fn check_memory(
    view: &View<'_>,
    uncommitted_bytes_max: usize,
    command_bytes_max: usize,
    inherited: LogId,
) -> Result<(), Violation> {
    /// What each entry counts for at least.
    const ENTRY_BYTES: u64 = 64;
    /// Entries that count for nothing: those that begin a term, and memberships.
    const SLACK: u64 = 64;
    let own_from = inherited.index.max(view.commit);
    let uncommitted = view.last.index.distance_from(own_from);
    let most = uncommitted_bytes_max.max(command_bytes_max);
    let most = u64::try_from(most).unwrap_or(u64::MAX) / ENTRY_BYTES + SLACK;
    ensure(uncommitted <= most, Rule::BoundedMemory, || {
        format!("{} holds {uncommitted} entries that are not committed, at most {most}", view.id)
    })
}
