//! Reads on their way, and who waits for them.

use std::collections::{BTreeMap, VecDeque};

use raft_core::{LogIndex, ReadId, ReadReady, Timestamp};

use super::earliest;

/// Reads in the order in which they were asked.
#[derive(Debug)]
pub(super) struct Reads<R> {
    /// Not confirmed yet.
    asked: VecDeque<Asked<R>>,
    /// Confirmed: to be served once this index is applied. Some levels wait for indexes to come,
    /// others for none.
    ready: BTreeMap<(LogIndex, ReadId), Asked<R>>,
}

#[derive(Debug)]
struct Asked<R> {
    id: ReadId,
    callers: Vec<R>,
    deadline: Timestamp,
}

impl<R> Default for Reads<R> {
    fn default() -> Self {
        Self { asked: VecDeque::new(), ready: BTreeMap::new() }
    }
}

impl<R> Reads<R> {
    pub(super) fn push(&mut self, id: ReadId, callers: Vec<R>, deadline: Timestamp) {
        self.asked.push_back(Asked { id, callers, deadline });
    }

    /// Takes the news that reads may be served once an index is applied.
    pub(super) fn on_ready(&mut self, ready: ReadReady) {
        let start = self.asked.partition_point(|asked| asked.id < ready.first);
        let end = self.asked.partition_point(|asked| asked.id <= ready.upto).max(start);
        for asked in self.asked.drain(start..end) {
            self.ready.insert((ready.index, asked.id), asked);
        }
    }

    /// Takes the callers whose index the state machine was given.
    pub(super) fn take_ready(&mut self, handed: LogIndex) -> Vec<R> {
        let mut callers = Vec::new();
        while let Some(asked) = self.ready.first_entry().filter(|asked| asked.key().0 <= handed) {
            callers.extend(asked.remove().callers);
        }
        callers
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<R> {
        let mut expired = Vec::new();
        while let Some(asked) = self.asked.pop_front_if(|asked| asked.deadline <= now) {
            expired.extend(asked.callers);
        }
        let ready = self.ready.extract_if(.., |_, asked| asked.deadline <= now);
        expired.extend(ready.flat_map(|(_, asked)| asked.callers));
        expired
    }

    /// All reads wait equally long, so the oldest of those not confirmed is the first to give up.
    pub(super) fn deadline(&self) -> Timestamp {
        let asked = self.asked.front().map_or(Timestamp::NEVER, |asked| asked.deadline);
        asked.min(earliest(self.ready.values().map(|asked| asked.deadline)))
    }

    pub(super) fn into_callers(self) -> Vec<R> {
        self.asked
            .into_iter()
            .chain(self.ready.into_values())
            .flat_map(|asked| asked.callers)
            .collect()
    }
}
