//! What the core starts from, read out of a WAL.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use raft_core::{
    Entry, EntryPayload, Faulty, GroupId, HardState, LogId, LogIndex, Membership, OnLoss, Restored,
};
use raft_wal::{ReadError, Recovered, RecoveredGroup};

use crate::log_store::LogError;

/// What the core starts from; `None` if the log is new. `read` gives entries of a range, as many
/// as weigh so much, but at least one. Of snapshots the log knows nothing.
pub(super) fn restore(
    recovered: &Recovered,
    tail_bytes_max: usize,
    read: impl Fn(RangeInclusive<LogIndex>, usize) -> Result<Vec<Entry>, ReadError>,
) -> Result<Option<Restored>, LogError> {
    let Some(group) = recovered.groups.get(&GroupId::FIRST) else { return Ok(None) };
    if group.last == LogId::ZERO && group.hard_state == HardState::default() {
        return Ok(None);
    }
    let is_lost = |index| {
        let within = |f: &raft_wal::Faulty| f.first <= index && f.last.is_none_or(|l| index <= l);
        group.faulty.iter().any(within)
    };
    let readable = group.memberships.iter().filter(|index| !is_lost(**index));
    let memberships = readable.map(|&index| read_membership(index, &read));
    Ok(Some(Restored {
        hard_state: group.hard_state,
        snapshot: None,
        base: group.base,
        term_starts: group.term_starts.clone(),
        last: group.last,
        tail: read_tail(group, tail_bytes_max, &read)?,
        memberships: memberships.collect::<Result<_, _>>()?,
        faulty: group.faulty.iter().map(|&lost| faulty(lost)).collect(),
        is_in_doubt: group.is_in_doubt,
        on_loss: OnLoss::Refuse,
    }))
}

const fn faulty(lost: raft_wal::Faulty) -> Faulty {
    let raft_wal::Faulty { first, last, term } = lost;
    Faulty { first, last, term }
}

fn read_membership(
    index: LogIndex,
    read: impl Fn(RangeInclusive<LogIndex>, usize) -> Result<Vec<Entry>, ReadError>,
) -> Result<(LogId, Membership), LogError> {
    let entries = read(index..=index, 1).map_err(LogError::new)?;
    match entries.into_iter().next() {
        Some(Entry { id, payload: EntryPayload::Membership(membership) }) => Ok((id, *membership)),
        Some(_) | None => {
            Err(LogError::new(format!("the entry at {index} is not the membership it should be")))
        }
    }
}

/// The newest entries, at most about `bytes_max` of them.
fn read_tail(
    group: &RecoveredGroup,
    bytes_max: usize,
    read: impl Fn(RangeInclusive<LogIndex>, usize) -> Result<Vec<Entry>, ReadError>,
) -> Result<Vec<Entry>, LogError> {
    /// Entries that are read at a time, from the end.
    const STEP: u64 = 32;
    let mut tail: VecDeque<Entry> = VecDeque::new();
    let mut bytes = 0;
    let mut next_end = group.last.index;
    // What comes before something that cannot be read would leave a gap.
    let lost = group.faulty.iter().filter_map(|faulty| faulty.last).max();
    let first = lost.map_or(group.first, |last| group.first.max(last.next()));
    while bytes < bytes_max && next_end >= first {
        let start = next_end.get().saturating_sub(STEP - 1).max(first.get());
        let entries = read(LogIndex::new(start)..=next_end, usize::MAX).map_err(LogError::new)?;
        for entry in entries.into_iter().rev() {
            bytes += entry.payload.command_len() + 64;
            tail.push_front(entry);
        }
        next_end = LogIndex::new(start).prev();
        if next_end == LogIndex::ZERO {
            break;
        }
    }
    Ok(tail.into())
}
