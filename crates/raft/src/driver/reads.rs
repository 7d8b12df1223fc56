//! Reads on their way, and who waits for them.

use std::collections::VecDeque;

use raft_core::{LogIndex, ReadId, Timestamp};

/// Reads in the order in which they were asked.
#[derive(Debug)]
pub(super) struct Reads<R> {
    /// Not confirmed yet.
    asked: VecDeque<Asked<R>>,
    /// Confirmed: to be served once this index is applied.
    ready: VecDeque<(LogIndex, Asked<R>)>,
}

#[derive(Debug)]
struct Asked<R> {
    id: ReadId,
    callers: Vec<R>,
    deadline: Timestamp,
}

impl<R> Default for Reads<R> {
    fn default() -> Self {
        Self { asked: VecDeque::new(), ready: VecDeque::new() }
    }
}

impl<R> Reads<R> {
    pub(super) fn push(&mut self, id: ReadId, callers: Vec<R>, deadline: Timestamp) {
        self.asked.push_back(Asked { id, callers, deadline });
    }

    /// Takes the news that reads up to `upto` may be served once `index` is applied.
    pub(super) fn on_ready(&mut self, upto: ReadId, index: LogIndex) {
        while let Some(asked) = self.asked.pop_front_if(|asked| asked.id <= upto) {
            self.ready.push_back((index, asked));
        }
    }

    /// Takes the callers whose index the state machine was given.
    pub(super) fn take_ready(&mut self, handed: LogIndex) -> Vec<R> {
        let mut callers = Vec::new();
        while let Some((_, asked)) = self.ready.pop_front_if(|(index, _)| *index <= handed) {
            callers.extend(asked.callers);
        }
        callers
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<R> {
        let mut expired = Vec::new();
        while let Some(asked) = self.asked.pop_front_if(|asked| asked.deadline <= now) {
            expired.extend(asked.callers);
        }
        while let Some((_, asked)) = self.ready.pop_front_if(|(_, asked)| asked.deadline <= now) {
            expired.extend(asked.callers);
        }
        expired
    }

    /// All reads wait equally long, so the oldest ones are the first to give up.
    pub(super) fn deadline(&self) -> Timestamp {
        let asked = self.asked.front().map_or(Timestamp::NEVER, |asked| asked.deadline);
        let ready = self.ready.front().map_or(Timestamp::NEVER, |(_, asked)| asked.deadline);
        asked.min(ready)
    }

    pub(super) fn into_callers(self) -> Vec<R> {
        let ready = self.ready.into_iter().map(|(_, asked)| asked);
        self.asked.into_iter().chain(ready).flat_map(|asked| asked.callers).collect()
    }
}
