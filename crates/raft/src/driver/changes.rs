//! Who waits for a change of membership to be complete.

use std::collections::BTreeMap;

use raft_core::{ChangeError, LogId, LogIndex, Timestamp};

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
}

/// How a change ended, for its caller: with the entry of the membership that is in force then.
pub(super) type Outcome<P> = (P, Result<LogId, ChangeRefusal>);

/// Changes whose first entry was appended here, by that entry.
#[derive(Debug)]
pub(super) struct Changes<P> {
    callers: BTreeMap<LogId, (P, Timestamp)>,
}

impl<P> Default for Changes<P> {
    fn default() -> Self {
        Self { callers: BTreeMap::new() }
    }
}

impl<P> Changes<P> {
    pub(super) fn push(&mut self, first: LogId, caller: P, deadline: Timestamp) {
        self.callers.insert(first, (caller, deadline));
    }

    /// Takes the news that the membership of entry `done`, which is not joint, was committed;
    /// `id_at` names the entries of the log.
    pub(super) fn on_committed(
        &mut self,
        done: LogId,
        id_at: impl Fn(LogIndex) -> Option<LogId>,
    ) -> Vec<Outcome<P>> {
        let over = self.callers.extract_if(.., |first, _| first.index <= done.index);
        let outcome = |first: LogId| {
            let kept = id_at(first.index).is_none_or(|id| id == first);
            if kept { Ok(done) } else { Err(ChangeRefusal::Superseded) }
        };
        over.map(|(first, (caller, _))| (caller, outcome(first))).collect()
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<Outcome<P>> {
        let expired = self.callers.extract_if(.., |_, (_, deadline)| *deadline <= now);
        expired.map(|(_, (caller, _))| (caller, Err(ChangeRefusal::TimedOut))).collect()
    }

    pub(super) fn deadline(&self) -> Timestamp {
        earliest(self.callers.values().map(|(_, deadline)| *deadline))
    }

    pub(super) fn into_callers(self) -> Vec<P> {
        self.callers.into_values().map(|(caller, _)| caller).collect()
    }
}
