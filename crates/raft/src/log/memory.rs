//! A log in memory: gone with the process.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use raft_core::{Entry, LogIndex, Write};

use crate::log_store::{DurableCallback, LogError, LogStats, LogStore, OpenLog, OpenedLog};

/// Opens a new log in memory.
#[derive(Debug)]
#[cfg_attr(not(feature = "conformance"), allow(unreachable_pub, reason = "public with it only"))]
pub struct OpenMemory {
    /// Keeps the runs of a node apart, since no disk does.
    pub generation: u64,
}

struct MemoryLog {
    state: Mutex<State>,
}

struct State {
    /// The entries after `base`.
    entries: Vec<Entry>,
    base: LogIndex,
    durable: DurableCallback,
}

impl OpenLog for OpenMemory {
    fn open(self: Box<Self>, durable: DurableCallback) -> Result<OpenedLog, LogError> {
        let state = Mutex::new(State { entries: Vec::new(), base: LogIndex::ZERO, durable });
        Ok(OpenedLog {
            store: Arc::new(MemoryLog { state }),
            restored: None,
            damage: Vec::new(),
            generation: self.generation,
        })
    }
}

impl MemoryLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogStore for MemoryLog {
    fn submit(&self, write: Write) -> Result<(), LogError> {
        let mut state = self.state();
        if let Some(base) = write.reset {
            state.entries.clear();
            state.base = base.index;
        }
        if let Some(upto) = write.compact {
            let gone = state.slot(upto.index.next()).min(state.entries.len());
            state.entries.drain(..gone);
            state.base = upto.index;
        }
        if let Some(from) = write.truncate {
            let kept = state.slot(from);
            state.entries.truncate(kept);
        }
        state.entries.extend(write.append);
        (state.durable)(Ok(write.seq));
        Ok(())
    }

    fn entries(
        &self,
        range: RangeInclusive<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<Entry>, LogError> {
        let state = self.state();
        if *range.start() <= state.base {
            return Err(LogError::new(format!("the entry at {} was compacted", range.start())));
        }
        let (first, end) = (state.slot(*range.start()), state.slot(range.end().next()));
        let end = end.min(state.entries.len());
        let entries = state.entries.get(first..end).unwrap_or_default();
        let mut bytes = 0;
        let within = |entry: &&Entry| {
            let is_first = bytes == 0;
            bytes += entry.payload.command_len() + 1;
            is_first || bytes <= bytes_max
        };
        Ok(entries.iter().take_while(within).cloned().collect())
    }

    fn stats(&self) -> LogStats {
        LogStats::default()
    }

    fn close(self: Arc<Self>) -> Result<(), LogError> {
        Ok(())
    }
}

impl State {
    /// Where the entry at `index`, which is after `base`, stands or would stand.
    fn slot(&self, index: LogIndex) -> usize {
        usize::try_from(index.prev().distance_from(self.base)).unwrap_or(usize::MAX)
    }
}
