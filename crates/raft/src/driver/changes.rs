//! Who waits for a change of membership to be complete.

use std::collections::BTreeMap;

use raft_core::{ChangeError, LogId, LogIndex, Timestamp, Write};

use super::earliest;

/// Why a caller was not told that a change of membership is complete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeRefusal {
    /// Nothing has changed.
    Refused(ChangeError),
    /// Nothing has changed: another leader put another entry in its place.
    Superseded,
    /// Unknown: it was not complete in time, and goes on.
    TimedOut,
    /// Unknown: a snapshot took the place of the log that would tell.
    ResponseLost,
}

/// How a change ended, for its caller: with the entry of the membership that is in force then.
pub(super) type Outcome<P> = (P, Result<LogId, ChangeRefusal>);

/// Changes whose first entry was appended here, by that entry.
#[derive(Debug)]
pub(super) struct Changes<P> {
    callers: BTreeMap<LogId, Waiting<P>>,
}

#[derive(Debug)]
struct Waiting<P> {
    caller: P,
    deadline: Timestamp,
    /// Its entry was removed from this log. Another leader may have it all the same.
    is_doubtful: bool,
}

impl<P> Default for Changes<P> {
    fn default() -> Self {
        Self { callers: BTreeMap::new() }
    }
}

impl<P> Changes<P> {
    pub(super) fn push(&mut self, first: LogId, caller: P, deadline: Timestamp) {
        self.callers.insert(first, Waiting { caller, deadline, is_doubtful: false });
    }

    /// Takes note of what a write removes from the log.
    pub(super) fn on_write(&mut self, write: &Write) {
        let from = if write.reset.is_some() { Some(LogIndex::ZERO) } else { write.truncate };
        let Some(from) = from else { return };
        let removed = self.callers.iter_mut().filter(|(first, _)| first.index >= from);
        removed.for_each(|(_, waiting)| waiting.is_doubtful = true);
    }

    /// Takes the news that everything up to `commit` is committed: a change whose entry was removed,
    /// and is not there now, was never made, though there may be no other change that would tell.
    pub(super) fn on_commit(
        &mut self,
        commit: LogIndex,
        id_at: impl Fn(LogIndex) -> Option<LogId>,
    ) -> Vec<Outcome<P>> {
        let is_over = |first: &LogId, waiting: &mut Waiting<P>| {
            waiting.is_doubtful && first.index <= commit && id_at(first.index) != Some(*first)
        };
        let over = self.callers.extract_if(.., is_over);
        over.map(|(first, w)| (w.caller, Err(gone(id_at(first.index))))).collect()
    }

    /// Takes the news that the membership of entry `done`, which is not joint, was committed;
    /// `id_at` names the entries of the log.
    pub(super) fn on_committed(
        &mut self,
        done: LogId,
        id_at: impl Fn(LogIndex) -> Option<LogId>,
    ) -> Vec<Outcome<P>> {
        let mut over = self.on_commit(done.index, id_at);
        // If the log begins later, it had what it has forgotten.
        let made = self.callers.extract_if(.., |first, _| first.index <= done.index);
        over.extend(made.map(|(_, waiting)| (waiting.caller, Ok(done))));
        over
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<Outcome<P>> {
        let expired = self.callers.extract_if(.., |_, waiting| waiting.deadline <= now);
        expired.map(|(_, waiting)| (waiting.caller, Err(ChangeRefusal::TimedOut))).collect()
    }

    pub(super) fn deadline(&self) -> Timestamp {
        earliest(self.callers.values().map(|waiting| waiting.deadline))
    }

    pub(super) fn into_callers(self) -> Vec<P> {
        self.callers.into_values().map(|waiting| waiting.caller).collect()
    }
}

/// What became of a change whose entry was removed from the log: `there` is in its place, or the log
/// begins later, and may have had it again.
const fn gone(there: Option<LogId>) -> ChangeRefusal {
    match there {
        Some(_) => ChangeRefusal::Superseded,
        None => ChangeRefusal::ResponseLost,
    }
}
